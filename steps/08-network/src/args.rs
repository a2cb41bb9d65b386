//! The options of this step.

use std::net::IpAddr;
use std::str::FromStr;

use crate::etc::{self, AddHost};
use crate::firewall::Firewall;
use crate::netlink::Mac;
use crate::network::Name;
use crate::port::{Port, Publish};
use crate::store::DirArgs;

/// Which network it is on, and what of it others reach.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "network_options")]
#[command(next_help_heading = "Network")]
pub struct Args {
    /// Which network it is on
    ///
    /// none, host, bridge (the default network of root's), pasta (the usual one without
    /// root, else none), or one that `network create` made.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<Choice>,

    /// Publish a port: 127.0.0.1:8080:80 keeps it here
    ///
    /// Without IP it is open to every host that reaches this one, as with Docker. May be
    /// given more than once, for ranges (8000-8009:80-89), and for UDP (5353:53/udp).
    #[arg(short, long, value_name = "[IP:]HOSTPORT:PORT")]
    pub(crate) publish: Vec<Publish>,

    /// Its address on the network; by default the first that is free
    #[arg(long, value_name = "IPV4")]
    pub(crate) ip: Option<std::net::Ipv4Addr>,

    /// Its IPv6 address on a network that has IPv6
    #[arg(long, value_name = "IPV6")]
    pub(crate) ip6: Option<std::net::Ipv6Addr>,

    /// Its hardware address; by default one made of its address
    #[arg(long, value_name = "MAC")]
    pub(crate) mac_address: Option<MacAddress>,

    /// Whom it asks for names; by default whom the host asks
    #[arg(long, value_name = "IP")]
    pub(crate) dns: Vec<IpAddr>,

    /// What a name without a dot is looked for in; by default what the host looks in
    #[arg(long, value_name = "DOMAIN", value_parser = etc::search_domain)]
    pub(crate) dns_search: Vec<String>,

    /// Another name in its /etc/hosts; `host-gateway` stands for the host's address
    #[arg(long, value_name = "NAME:IP", value_parser = AddHost::parse)]
    pub(crate) add_host: Vec<AddHost>,

    /// Another name by which containers of the same network find it
    #[arg(long, value_name = "NAME", value_parser = etc::host_name)]
    pub(crate) network_alias: Vec<String>,

    /// What to do when the host's firewall would drop what it sends
    #[arg(long, value_enum, value_name = "WHAT", default_value = "check")]
    pub(crate) firewall: Firewall,

    #[command(flatten)]
    pub(crate) dir: DirArgs,
}

/// What `--network` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Only itself.
    None,
    /// The host's own.
    Host,
    /// The default network.
    Bridge,
    /// The host's sockets, by way of pasta.
    Pasta,
    /// One that was made by hand.
    Named(Name),
}

/// A hardware address that was typed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MacAddress(pub(crate) Mac);

impl FromStr for MacAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(MacAddress)
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Choice::None),
            "host" => Ok(Choice::Host),
            "bridge" => Ok(Choice::Bridge),
            "pasta" => Ok(Choice::Pasta),
            name => name.parse().map(Choice::Named),
        }
    }
}

impl Args {
    /// The ports that are to be published.
    pub(crate) fn ports(&self) -> Vec<Port> {
        self.publish.iter().flat_map(Publish::ports).collect()
    }

    /// The first option that is of no use there.
    pub(crate) fn given(&self, on: &Choice) -> Option<&'static str> {
        let given = [
            (!self.publish.is_empty() && *on != Choice::Pasta, "--publish"),
            (self.ip.is_some(), "--ip"),
            (self.ip6.is_some(), "--ip6"),
            (self.mac_address.is_some(), "--mac-address"),
            (!self.network_alias.is_empty(), "--network-alias"),
        ];
        given.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

impl Choice {
    /// As it was typed.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Choice::None => "none",
            Choice::Host => "host",
            Choice::Bridge => "bridge",
            Choice::Pasta => "pasta",
            Choice::Named(name) => &name.0,
        }
    }
}
