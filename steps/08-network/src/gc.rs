//! Removes what a `kill -9` of the runtime leaves behind of networks.

use std::path::Path;

use anyhow::Result;
use nix::unistd::geteuid;

use crate::host;
use crate::netlink::Netlink;
use crate::store::NetworkStore;

/// Takes dead containers off the networks in `dir`. Without root there is nothing to
/// do: no bridge can have been made.
///
/// # Errors
/// All that could not be removed; it is kept for the next time.
pub(crate) fn gc(dir: &Path) -> Result<()> {
    if !geteuid().is_root() || !dir.exists() {
        return Ok(());
    }
    let mut store = NetworkStore::open(dir)?;
    let mut netlink = Netlink::open()?;
    host::remove_stale(&mut store, &mut netlink)?;
    kit::combine(host::reconcile(&mut store, &mut netlink))
}
