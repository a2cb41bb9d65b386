//! Makes the host what the notes say: rules, settings, bridges. It is called whenever a
//! container comes or goes, and does as little as there is to do; so what was killed in
//! between is put right by the next one.

use std::net::IpAddr;

use anyhow::Result;
use kit::Failure;

use crate::dns;
use crate::firewall;
use crate::host_changes::HostChanges;
use crate::netlink::{Netlink, Route};
use crate::network::Origin;
use crate::rules;
use crate::store::{NetworkRecord, NetworkStore, Place};
use crate::sysctl;

/// Forgets containers whose runtime is dead, and what was done in a namespace or a boot
/// that is gone. Returns the ids of the dead.
///
/// # Errors
/// When a link of theirs cannot be removed, or the notes cannot be written.
pub(crate) fn remove_stale(
    store: &mut NetworkStore,
    netlink: &mut Netlink,
) -> Result<Vec<String>> {
    take_place(store)?;
    let mut dead = Vec::new();
    for noted in store.networks.values().cloned().collect::<Vec<_>>() {
        let (alive, gone): (Vec<_>, Vec<_>) =
            noted.leases.into_iter().partition(|lease| store.is_alive(&lease.id));
        if gone.is_empty() {
            store.networks.insert(
                noted.network.name.clone(),
                NetworkRecord { network: noted.network, leases: alive },
            );
            continue;
        }
        for lease in &gone {
            netlink.remove_link(&lease.link)?;
        }
        store.note(NetworkRecord { network: noted.network, leases: alive })?;
        for lease in gone {
            store.bury(&lease.id);
            dead.push(lease.id);
        }
    }
    store.bury_the_unknown();
    Ok(dead)
}

/// After a boot nothing of what was changed is left to be put back. What is in another
/// network namespace can be undone only there.
fn take_place(store: &mut NetworkStore) -> Result<()> {
    let place = Place::here()?;
    if store.host.place == place {
        return Ok(());
    }
    if store.host.place.is_this_boot()? && store.has_to_undo() {
        let failure = Failure::new(
            "what these networks have changed is in another network namespace",
        );
        let mend = "run it there, or name a directory of this one's own with --network-dir; if that namespace is \
                    gone, remove the directory";
        return Err(failure.hint(mend).into());
    }
    store.host = HostChanges { place, ..HostChanges::default() };
    store.note_host()
}

/// Puts rules, settings and bridges right. Goes on past errors, and returns them all.
pub(crate) fn reconcile(
    store: &mut NetworkStore,
    netlink: &mut Netlink,
) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    let networks: Vec<NetworkRecord> = store
        .networks
        .values()
        .filter(|noted| !noted.leases.is_empty())
        .cloned()
        .collect();
    let networks: Vec<&NetworkRecord> = networks.iter().collect();
    let wanted = uplinks(store, netlink)
        .and_then(|uplinks| sysctl::wanted(&networks, &uplinks, &store.host.sysctls))
        .and_then(|wanted| {
            let remembered = sysctl::remember(store, &wanted);
            errors.extend(sysctl::put_back(store, &wanted));
            remembered.map(|()| wanted)
        });
    // The rules stand whenever anything is forwarded: what they forbid is never open.
    errors.extend(
        rules::replace_table(store.dir(), &networks, &store.host.sysctls).err(),
    );
    match wanted {
        Ok(wanted) => errors.extend(sysctl::set(&wanted)),
        Err(error) => errors.push(error),
    }
    errors.extend(firewall::remove_unused_rules(store).err());
    for name in store.networks.keys().cloned().collect::<Vec<_>>() {
        errors.extend(let_go(store, netlink, &name).err());
    }
    // Last, and not while anything is still to be undone: `gc` goes by the notes.
    if errors.is_empty() {
        errors.extend(forget_unused(store).err());
    }
    errors
}

/// A network without containers has nobody to answer; of one that nobody made by hand
/// the bridge goes.
fn let_go(store: &mut NetworkStore, netlink: &mut Netlink, name: &str) -> Result<()> {
    let noted = store.network(name)?.clone();
    if !noted.leases.is_empty() {
        return Ok(());
    }
    dns::wait_for_exit(&store.leases_path(name))?;
    if noted.network.origin == Origin::UserCreated {
        return Ok(());
    }
    netlink.remove_link(&noted.network.bridge)
}

fn forget_unused(store: &mut NetworkStore) -> Result<()> {
    let is_unused = |noted: &&NetworkRecord| {
        noted.leases.is_empty() && noted.network.origin != Origin::UserCreated
    };
    let unused: Vec<_> = store
        .networks
        .values()
        .filter(is_unused)
        .map(|noted| noted.network.name.clone())
        .collect();
    unused.iter().try_for_each(|name| store.forget(name))
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
    }
}

/// The links by which the host reaches others: those that a route leads out by, but for
/// our bridges.
///
/// # Errors
/// What the kernel says.
pub(crate) fn uplinks(
    store: &NetworkStore,
    netlink: &mut Netlink,
) -> Result<Vec<String>> {
    let routes = netlink.routes()?;
    // Every link has a route to its own link-local addresses, and that leads nowhere
    // else.
    let leads =
        |route: &&Route| route.is_unicast && !is_link_local(route.destination.ip());
    let leads_out = |index: u32| {
        routes.iter().filter(leads).any(|route| route.links.contains(&index))
    };
    let is_ours =
        |name: &str| store.networks.values().any(|noted| noted.network.bridge == name);
    let links = netlink.links()?.into_iter();
    let outside = links.filter(|link| {
        link.name != "lo" && leads_out(link.index) && !is_ours(&link.name)
    });
    Ok(outside.map(|link| link.name).collect())
}
