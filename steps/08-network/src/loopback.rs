//! The loopback link of a container that gets its other links from somebody else.

use anyhow::Result;

use crate::netlink::Netlink;

/// Turns on the loopback link of this network namespace: a new one has it turned off.
///
/// # Errors
/// The kernel's: EPERM when the network namespace is not of this user namespace.
pub fn turn_on_loopback() -> Result<()> {
    let mut netlink = Netlink::open()?;
    let loopback = netlink.existing_link("lo")?;
    netlink.turn_on(&loopback)
}
