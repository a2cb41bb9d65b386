//! `network create`, `ls`, `inspect` and `rm`: networks that are made by hand.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Result;
use kit::ExplainArgs;
use kit::{Failure, Hint};
use serde::Serialize;

use crate::args::{DirArgs, DnsResponderArgs};
use crate::create;
use crate::dns;
use crate::gc;
use crate::host;
use crate::ipam;
use crate::lease::Lease;
use crate::netlink::Netlink;
use crate::network::{Isolation, Network, NetworkName, Origin};
use crate::store::{NetworkRecord, NetworkStore};
use crate::subnet::Subnet;

/// What is done with networks.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Make a network, which stays until `network rm`
    Create(Create),
    /// List networks
    Ls(Ls),
    /// Print all that is known of a network, and who is on it
    Inspect(Named),
    /// Remove a network that has no containers
    Rm(Named),
}

/// Options of `network create`.
#[derive(clap::Args, Clone, Debug)]
pub struct Create {
    #[command(flatten)]
    explain: ExplainArgs,
    /// What it is called; containers name it with --network
    name: NetworkName,
    /// Its IPv4 addresses; by default 254 private ones that the host has no use for
    #[arg(long, value_name = "CIDR")]
    subnet: Option<Subnet>,
    /// With IPv6, too: private addresses that are nobody else's (RFC 4193)
    #[arg(long)]
    ipv6: bool,
    /// With no way out, and none in: its containers reach each other, and nobody else
    #[arg(long, conflicts_with = "isolate")]
    internal: bool,
    /// Keep its containers and those of other networks from each other, at published
    /// ports too
    #[arg(long)]
    isolate: bool,
    #[command(flatten)]
    dir: DirArgs,
}

/// Options of `network ls`.
#[derive(clap::Args, Clone, Debug)]
pub struct Ls {
    /// Print for people (text) or for machines (json)
    #[arg(long, default_value = "text")]
    format: kit::narration::Format,
    #[command(flatten)]
    dir: DirArgs,
}

/// A network by its name.
#[derive(clap::Args, Clone, Debug)]
pub struct Named {
    /// Its name
    name: NetworkName,
    #[command(flatten)]
    dir: DirArgs,
}

/// Options of `gc`.
#[derive(clap::Args, Clone, Debug)]
pub struct GcArgs {
    #[command(flatten)]
    below: image::cli::Gc,
    #[command(flatten)]
    networks: DirArgs,
}

/// Runs `gc`: removes what dead runs have left, of the steps below as well.
///
/// # Errors
/// All that could not be removed; it is kept for the next time.
pub fn gc_command(args: &GcArgs) -> Result<ExitCode> {
    let errors = [args.below.run().err(), gc::gc(args.networks.dir()).err()];
    kit::combine(errors.into_iter().flatten().collect())
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::of(&error).exit(1).into())
}

/// Runs `dns-responder`.
///
/// # Errors
/// What [`dns::respond`] and [`dns::respond_detached`] say.
pub fn respond(args: &DnsResponderArgs) -> Result<ExitCode> {
    match args.detach {
        true => dns::respond_detached(&args.plan()),
        false => dns::respond(&args.plan()),
    }
}

/// A network as it is printed for machines.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    network: &'a Network,
    containers: &'a [Lease],
}

/// `network …`.
///
/// # Errors
/// What could not be done, with exit code 1.
pub fn command(command: &Command) -> Result<ExitCode> {
    let done = match command {
        Command::Create(args) => create_network(args),
        Command::Ls(args) => ls(args),
        Command::Inspect(args) => inspect(args),
        Command::Rm(args) => remove(args),
    };
    done.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::of(&error).exit(1).into())
}

fn create_network(args: &Create) -> Result<()> {
    args.explain.start();
    let subnet = args.subnet.map(usable).transpose()?;
    let mut store = NetworkStore::open(args.dir.dir())?;
    let mut netlink = Netlink::open()?;
    host::remove_stale_or_warn(&mut store, &mut netlink, None)?;
    if store.find(&args.name.0).is_some() {
        let failure =
            Failure::new(format_args!("there is a network {} already", args.name.0));
        return Err(failure
            .hint("choose another name, or remove that one with `network rm`")
            .into());
    }
    let subnet6 = args.ipv6.then(ipam::random_ipv6).transpose()?;
    let reach = match (args.internal, args.isolate) {
        (true, _) => Isolation::Internal,
        (_, true) => Isolation::Isolated,
        _ => Isolation::Open,
    };
    let network = create::named_network(
        &store,
        &mut netlink,
        &args.name,
        subnet,
        subnet6,
        reach,
    )?;
    store.add(network.clone())?;
    if let Err(error) = network.raise(&mut netlink) {
        let _ = netlink.remove_link(&network.bridge); // it may have been made
        let _ = store.remove(&network.name);
        return Err(error);
    }
    println!("{}", network.name);
    Ok(())
}

/// One that a container and the bridge have room in.
fn usable(subnet: Subnet) -> Result<Subnet> {
    let first = subnet.network().ip();
    let why = match subnet.prefix() {
        _ if first.is_ipv6() => "is IPv6: --ipv6 chooses one",
        31.. => "has no room for a container",
        0..8 => "is more than anybody has",
        _ if first != subnet.ip() => "has bits behind its prefix",
        _ if is_for_something_else(first) => "is for something else",
        _ => return Ok(subnet),
    };
    Err(Failure::new(format_args!("--subnet {subnet} {why}"))
        .hint("for example 10.88.0.0/24")
        .into())
}

/// RFC 6890: this network, loopback, link-local; and from multicast on all that is
/// above.
fn is_for_something_else(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [0 | 127 | 224.., ..] | [169, 254, ..]),
        IpAddr::V6(_) => true,
    }
}

fn ls(args: &Ls) -> Result<()> {
    let store = NetworkStore::open(args.dir.dir())?;
    if let kit::narration::Format::Json = args.format {
        let all: Vec<_> = store.networks().map(printed).collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!(
        "{:<16} {:<10} {:<20} {:<10} CONTAINERS",
        "NAME", "BRIDGE", "SUBNET", "REACH"
    );
    for NetworkRecord { network, leases } in store.networks() {
        let (subnet, reach) =
            (network.subnet.network().to_string(), network.isolation.name());
        println!(
            "{:<16} {:<10} {subnet:<20} {reach:<10} {}",
            network.name,
            network.bridge,
            leases.len()
        );
    }
    Ok(())
}

fn printed(noted: &NetworkRecord) -> Printed<'_> {
    Printed { network: &noted.network, containers: &noted.leases }
}

fn inspect(args: &Named) -> Result<()> {
    let store = NetworkStore::open(args.dir.dir())?;
    println!(
        "{}",
        serde_json::to_string_pretty(&printed(store.network(&args.name.0)?))?
    );
    Ok(())
}

fn remove(args: &Named) -> Result<()> {
    let mut store = NetworkStore::open(args.dir.dir())?;
    let mut netlink = Netlink::open()?;
    host::remove_stale_or_warn(&mut store, &mut netlink, None)?;
    let NetworkRecord { network, leases } = store.network(&args.name.0)?.clone();
    if !leases.is_empty() {
        let who: Vec<_> = leases
            .iter()
            .map(|lease| format!("{} ({})", lease.id, lease.hostname))
            .collect();
        let failure = Failure::new(format_args!(
            "{} has containers: {}",
            network.name,
            who.join(", ")
        ));
        return Err(failure.hint("end them first").into());
    }
    if network.origin == Origin::UserCreated {
        dns::wait_for_exit(&store.leases_path(&network.name))?;
        netlink.remove_link(&network.bridge)?;
        store.remove(&network.name)?;
    }
    kit::combine(host::reconcile(&mut store, &mut netlink)).hint("`gc` tries again")?;
    println!("{}", network.name);
    Ok(())
}
