//! Removes what a killed runtime has left of its networks.

use std::path::Path;

use anyhow::Result;
use nix::unistd::geteuid;

use crate::host;
use crate::netlink::Netlink;
use crate::store::NetworkStore;

/// Removes the leases, links, rules and settings of containers that are gone. A user
/// who is not root has none.
///
/// # Errors
/// All that could not be removed or examined; `gc` tries it again the next time.
pub(crate) fn gc(dir: &Path) -> Result<()> {
    if !geteuid().is_root() || !dir.exists() {
        return Ok(());
    }
    let mut store = NetworkStore::open(dir)?;
    let mut netlink = Netlink::open()?;
    let mut errors = host::remove_stale(&mut store, &mut netlink, None)?;
    errors.extend(host::reconcile(&mut store, &mut netlink));
    kit::combine(errors)
}
