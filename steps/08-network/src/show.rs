//! `show`: the topology as a picture in the terminal.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use kit::Failure;

use crate::args::DirArgs;
use crate::firewall;
use crate::lease::Lease;
use crate::netlink::{Interface, Netlink};
use crate::nft::{Family, Ruleset};
use crate::rules;
use crate::store::{NetworkRecord, NetworkStore};
use crate::subnet::Subnet;

/// What the kernel and the notes say, now.
struct Seen {
    networks: Vec<NetworkRecord>,
    links: Vec<Interface>,
    addresses: Vec<(u32, Subnet)>,
    ruleset: Ruleset,
    rules: rules::Rules,
}

/// `show`.
///
/// # Errors
/// When the notes cannot be read, or the kernel does not say.
pub fn show(args: &DirArgs) -> Result<ExitCode> {
    let picture = see(args).map(|seen| draw(&seen));
    print!("{}", picture.map_err(|error| Failure::of(&error).exit(1))?);
    Ok(ExitCode::SUCCESS)
}

fn see(args: &DirArgs) -> Result<Seen> {
    let store = NetworkStore::open(args.dir())?;
    let mut netlink = Netlink::open()?;
    let networks: Vec<NetworkRecord> = store.networks().cloned().collect();
    let live: Vec<&NetworkRecord> =
        networks.iter().filter(|noted| !noted.leases.is_empty()).collect();
    let rules = if live.is_empty() {
        Vec::new()
    } else {
        rules::all(store.dir(), &live, &store.changes().sysctls)
    };
    let (links, addresses) = (netlink.links()?, netlink.addresses()?);
    Ok(Seen {
        links,
        addresses,
        ruleset: Ruleset::read("the rules that are there")?,
        rules,
        networks,
    })
}

fn draw(seen: &Seen) -> String {
    let mut picture = String::from("host\n");
    let is_ours = |link: &Interface| {
        let named = |noted: &NetworkRecord| {
            noted.network.bridge == link.name
                || noted.leases.iter().any(|lease| lease.link == link.name)
        };
        seen.networks.iter().any(named)
    };
    for link in seen.links.iter().filter(|link| !is_ours(link)) {
        let _ = writeln!(picture, "├─ {:<12} {}", link.name, addresses_of(seen, link));
    }
    for noted in &seen.networks {
        draw_network(&mut picture, seen, noted);
    }
    draw_rules(&mut picture, seen);
    picture
}

fn addresses_of(seen: &Seen, link: &Interface) -> String {
    let own = seen.addresses.iter().filter(|(index, _)| *index == link.index);
    own.map(|(_, subnet)| subnet.to_string()).collect::<Vec<_>>().join(" ")
}

fn draw_network(picture: &mut String, seen: &Seen, noted: &NetworkRecord) {
    let NetworkRecord { network, leases } = noted;
    let bridge = seen.links.iter().find(|link| link.name == network.bridge);
    let addresses =
        bridge.map_or("(not there)".into(), |link| addresses_of(seen, link));
    let (name, reach) = (&network.name, network.isolation.name());
    let _ = writeln!(
        picture,
        "├─ {:<12} {addresses}   bridge of {name}, {reach}",
        network.bridge
    );
    for (index, lease) in leases.iter().enumerate() {
        let corner = if index + 1 == leases.len() { '└' } else { '├' };
        let _ = writeln!(picture, "│  {corner}─ {}", cable(seen, bridge, lease));
    }
}

/// From the bridge to the container, and what is published of it.
fn cable(seen: &Seen, bridge: Option<&Interface>, lease: &Lease) -> String {
    let link = seen.links.iter().find(|link| link.name == lease.link);
    let plug = match link {
        None => "╌╌ (not there)",
        Some(link) if link.bridge == bridge.map(|bridge| bridge.index) => "──",
        Some(_) => "╌╌ (not plugged in)",
    };
    let addresses: Vec<_> = lease.addresses.iter().map(ToString::to_string).collect();
    let ports: Vec<_> = lease.ports.iter().map(|port| format!("  {port}")).collect();
    let (id, name) = (&lease.id, &lease.hostname);
    format!(
        "{} {plug} eth0 {}  {id} {name}{}",
        lease.link,
        addresses.join(" "),
        ports.concat()
    )
}

fn draw_rules(picture: &mut String, seen: &Seen) {
    let there = seen.ruleset.rules.iter().filter(|rule| {
        rule.chain.family == Family::Inet && rule.chain.table == rules::TABLE
    });
    let _ =
        writeln!(picture, "└─ table inet {}: {} rules", rules::TABLE, there.count());
    let mut last = "";
    for (chain, rule) in &seen.rules {
        if *chain != last {
            let _ = writeln!(picture, "   {chain}");
            last = chain;
        }
        let _ = writeln!(picture, "     {rule}");
    }
    for obstacle in firewall::obstacles(&seen.ruleset) {
        let _ = writeln!(picture, "   the host's own: {}", obstacle.shown());
    }
}
