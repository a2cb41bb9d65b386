//! The network options of a container, as plain values. [`crate::Args`] makes them of
//! the command line.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::etc::{AddHost, NameServer};
use crate::firewall::Firewall;
use crate::netlink::Mac;
use crate::network::NetworkName;
use crate::port::Port;

/// The network of a container, and the content of its /etc/hosts and /etc/resolv.conf.
#[derive(Clone, Debug, Default)]
pub struct NetworkOptions {
    /// Its network.
    pub mode: NetworkMode,
    /// `--network-alias`: more names by which containers of its network find it.
    pub aliases: Vec<String>,
    /// `--dns`: its DNS servers; those of the host if empty.
    pub dns_servers: Vec<NameServer>,
    /// `--dns-search`: its search domains; those of the host if empty.
    pub dns_search: Vec<String>,
    /// `--dns-option`: its options of the resolver; those of the host if empty.
    pub dns_options: Vec<String>,
    /// `--add-host`: more lines for /etc/hosts.
    pub add_hosts: Vec<AddHost>,
}

/// The kinds of network that a container can have.
#[derive(Clone, Debug, Default)]
pub enum NetworkMode {
    /// A network namespace with a loopback link only.
    #[default]
    None,
    /// The host's network namespace.
    Host,
    /// A network namespace with a cable to a bridge.
    Bridge(BridgeOptions),
    /// A network namespace that pasta(1) connects.
    Pasta(PastaOptions),
}

/// The address, ports and network of a container on a bridge.
#[derive(Clone, Debug, Default)]
pub struct BridgeOptions {
    /// The directory of the networks and their leases.
    pub dir: PathBuf,
    /// The network; None: the default network, which is created when it is missing.
    pub network: Option<NetworkName>,
    /// Its IPv4 address; None: the first one that is free.
    pub ip: Option<Ipv4Addr>,
    /// Its IPv6 address, on a network that has IPv6; None: the first one that is free.
    pub ip6: Option<Ipv6Addr>,
    /// Its MAC address; None: one made of its IPv4 address.
    pub mac: Option<Mac>,
    /// The ports to publish.
    pub ports: Vec<Port>,
    /// Whether the host's firewall is changed when it would drop the container's
    /// packets.
    pub firewall: Firewall,
}

/// The program and the ports of a container that pasta connects.
#[derive(Clone, Debug, Default)]
pub struct PastaOptions {
    /// The path of pasta.
    pub program: PathBuf,
    /// The ports to publish.
    pub ports: Vec<Port>,
}
