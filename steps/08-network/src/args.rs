//! The options of this step, and the plain values that they become.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use clap::builder::PossibleValue;
use kit::{Failure, FailureKind};
use nix::unistd::geteuid;

use crate::dns::ResponderOptions;
use crate::etc::{self, AddHost, NameServer};
use crate::firewall::Firewall;
use crate::netlink::Mac;
use crate::network::NetworkName;
use crate::options::{BridgeOptions, NetworkMode, NetworkOptions, PastaOptions};
use crate::port::{Port, Publish};

/// The network of a container, and which of its ports others reach.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "network_options")]
#[command(next_help_heading = "Network")]
pub struct Args {
    /// The container's network
    ///
    /// none, host, bridge (the default for root), pasta (the default without root; none
    /// if pasta is not installed), or the name of a network that `network create` made.
    #[arg(long, value_name = "NETWORK", alias = "net")]
    network: Option<NetworkChoice>,

    /// Publish a port; with 127.0.0.1:8080:80 only this host reaches it
    ///
    /// Without IP every host that reaches this one can connect, as with Docker. Without
    /// HOSTPORT (80, or 127.0.0.1::80) a free port is chosen: a note names it, and so
    /// does `show`. May be given more than once, for ranges (8000-8009:80-89), and for
    /// UDP (5353:53/udp).
    #[arg(short, long, value_name = "[[IP:]HOSTPORT:]PORT")]
    publish: Vec<Publish>,

    /// Its IPv4 address [default: the first free one of the network]
    #[arg(long, value_name = "IPV4")]
    ip: Option<Ipv4Addr>,

    /// Its IPv6 address, on a network that has IPv6
    #[arg(long, value_name = "IPV6")]
    ip6: Option<Ipv6Addr>,

    /// Its MAC address [default: made of its IPv4 address]
    #[arg(long, value_name = "MAC")]
    mac_address: Option<Mac>,

    /// Its DNS server; may be given more than once [default: those of the host]
    #[arg(long, value_name = "IP")]
    dns: Vec<NameServer>,

    /// The domain that is appended to short names [default: those of the host]
    #[arg(long, value_name = "DOMAIN", value_parser = etc::host_name)]
    dns_search: Vec<String>,

    /// An option of its resolver, such as ndots:2 [default: those of the host]
    #[arg(long, value_name = "OPTION", alias = "dns-opt", value_parser = etc::resolver_option)]
    dns_option: Vec<String>,

    /// Add a name to its /etc/hosts; `host-gateway` stands for the host's address
    ///
    /// NAME=IP is the same.
    #[arg(long, value_name = "NAME:IP", value_parser = AddHost::parse)]
    add_host: Vec<AddHost>,

    /// Another name by which containers of the same network find it
    #[arg(long, value_name = "NAME", alias = "net-alias", value_parser = etc::host_name)]
    network_alias: Vec<String>,

    /// Refuse or adjust a firewall of the host that would drop its packets
    #[arg(long, value_enum, value_name = "WHAT", default_value = "check")]
    firewall: Firewall,

    #[command(flatten)]
    dir: DirArgs,
}

/// The directory of the networks.
#[derive(clap::Args, Clone, Debug)]
pub struct DirArgs {
    /// The directory of the networks and their leases
    #[arg(
        long = "network-dir",
        value_name = "DIR",
        default_value = "/var/lib/kiste-networks"
    )]
    network_dir: PathBuf,
}

/// The arguments of the hidden subcommand `dns-responder`.
#[derive(clap::Args, Clone, Debug)]
pub struct DnsResponderArgs {
    /// The options of the responder, as JSON
    pub(crate) options: ResponderOptions,

    /// Start the responder, and exit without waiting for it
    #[arg(long)]
    pub(crate) detach: bool,
}

/// The value of `--network`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NetworkChoice {
    None,
    Host,
    /// The default network.
    Bridge,
    Pasta,
    /// A network that `network create` made.
    Named(NetworkName),
}

impl DirArgs {
    /// The directory of the networks and their leases.
    pub fn dir(&self) -> &Path {
        &self.network_dir
    }
}

impl Args {
    /// Turns the options into the value that [`crate::connect`] takes.
    ///
    /// # Errors
    /// When an option does not go with the network, or the network needs root or pasta.
    pub fn plan(&self) -> Result<NetworkOptions> {
        Ok(NetworkOptions {
            mode: self.mode()?,
            aliases: self.network_alias.clone(),
            dns_servers: self.dns.clone(),
            dns_search: self.dns_search.clone(),
            dns_options: self.dns_option.clone(),
            add_hosts: self.add_host.clone(),
        })
    }

    fn mode(&self) -> Result<NetworkMode> {
        let pasta = find_pasta();
        let choice = match &self.network {
            Some(choice) => choice.clone(),
            None => default_choice(pasta.is_some()),
        };
        self.refuse_bridge_options(&choice)?;
        match choice {
            NetworkChoice::None => Ok(NetworkMode::None),
            NetworkChoice::Host => Ok(NetworkMode::Host),
            NetworkChoice::Pasta => match pasta {
                Some(program) => Ok(NetworkMode::Pasta(PastaOptions {
                    program,
                    ports: self.ports(),
                })),
                None => Err(Failure::new("--network pasta: pasta is not installed")
                    .hint("install the package passt, or choose --network none")
                    .into()),
            },
            NetworkChoice::Bridge => self.bridge(None),
            NetworkChoice::Named(name) => self.bridge(Some(name)),
        }
    }

    fn bridge(&self, network: Option<NetworkName>) -> Result<NetworkMode> {
        if !geteuid().is_root() {
            let name = network.as_ref().map_or("bridge", |name| &name.0);
            let what = format!("--network {name}: only root can create bridges");
            return Err(Failure::new(what)
                .hint("leave --network out to use pasta or none, or use sudo")
                .into());
        }
        Ok(NetworkMode::Bridge(BridgeOptions {
            dir: self.dir.dir().into(),
            network,
            ip: self.ip,
            ip6: self.ip6,
            mac: self.mac_address,
            ports: self.ports(),
            firewall: self.firewall,
        }))
    }

    /// Refuses the options that only a bridge has, on a network without one.
    fn refuse_bridge_options(&self, choice: &NetworkChoice) -> Result<()> {
        let network = match choice {
            NetworkChoice::None => "none",
            NetworkChoice::Host => "host",
            NetworkChoice::Pasta => "pasta",
            NetworkChoice::Bridge | NetworkChoice::Named(_) => return Ok(()),
        };
        // The container does not reach the host, neither with a loopback link alone nor
        // through pasta.
        let uses_host_gateway = self.add_host.iter().any(AddHost::is_host_gateway)
            && *choice != NetworkChoice::Host;
        let publishes = !self.publish.is_empty() && *choice != NetworkChoice::Pasta;
        let given = [
            (publishes, "--publish"),
            (self.ip.is_some(), "--ip"),
            (self.ip6.is_some(), "--ip6"),
            (self.mac_address.is_some(), "--mac-address"),
            (!self.network_alias.is_empty(), "--network-alias"),
            (uses_host_gateway, "--add-host NAME:host-gateway"),
        ];
        let Some((_, option)) = given.into_iter().find(|(is_given, _)| *is_given)
        else {
            return Ok(());
        };
        let hint = match geteuid().is_root() {
            true => "leave --network out, or name a bridge network",
            false => "leave it out, or use sudo",
        };
        let what = format!("{option} cannot be used with --network {network}");
        Err(Failure::new(what)
            .with_kind(FailureKind::Usage)
            .hint(hint)
            .with_exit_code(2)
            .into())
    }

    /// The ports to publish.
    fn ports(&self) -> Vec<Port> {
        self.publish.iter().flat_map(Publish::ports).collect()
    }
}

/// The network of a container when there is no `--network`.
fn default_choice(has_pasta: bool) -> NetworkChoice {
    if geteuid().is_root() {
        return NetworkChoice::Bridge;
    }
    if has_pasta {
        return NetworkChoice::Pasta;
    }
    kit::notice("note: the container has no network: pasta is not installed");
    kit::notice("hint: install the package passt, or choose --network host or none");
    NetworkChoice::None
}

/// The path of pasta(1), if it is in `$PATH`.
pub fn find_pasta() -> Option<PathBuf> {
    kit::find_program(&std::env::var_os("PATH")?, "pasta")
}

impl FromStr for NetworkChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(NetworkChoice::None),
            "host" => Ok(NetworkChoice::Host),
            "bridge" => Ok(NetworkChoice::Bridge),
            "pasta" => Ok(NetworkChoice::Pasta),
            name => name.parse().map(NetworkChoice::Named),
        }
    }
}

impl clap::ValueEnum for Firewall {
    fn value_variants<'a>() -> &'a [Self] {
        &[Firewall::Check, Firewall::Adjust]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (value, help) = match self {
            Firewall::Check => {
                ("check", "Refuse to start, and name the firewall's chain")
            }
            Firewall::Adjust => (
                "adjust",
                "Add rules to it that accept the packets, until the last container ends",
            ),
        };
        Some(PossibleValue::new(value).help(help))
    }
}
