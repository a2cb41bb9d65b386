//! Adapts the host's rules, settings and bridges to its containers. Every start and
//! every end of a container does this, so that it repairs what a killed runtime has
//! left.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use nix::errno::Errno;

use crate::dns;
use crate::firewall;
use crate::forwarding::{self, RequiredSysctl};
use crate::netlink::{Netlink, Route};
use crate::network::{Network, Origin};
use crate::rules;
use crate::source_filter;
use crate::store::{NetworkRecord, NetworkStore};

/// The networks of the host, which no other process changes while this value exists.
pub(crate) struct Host {
    /// The networks, the leases and the changes made to the host, read from their
    /// files.
    pub(crate) store: NetworkStore,
    /// A socket to the kernel's links, addresses and routes.
    pub(crate) netlink: Netlink,
}

impl Host {
    /// Waits until no other process changes networks, and reads them.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Host { store: NetworkStore::open(dir)?, netlink: Netlink::open()? })
    }

    /// Adapts rules, settings and bridges to the leases. Goes on past errors, and
    /// returns them all.
    pub(crate) fn reconcile(&mut self) -> Vec<anyhow::Error> {
        let mut errors = Vec::new();
        let networks: Vec<NetworkRecord> =
            self.store.networks_in_use().cloned().collect();
        let networks: Vec<&NetworkRecord> = networks.iter().collect();
        let required = self.prepare_forwarding(&networks, &mut errors);
        let store = &mut self.store;
        // The rules come first: as soon as forwarding is on, a packet passes unless a
        // rule drops it.
        let saved = &store.changes().sysctls;
        match rules::replace_table(store.dir(), &networks, saved) {
            Ok(()) => self.filter_sources(&networks, &mut errors),
            Err(error) => errors.push(error), // the tables may not be ours
        }
        let store = &mut self.store;
        match required {
            Ok(required) => errors.extend(forwarding::set(&required)),
            Err(error) => errors.push(error),
        }
        errors.extend(firewall::remove_unused_rules(store).err());
        let unused = store.networks().filter(|record| record.leases.is_empty());
        let unused: Vec<_> = unused.map(|record| record.network.clone()).collect();
        for network in &unused {
            errors.extend(self.stop_network(network).err());
        }
        // An automatic network is removed from the store only when everything is
        // undone, because `gc` undoes only the changes for networks in the store.
        if errors.is_empty() {
            let automatic = |network: &&Network| network.origin == Origin::Automatic;
            for network in unused.iter().filter(automatic) {
                errors.extend(self.store.remove(&network.name).err());
            }
        }
        errors
    }

    /// Drops what containers send from addresses that are not theirs. On a kernel
    /// that cannot filter the frames of bridges, containers run without this filter.
    fn filter_sources(
        &self,
        networks: &[&NetworkRecord],
        errors: &mut Vec<anyhow::Error>,
    ) {
        let unsupported = [Errno::EOPNOTSUPP, Errno::EPROTONOSUPPORT, Errno::ENOENT];
        match source_filter::replace_table(networks) {
            Err(error)
                if kit::errno(&error).is_some_and(|it| unsupported.contains(&it)) =>
            {
                if !networks.is_empty() {
                    let what = "containers can send from any address: the kernel does \
                                not filter what bridges pass";
                    kit::warn_error(what, &error);
                }
            }
            done => errors.extend(done.err()),
        }
    }

    /// Records the settings that are to be changed, and restores those that are no
    /// longer required.
    fn prepare_forwarding(
        &mut self,
        networks: &[&NetworkRecord],
        errors: &mut Vec<anyhow::Error>,
    ) -> Result<Vec<RequiredSysctl>> {
        let uplinks = self.uplinks()?;
        let store = &mut self.store;
        let required =
            forwarding::requirements(networks, &uplinks, &store.changes().sysctls)?;
        let saved = forwarding::save(store, &required);
        errors.extend(forwarding::restore(store, &required));
        saved.map(|()| required)
    }

    /// Ends the DNS responder of a network without containers, and removes the bridge
    /// of an automatic network.
    fn stop_network(&mut self, network: &Network) -> Result<()> {
        dns::stop(&self.store.leases_path(&network.name))?;
        match network.origin {
            Origin::UserCreated => Ok(()),
            Origin::Automatic => network.remove_bridge(&mut self.netlink),
        }
    }

    /// Lists the links through which the host reaches other hosts: those of its unicast
    /// routes, without our bridges.
    pub(crate) fn uplinks(&mut self) -> Result<Vec<String>> {
        let routes = self.netlink.routes()?;
        // Every link has a route to link-local addresses, which leads to no other
        // network.
        let leads_out =
            |route: &&Route| route.is_unicast && !is_link_local(route.destination.ip());
        let is_used = |index: u32| {
            routes.iter().filter(leads_out).any(|route| route.links.contains(&index))
        };
        let is_ours = |name: &str| {
            self.store.networks().any(|record| record.network.bridge == name)
        };
        let uplinks = self.netlink.links()?.into_iter().filter(|link| {
            link.name != "lo" && is_used(link.index) && !is_ours(&link.name)
        });
        Ok(uplinks.map(|link| link.name).collect())
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
    }
}
