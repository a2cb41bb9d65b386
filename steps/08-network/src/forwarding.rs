//! The kernel settings that let packets through the host.
//!
//! An IPv4 packet is forwarded if the link on which it arrives allows it. So forwarding
//! is turned on for the bridges and the uplinks. IPv6 has one switch for all
//! links; and a host that forwards IPv6 no longer accepts router advertisements, unless
//! `accept_ra` is 2.

use anyhow::Result;

use crate::host_changes::SavedSysctl;
use crate::network::Isolation;
use crate::store::{NetworkRecord, NetworkStore};
use crate::sysctl;

/// A setting with the value that containers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequiredSysctl {
    /// `ipv4/conf/eth0/forwarding`
    name: String,
    value: &'static str,
    /// The reason, for the narration.
    why: &'static str,
    restore: Restore,
}

/// When the old value of a setting is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restore {
    /// If we changed it.
    IfChanged,
    /// In any case: another setting changes this one as a side effect.
    Always,
}

const FORWARD: &str = "forward packets that come in here";

fn required(
    why: &'static str,
    name: impl Into<String>,
    value: &'static str,
) -> RequiredSysctl {
    RequiredSysctl { name: name.into(), value, why, restore: Restore::IfChanged }
}

/// Lists the settings that the networks with containers need. `uplinks` lead to other
/// hosts; `changed` are the settings that we have changed already.
pub(crate) fn requirements(
    networks: &[&NetworkRecord],
    uplinks: &[String],
    changed: &[SavedSysctl],
) -> Result<Vec<RequiredSysctl>> {
    let routed: Vec<_> = networks
        .iter()
        .filter(|record| record.network.isolation != Isolation::Internal)
        .collect();
    let mut all = Vec::new();
    for NetworkRecord { network, leases } in &routed {
        let of_bridge = |setting| format!("ipv4/conf/{}/{setting}", network.bridge);
        all.push(required(FORWARD, of_bridge("forwarding"), "1"));
        let mut ports = leases.iter().flat_map(|lease| &lease.ports);
        if ports.any(|port| port.is_on_loopback()) {
            // Packets to 127.0.0.1 go to the bridge. rules.rs drops those that come
            // from other hosts.
            let why = "packets from and to 127.0.0.1 may cross this link";
            all.push(required(why, of_bridge("route_localnet"), "1"));
        }
    }
    if !routed.is_empty() {
        all.extend(uplinks.iter().map(|link| {
            required(FORWARD, format!("ipv4/conf/{link}/forwarding"), "1")
        }));
    }
    if routed.iter().any(|record| record.network.subnet6.is_some()) {
        all.extend(ipv6_requirements(uplinks, changed)?);
    }
    Ok(all)
}

fn ipv6_requirements(
    uplinks: &[String],
    changed: &[SavedSysctl],
) -> Result<Vec<RequiredSysctl>> {
    let mut all = Vec::new();
    for link in uplinks {
        let accept_ra = format!("ipv6/conf/{link}/accept_ra");
        let is_changed = changed.iter().any(|saved| saved.name == accept_ra);
        if is_changed || sysctl::read(&accept_ra)?.as_deref() == Some("1") {
            let why = "still take the host's address from a router";
            all.push(required(why, accept_ra, "2"));
        }
        // Turning the switch for all links on or off sets this one as well.
        let forwarding = format!("ipv6/conf/{link}/forwarding");
        let forwarding = required(FORWARD, forwarding, "1");
        all.push(RequiredSysctl { restore: Restore::Always, ..forwarding });
    }
    let why = "IPv6 has one switch for all links";
    all.push(required(why, "ipv6/conf/all/forwarding", "1"));
    Ok(all)
}

/// Records the present values of the settings that will be changed.
///
/// # Errors
/// When a value cannot be read or recorded. Then nothing must be changed, because it
/// could not be restored.
pub(crate) fn save(
    store: &mut NetworkStore,
    required: &[RequiredSysctl],
) -> Result<()> {
    let mut saved = Vec::new();
    for RequiredSysctl { name, value, restore, .. } in required {
        // A link without IPv6 has no IPv6 settings.
        let Some(before) = sysctl::read(name)? else { continue };
        let is_saved = store.changes().sysctls.iter().any(|saved| saved.name == *name);
        if !is_saved && (before != *value || *restore == Restore::Always) {
            saved.push(SavedSysctl { name: name.clone(), before });
        }
    }
    store.update_changes(|changes| changes.sysctls.extend(saved))
}

/// Sets the values that are required. Goes on past errors, and returns them all.
pub(crate) fn set(required: &[RequiredSysctl]) -> Vec<anyhow::Error> {
    required
        .iter()
        .filter(|it| sysctl::differs(&it.name, it.value))
        .filter_map(|it| sysctl::write(&it.name, it.value, it.why).err())
        .collect()
}

/// Restores the values of settings that are no longer required, the last change first.
/// Goes on past errors, and returns them all.
pub(crate) fn restore(
    store: &mut NetworkStore,
    required: &[RequiredSysctl],
) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    let is_required =
        |saved: &SavedSysctl| required.iter().any(|it| it.name == saved.name);
    let (mut kept, unrequired): (Vec<_>, Vec<_>) =
        store.changes().sysctls.iter().cloned().partition(is_required);
    for saved in unrequired.into_iter().rev() {
        if sysctl::differs(&saved.name, &saved.before)
            && let Err(error) = sysctl::write(
                &saved.name,
                &saved.before,
                "restore the value from before",
            )
        {
            errors.push(error);
            kept.push(saved);
        }
    }
    errors.extend(store.update_changes(|changes| changes.sysctls = kept).err());
    errors
}
