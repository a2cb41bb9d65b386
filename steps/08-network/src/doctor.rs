//! What this step needs: bridges, cables and a packet filter; and nobody else's that
//! drops all.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Result;
use exec::{CloneFlags, Command, Spawn};
use kit::doctor::Check;
use nix::unistd::geteuid;

use crate::firewall::{self, Obstacle};
use crate::lease::Lease;
use crate::netlink::{Mac, Netlink};
use crate::network::{Isolation, Network, Origin};
use crate::nft::Ruleset;
use crate::port::{Port, Protocol};
use crate::rules;
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

/// The checks of this step: `bridge`, `veth`, `nftables`, `forward-policy`, `pasta`.
pub fn checks(pasta: Option<&Path>) -> Vec<Check> {
    let mut checks = match geteuid().is_root() {
        true => vec![
            tried("bridge", "one was made", |netlink| {
                netlink.add_bridge("kiste0", MAC)
            }),
            tried("veth", "a pair was made", |netlink| {
                let here = File::open("/proc/self/ns/net")?;
                netlink.add_veth("veth0", "eth0", MAC, here.as_fd())
            }),
            tried("nftables", "a table with NAT was made", |_| {
                rules::replace_table(Path::new("a sample"), &[&sample()], &[])
            }),
            policy(),
        ],
        false => ["bridge", "veth", "nftables", "forward-policy"].map(not_ours).into(),
    };
    checks.push(match pasta {
        Some(path) => Check::ok("pasta", path.display()),
        None => Check::missing(
            "pasta",
            "no pasta in PATH: without root there is no network",
            "install the package passt",
        ),
    });
    checks
}

const MAC: Mac = Mac([0x02, 0x08, 0, 0, 0, 1]);

fn not_ours(name: &str) -> Check {
    Check::missing(
        name,
        "links and rules of the host's are root's",
        "none is needed for pasta; else use sudo",
    )
}

/// Tries it in a network namespace that is thrown away.
fn tried(name: &str, found: &str, what: impl Fn(&mut Netlink) -> Result<()>) -> Check {
    let command = Command {
        argv: vec!["true".into()],
        env: vec!["PATH=/usr/bin:/bin".into()],
        workdir: None,
    };
    let tried = Spawn::new(CloneFlags::CLONE_NEWNET).spawn(|parent| {
        what(&mut Netlink::open()?)?;
        exec::become_command(&command, parent)
    });
    match tried.and_then(|child| child.wait()) {
        Ok(_) => Check::ok(name, found),
        Err(error) => {
            let mend = "load the modules bridge, veth, nf_tables, nft_chain_nat, nft_masq, nft_fib_inet and nft_ct, \
                        or boot a kernel that has them; --network host and none do without";
            Check::missing(name, format_args!("{error:#}"), mend)
        }
    }
}

/// A network with a published port, so that every kind of rule is tried.
fn sample() -> NetworkRecord {
    let subnet = const { Subnet::v4(Ipv4Addr::new(10, 77, 0, 1), 24) };
    let port = Port { ip: None, host: 8080, inside: 80, protocol: Protocol::Tcp };
    let lease = Lease {
        id: "0123456789ab".into(),
        run_dir: None,
        hostname: String::new(),
        aliases: Vec::new(),
        addresses: vec![IpAddr::from([10, 77, 0, 2])],
        dns: Vec::new(),
        mac: MAC,
        link: "veth0".into(),
        ports: vec![port],
    };
    let (name, bridge) = ("kiste".into(), "kiste0".into());
    let network = Network {
        name,
        bridge,
        subnet,
        subnet6: None,
        isolation: Isolation::Open,
        origin: Origin::Automatic,
    };
    NetworkRecord { network, leases: vec![lease] }
}

fn policy() -> Check {
    let name = "forward-policy";
    let ruleset = match Ruleset::read("would others stop what containers send?") {
        Ok(ruleset) => ruleset,
        Err(error) => {
            return Check::missing(name, format_args!("{error:#}"), "use sudo");
        }
    };
    let obstacles: Vec<_> =
        firewall::obstacles(&ruleset).iter().map(Obstacle::shown).collect();
    match (
        obstacles.is_empty(),
        firewall::legacy().iter().any(|table| table == "filter"),
    ) {
        (false, _) => Check::missing(
            name,
            obstacles.join("; "),
            "run with --firewall=adjust, or let kiste0 through yourself",
        ),
        (_, true) => Check::missing(
            name,
            "the host has rules of the old iptables, which cannot be looked into",
            "see `iptables-legacy -L FORWARD`; move to nftables",
        ),
        _ => Check::ok(name, "no other table drops what containers send"),
    }
}
