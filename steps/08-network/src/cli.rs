//! The subcommands of this step other than `run`: `network`, `show`, `gc` and the
//! hidden `dns-responder`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use kit::narration::Format;
use kit::{ExplainArgs, Failure};

use crate::args::{DirArgs, DnsResponderArgs};
use crate::create::NewNetwork;
use crate::dns;
use crate::gc;
use crate::manage;
use crate::mtu;
use crate::network::{Isolation, NetworkName};
use crate::show::draw;
use crate::status::{NetworkStatus, Topology, network_statuses};
use crate::store::NetworkStore;
use crate::subnet::Subnet;

/// The subcommands of `network`.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum NetworkCommand {
    /// Create a network, which stays until `network rm`
    Create(Create),
    /// List networks
    Ls(List),
    /// Print the state of a network and of its containers, as JSON
    Inspect(OneNetwork),
    /// Remove a network that has no containers
    Rm(OneNetwork),
}

/// The options of `network create`.
#[derive(clap::Args, Clone, Debug)]
pub struct Create {
    #[command(flatten)]
    explain: ExplainArgs,
    /// Its name; containers join it with --network NAME
    name: NetworkName,
    /// Its IPv4 subnet [default: a private one of 254 addresses that the host does not use]
    #[arg(long, value_name = "CIDR")]
    subnet: Option<Subnet>,
    /// Give it a private IPv6 subnet as well (RFC 4193)
    #[arg(long)]
    ipv6: bool,
    /// The longest packet that it carries, in bytes [default: that of the host's uplink]
    #[arg(
        long, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(i64::from(mtu::MIN)..=i64::from(mtu::MAX)),
    )]
    mtu: Option<u32>,
    /// Connect its containers with each other only: there is no way out or in
    #[arg(long, conflicts_with = "isolate")]
    internal: bool,
    /// Keep its containers apart from those of other networks, also at published ports
    #[arg(long)]
    isolate: bool,
    #[command(flatten)]
    dir: DirArgs,
}

/// The options of `network ls`.
#[derive(clap::Args, Clone, Debug)]
pub struct List {
    /// Print for people (text) or for machines (json)
    #[arg(long, default_value = "text")]
    format: Format,
    #[command(flatten)]
    dir: DirArgs,
}

/// The options of `network inspect` and `network rm`.
#[derive(clap::Args, Clone, Debug)]
pub struct OneNetwork {
    /// The name of the network
    name: NetworkName,
    #[command(flatten)]
    dir: DirArgs,
}

/// The options of `gc`.
#[derive(clap::Args, Clone, Debug)]
pub struct GcArgs {
    #[command(flatten)]
    steps_below: image::cli::Gc,
    #[command(flatten)]
    networks: DirArgs,
}

impl NetworkCommand {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// All errors have exit code 1.
    pub fn run(&self) -> Result<ExitCode> {
        exit_code(match self {
            NetworkCommand::Create(args) => args.run(),
            NetworkCommand::Ls(args) => args.run(),
            NetworkCommand::Inspect(args) => args.inspect(),
            NetworkCommand::Rm(args) => args.remove(),
        })
    }
}

impl Create {
    fn run(&self) -> Result<()> {
        self.explain.start();
        let network = NewNetwork {
            name: self.name.clone(),
            subnet: self.subnet,
            has_ipv6: self.ipv6,
            mtu: self.mtu,
            isolation: match (self.internal, self.isolate) {
                (true, _) => Isolation::Internal,
                (_, true) => Isolation::Isolated,
                _ => Isolation::Open,
            },
        };
        manage::create(self.dir.dir(), &network)?;
        kit::print(format_args!("{}\n", self.name.0))
    }
}

impl List {
    fn run(&self) -> Result<()> {
        let networks = network_statuses(&NetworkStore::open(self.dir.dir())?)?;
        match self.format {
            Format::Json => kit::print_json(&networks),
            Format::Text => kit::print(table(&networks)),
        }
    }
}

fn table(networks: &[NetworkStatus]) -> String {
    let mut table = format!(
        "{:<16} {:<10} {:<20} {:<10} CONTAINERS\n",
        "NAME", "BRIDGE", "SUBNET", "ISOLATION"
    );
    for NetworkStatus { network, containers, .. } in networks {
        let _ = writeln!(
            table,
            "{:<16} {:<10} {:<20} {:<10} {}",
            network.name,
            network.bridge,
            network.subnet.network().to_string(),
            network.isolation.name(),
            containers.len()
        );
    }
    table
}

impl OneNetwork {
    fn inspect(&self) -> Result<()> {
        let store = NetworkStore::open(self.dir.dir())?;
        let name = &store.network(&self.name.0)?.network.name;
        let networks = network_statuses(&store)?;
        kit::print_json(&networks.iter().find(|status| status.network.name == *name))
    }

    fn remove(&self) -> Result<()> {
        manage::remove(self.dir.dir(), &self.name)?;
        kit::print(format_args!("{}\n", self.name.0))
    }
}

impl GcArgs {
    /// Runs `gc`: removes what dead runs have left, of the steps below as well.
    ///
    /// # Errors
    /// All that could not be removed; `gc` tries it again the next time.
    pub fn run(&self) -> Result<ExitCode> {
        let errors = [self.steps_below.run().err(), gc::gc(self.networks.dir()).err()];
        exit_code(kit::combine_errors(errors.into_iter().flatten().collect()))
    }
}

impl DirArgs {
    /// Runs `show`: draws the host, its bridges and their containers.
    ///
    /// # Errors
    /// When the networks, or the kernel's links or rules, cannot be read.
    pub fn show(&self) -> Result<ExitCode> {
        let topology =
            NetworkStore::open(self.dir()).and_then(|store| Topology::read(&store));
        exit_code(topology.and_then(|topology| kit::print(draw(&topology))))
    }
}

impl DnsResponderArgs {
    /// Runs `dns-responder`.
    ///
    /// # Errors
    /// As [`dns::respond`] and [`dns::respond_detached`].
    pub fn run(&self) -> Result<ExitCode> {
        match self.detach {
            true => dns::respond_detached(&self.options),
            false => dns::respond(&self.options),
        }
    }
}

fn exit_code(done: Result<()>) -> Result<ExitCode> {
    done.map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::of(&error).with_exit_code(1).into())
}
