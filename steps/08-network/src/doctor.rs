//! The checks of this step: can the kernel create bridges, veth pairs and packet filter
//! rules, and does the host's own firewall drop the packets of containers?

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Result;
use exec::{CloneFlags, Command, Spawn};
use kit::doctor::Check;
use nix::unistd::geteuid;

use crate::create::DEFAULT_BRIDGE;
use crate::lease::Lease;
use crate::netlink::{Mac, Netlink};
use crate::network::Network;
use crate::nft::Ruleset;
use crate::obstacle::{Obstacle, legacy_obstacles, obstacles};
use crate::port::{Port, Protocol};
use crate::rules;
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

/// The checks of this step: `bridge`, `veth`, `nftables`, `forward-policy`, `pasta`.
/// `pasta` is the path of the program, if it is installed.
pub fn checks(pasta: Option<&Path>) -> Vec<Check> {
    let mut checks = match geteuid().is_root() {
        true => vec![
            in_new_namespace("bridge", "one was created", |netlink| {
                netlink.add_bridge("kiste0", MAC)
            }),
            in_new_namespace("veth", "a pair was created", |netlink| {
                let namespace = File::open("/proc/self/ns/net")?;
                netlink.add_veth("veth0", "eth0", MAC, namespace.as_fd())
            }),
            in_new_namespace("nftables", "a table with NAT was created", |_| {
                rules::replace_table(Path::new("a sample"), &[&sample_network()], &[])
            }),
            forward_policy(),
        ],
        false => {
            ["bridge", "veth", "nftables", "forward-policy"].map(needs_root).into()
        }
    };
    checks.push(match pasta {
        Some(path) => Check::ok("pasta", path.display()),
        None => Check::missing(
            "pasta",
            "pasta is not in PATH, so containers have no network without root",
            "install the package passt",
        ),
    });
    checks
}

const MAC: Mac = Mac([0x02, 0x08, 0, 0, 0, 1]);

fn needs_root(name: &str) -> Check {
    Check::missing(name, "only root can check this", "use sudo; pasta works without it")
}

/// Checks that `create` succeeds in a new network namespace.
fn in_new_namespace(
    name: &str,
    found: &str,
    create: impl Fn(&mut Netlink) -> Result<()>,
) -> Check {
    let command = Command {
        argv: vec!["true".into()],
        env: vec!["PATH=/usr/bin:/bin".into()],
        ..Command::default()
    };
    let child = Spawn::new(CloneFlags::CLONE_NEWNET).spawn(|parent| {
        create(&mut Netlink::open()?)?;
        exec::become_command(&command, parent)
    });
    match child.and_then(|child| child.wait()) {
        Ok(_) => Check::ok(name, found),
        Err(error) => {
            let fix = "load the modules bridge, veth, nf_tables, nft_chain_nat, nft_masq, nft_fib_inet and nft_ct, \
                       or boot a kernel that has them; or use --network host or none";
            Check::missing(name, kit::Failure::of(&error), fix)
        }
    }
}

/// A network with a published port, so that the table has every kind of rule.
fn sample_network() -> NetworkRecord {
    let subnet = const { Subnet::v4(Ipv4Addr::new(10, 77, 0, 1), 24) };
    let port = Port { ip: None, host: 8080, inside: 80, protocol: Protocol::Tcp };
    let lease = Lease {
        id: "0123456789ab".into(),
        run_dir: None,
        runtime: None,
        hostname: String::new(),
        aliases: Vec::new(),
        addresses: vec![IpAddr::from([10, 77, 0, 2])],
        dns: Vec::new(),
        mac: MAC,
        link: "veth0".into(),
        ports: vec![port],
    };
    let network = Network::automatic("kiste", "kiste0".into(), subnet);
    NetworkRecord { network, leases: vec![lease] }
}

/// Checks that no other table drops the packets of containers.
fn forward_policy() -> Check {
    let name = "forward-policy";
    let why = "do other tables drop the packets of containers?";
    let of_nftables = Ruleset::read(why)
        .and_then(|mut ruleset| obstacles(&mut ruleset, DEFAULT_BRIDGE, &[]));
    let all = of_nftables.and_then(|of_nftables| {
        Ok([of_nftables, legacy_obstacles(DEFAULT_BRIDGE, &[])?].concat())
    });
    let obstacles: Vec<_> = match all {
        Ok(obstacles) => obstacles.iter().map(Obstacle::describe).collect(),
        Err(error) => {
            return Check::missing(name, kit::Failure::of(&error), "use sudo");
        }
    };
    if !obstacles.is_empty() {
        let fix =
            "run with --firewall=adjust, or let the bridge kiste0 through yourself";
        return Check::missing(name, obstacles.join("; "), fix);
    }
    Check::ok(name, "no other table drops the packets of containers")
}
