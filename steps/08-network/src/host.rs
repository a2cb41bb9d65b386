//! Adapts the host's rules, settings and bridges to its containers. Every start and
//! every end of a container calls it, so the next one repairs what a killed runtime has
//! left.

use std::net::IpAddr;

use anyhow::Result;

use crate::dns;
use crate::firewall;
use crate::forwarding::{self, RequiredSysctl};
use crate::netlink::{Netlink, Route};
use crate::network::Origin;
use crate::rules;
use crate::store::{NetworkRecord, NetworkStore};

/// Adapts rules, settings and bridges to the leases. Goes on past errors, and returns
/// them all.
pub(crate) fn reconcile(
    store: &mut NetworkStore,
    netlink: &mut Netlink,
) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    let networks: Vec<NetworkRecord> = store.networks_in_use().cloned().collect();
    let networks: Vec<&NetworkRecord> = networks.iter().collect();
    let required = prepare_forwarding(store, netlink, &networks, &mut errors);
    // The rules come first: as soon as forwarding is on, a packet passes unless a rule
    // drops it.
    let saved = &store.changes().sysctls;
    errors.extend(rules::replace_table(store.dir(), &networks, saved).err());
    match required {
        Ok(required) => errors.extend(forwarding::set(&required)),
        Err(error) => errors.push(error),
    }
    errors.extend(firewall::remove_unused_rules(store).err());
    let unused: Vec<_> =
        store.networks().filter(|record| record.leases.is_empty()).cloned().collect();
    for record in &unused {
        errors.extend(stop_network(store, netlink, record).err());
    }
    // A network is forgotten only when all is undone, because `gc` undoes only what is
    // noted.
    if errors.is_empty() {
        for NetworkRecord { network, .. } in unused {
            if network.origin == Origin::Automatic {
                errors.extend(store.remove(&network.name).err());
            }
        }
    }
    errors
}

/// Notes the settings that are to be changed, and restores those that are no longer
/// required.
fn prepare_forwarding(
    store: &mut NetworkStore,
    netlink: &mut Netlink,
    networks: &[&NetworkRecord],
    errors: &mut Vec<anyhow::Error>,
) -> Result<Vec<RequiredSysctl>> {
    let uplinks = uplinks(store, netlink)?;
    let required =
        forwarding::requirements(networks, &uplinks, &store.changes().sysctls)?;
    let saved = forwarding::save(store, &required);
    errors.extend(forwarding::restore(store, &required));
    saved.map(|()| required)
}

/// Stops the DNS responder of a network without containers, and removes the bridge that
/// no user created.
fn stop_network(
    store: &NetworkStore,
    netlink: &mut Netlink,
    NetworkRecord { network, .. }: &NetworkRecord,
) -> Result<()> {
    dns::wait_for_exit(&store.leases_path(&network.name))?;
    match network.origin {
        Origin::UserCreated => Ok(()),
        Origin::Automatic => netlink.remove_link(&network.bridge),
    }
}

/// Lists the links by which the host reaches other hosts: those of its unicast routes,
/// without our bridges.
pub(crate) fn uplinks(
    store: &NetworkStore,
    netlink: &mut Netlink,
) -> Result<Vec<String>> {
    let routes = netlink.routes()?;
    // Every link has a route to link-local addresses, which leads nowhere else.
    let leads_out =
        |route: &&Route| route.is_unicast && !is_link_local(route.destination.ip());
    let is_used = |index: u32| {
        routes.iter().filter(leads_out).any(|route| route.links.contains(&index))
    };
    let is_ours =
        |name: &str| store.networks().any(|record| record.network.bridge == name);
    let uplinks = netlink.links()?.into_iter().filter(|link| {
        link.name != "lo" && is_used(link.index) && !is_ours(&link.name)
    });
    Ok(uplinks.map(|link| link.name).collect())
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
    }
}
