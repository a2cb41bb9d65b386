//! The state of the networks: their records and leases, and the kernel's links.
//! `network ls` and `network inspect` print it, and `show` draws it.

use anyhow::Result;
use serde::Serialize;

use crate::create::DEFAULT_BRIDGE;
use crate::lease::Lease;
use crate::netlink::{Interface, Netlink};
use crate::network::Network;
use crate::nft::Ruleset;
use crate::obstacle::{Obstacle, obstacles};
use crate::rules::{self, Rules};
use crate::store::{NetworkRecord, NetworkStore};
use crate::subnet::Subnet;

/// A network, its bridge and its containers.
#[derive(Debug, Serialize)]
pub(crate) struct NetworkStatus {
    #[serde(flatten)]
    pub(crate) network: Network,
    /// The addresses of the bridge. None: the bridge does not exist.
    pub(crate) bridge_addresses: Option<Vec<Subnet>>,
    pub(crate) containers: Vec<ContainerStatus>,
}

/// A container on a network.
#[derive(Debug, Serialize)]
pub(crate) struct ContainerStatus {
    #[serde(flatten)]
    pub(crate) lease: Lease,
    pub(crate) cable: Cable,
}

/// The state of the cable between a container and its bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cable {
    /// Its end on the host is plugged into the bridge.
    Connected,
    /// Its end on the host is plugged into no bridge, or into another one.
    Disconnected,
    /// It does not exist.
    Missing,
}

/// Everything that `show` draws.
pub(crate) struct Topology {
    pub(crate) networks: Vec<NetworkStatus>,
    /// The host's links that belong to no network, and their addresses.
    pub(crate) other_links: Vec<(String, Vec<Subnet>)>,
    /// The rules that the networks require.
    pub(crate) rules: Rules,
    /// How many rules our table has.
    pub(crate) rule_count: usize,
    /// The chains of other tables that drop packets of containers.
    pub(crate) obstacles: Vec<Obstacle>,
}

/// The host's links and their addresses.
struct Links {
    links: Vec<Interface>,
    addresses: Vec<(u32, Subnet)>,
}

/// Reads the state of all networks.
pub(crate) fn network_statuses(store: &NetworkStore) -> Result<Vec<NetworkStatus>> {
    let links = Links::read()?;
    Ok(store.networks().map(|record| links.status(record)).collect())
}

impl Topology {
    /// Reads the state of all networks, of the host's other links and of its rules.
    pub(crate) fn read(store: &NetworkStore) -> Result<Self> {
        let links = Links::read()?;
        let networks: Vec<_> =
            store.networks().map(|record| links.status(record)).collect();
        let in_use: Vec<_> = store.networks_in_use().collect();
        let rules = match &in_use[..] {
            [] => Vec::new(),
            in_use => rules::all_rules(store.dir(), in_use, &store.changes().sysctls),
        };
        let mut ruleset = Ruleset::read("the rules of this network namespace")?;
        let mut rule_count = 0;
        for chain in ruleset.chains.clone() {
            if rules::is_ours(&chain.id) {
                rule_count += ruleset.rules(&chain.id)?.len();
            }
        }
        Ok(Topology {
            other_links: links.other_than(&networks),
            networks,
            rules,
            rule_count,
            obstacles: obstacles(&mut ruleset, DEFAULT_BRIDGE, &[])?,
        })
    }
}

impl Links {
    fn read() -> Result<Self> {
        let mut netlink = Netlink::open()?;
        Ok(Links { links: netlink.links()?, addresses: netlink.addresses()? })
    }

    fn find(&self, name: &str) -> Option<&Interface> {
        self.links.iter().find(|link| link.name == name)
    }

    fn addresses_of(&self, link: &Interface) -> Vec<Subnet> {
        let own = self.addresses.iter().filter(|(index, _)| *index == link.index);
        own.map(|(_, subnet)| *subnet).collect()
    }

    fn status(&self, record: &NetworkRecord) -> NetworkStatus {
        let bridge = self.find(&record.network.bridge);
        let container = |lease: &Lease| ContainerStatus {
            lease: lease.clone(),
            cable: match self.find(&lease.link) {
                None => Cable::Missing,
                Some(link) if link.bridge == bridge.map(|bridge| bridge.index) => {
                    Cable::Connected
                }
                Some(_) => Cable::Disconnected,
            },
        };
        NetworkStatus {
            network: record.network.clone(),
            bridge_addresses: bridge.map(|bridge| self.addresses_of(bridge)),
            containers: record.leases.iter().map(container).collect(),
        }
    }

    /// Lists the links that are neither a bridge nor a cable of these networks.
    fn other_than(&self, networks: &[NetworkStatus]) -> Vec<(String, Vec<Subnet>)> {
        let is_ours = |name: &String| {
            networks.iter().any(|status| {
                status.network.bridge == *name
                    || status.containers.iter().any(|it| it.lease.link == *name)
            })
        };
        self.links
            .iter()
            .filter(|link| !is_ours(&link.name))
            .map(|link| (link.name.clone(), self.addresses_of(link)))
            .collect()
    }
}
