//! A container on a bridge, as ip(8) shows it.

use kiste_tests::{World, host, net};

use crate::world;

const SLEEP: [&str; 2] = ["sleep", "1000"];

/// Returns the state of a network.
#[track_caller]
pub fn inspect(world: &World, network: &str) -> serde_json::Value {
    let ran = world.run_kiste(&["network", "inspect", network]);
    serde_json::from_str(&ran.exits(0).out).unwrap()
}

/// Returns the lease of the only container of a network, without the state of its
/// cable.
#[track_caller]
pub fn lease(world: &World, network: &str) -> serde_json::Value {
    let mut container = inspect(world, network)["containers"][0].clone();
    container.as_object_mut().and_then(|fields| fields.remove("cable"));
    container
}

#[test]
fn a_container_has_a_cable_to_a_bridge_an_address_and_a_default_route() {
    let Some(world) = world() else { return };
    let running = world.start(&[], &SLEEP);
    assert_ne!(host::namespace(running.pid, "net"), host::namespace("self", "net"));
    let lease = lease(&world, "kiste");
    let (link, ip) =
        (lease["link"].as_str().unwrap(), lease["addresses"][0].as_str().unwrap());
    let bridged = world.sh_on_host("ip -o link show master kiste0");
    assert_eq!(bridged.out.lines().count(), 1);
    assert!(bridged.out.contains(&format!(" {link}@")), "{}", bridged.out);
    let inside = world
        .sh_in_container(
            &running,
            "ip -o -4 addr show eth0; ip route; ip -o link show lo",
        )
        .out;
    assert!(inside.contains(&format!("inet {ip}/24")), "{inside}");
    assert!(
        inside.contains("default via 10.77.0.1 dev eth0")
            && inside.contains("LOOPBACK,UP"),
        "{inside}"
    );
    world.run(&[], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
    drop(running);
    world.assert_unchanged();
}

#[test]
fn nothing_from_outside_reaches_a_port_that_is_not_published() {
    let Some(world) = world() else { return };
    let running = world.serve(&[], "hello");
    let lease = lease(&world, "kiste");
    let ip = lease["addresses"][0].as_str().unwrap();
    // The host itself reaches it.
    world.sh_on_host(&format!("curl -sS -m5 http://{ip}/i")).assert_stdout("hello");
    world
        .sh_on_other_host(&format!("ip route add 10.77.0.0/24 via {}", net::HOST))
        .exits(0);
    assert_ne!(world.sh_on_other_host(&format!("busybox ping -c1 -W1 {ip}")).code, 0);
    assert_ne!(world.sh_on_other_host(&format!("curl -sS -m2 http://{ip}/i")).code, 0);
    drop(running);
}

/// The runtime turns on forwarding only for containers.
#[test]
fn the_host_does_not_become_a_router() {
    let Some(world) = world() else { return };
    world.sh_on_host("ip link add other0 type veth peer name other1 && ip addr add 198.51.100.1/24 dev other0 && \
              ip link set other0 up && ip link set other1 up && ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev other0")
        .exits(0);
    world
        .sh_on_other_host(&format!("ip route add 198.51.100.0/24 via {}", net::HOST))
        .exits(0);
    let running = world.start(&[], &SLEEP);
    assert_eq!(
        world.sh_on_host("cat /proc/sys/net/ipv4/conf/out0/forwarding").out.trim(),
        "1"
    );
    // No route uses this link, so its forwarding stays off.
    assert_eq!(
        world.sh_on_host("cat /proc/sys/net/ipv4/conf/other1/forwarding").out.trim(),
        "0"
    );
    world.sh_on_host("nft add table ip spy; nft add chain ip spy out '{ type filter hook postrouting priority 300; }'; \
              nft add rule ip spy out oifname other0 ip daddr 198.51.100.9 icmp type echo-request counter")
        .exits(0);
    assert_ne!(
        world.sh_on_other_host("busybox ping -c2 -i0.2 -W1 198.51.100.9").code,
        0
    );
    let spied = world.sh_on_host("nft list table ip spy").out;
    assert!(spied.contains("packets 0 "), "{spied}");
    // The host forwards the container's packets to the same address. If the answer to
    // the first ARP request is lost, the kernel asks again after a second.
    let _ = world.run(&[], &["ping", "-c1", "-W3", "198.51.100.9"]);
    let spied = world.sh_on_host("nft list table ip spy; nft delete table ip spy").out;
    assert!(spied.contains("packets 1 "), "{spied}");
    drop(running);
}

#[test]
fn a_requested_address_is_given_to_only_one_container() {
    let Some(world) = world() else { return };
    let options = ["--ip", "10.77.0.77", "--mac-address", "02:11:22:33:44:55"];
    let running = world.start(&options, &SLEEP);
    let inside = world.sh_in_container(&running, "ip addr show eth0").out;
    assert!(
        inside.contains("inet 10.77.0.77/24") && inside.contains("02:11:22:33:44:55"),
        "{inside}"
    );
    world
        .run(&["--ip", "10.77.0.77"], &["true"])
        .exits(125)
        .assert_stderr_contains("10.77.0.77: container ");
    world
        .run(&["--mac-address", "02:11:22:33:44:55"], &["true"])
        .exits(125)
        .assert_stderr_contains("has it");
    world
        .run(&["--ip", "10.77.0.1"], &["true"])
        .exits(125)
        .assert_stderr_contains("the bridge has it");
    world
        .run(&["--ip", "192.0.2.9"], &["true"])
        .exits(125)
        .assert_stderr_contains("not in 10.77.0.0/24");
    world
        .run(&["--ip6", "fd00::9"], &["true"])
        .exits(125)
        .assert_stderr_contains("has no IPv6");
    drop(running);
    world.assert_unchanged();
}

#[test]
fn the_default_subnet_avoids_the_routes_of_the_host() {
    let Some(world) = world() else { return };
    world
        .sh_on_host(&format!(
            "ip route add 10.0.0.0/8 via {} table 100; ip addr add 172.31.0.1/24 dev lo",
            net::OUTSIDE
        ))
        .exits(0);
    let ran = world.run_sh(&[], "ip -o -4 addr show eth0");
    assert!(ran.exits(0).out.contains("inet 172.31.1.2/24"), "{}", ran.out);
}

#[test]
fn network_none_has_only_a_loopback_link_and_network_host_shares_the_hosts_links() {
    let Some(world) = world() else { return };
    let script = "ls /sys/class/net | tr '\\n' ' '; ping -c1 -W1 127.0.0.1 >/dev/null && echo itself; readlink /proc/self/ns/net";
    let none = world.run_sh(&["--network", "none"], script);
    let host_namespace = world.sh_on_host("readlink /proc/self/ns/net").out;
    assert!(
        none.exits(0).out.starts_with("lo itself\n")
            && !none.out.contains(&host_namespace),
        "{}",
        none.out
    );
    let shared = world.run_sh(
        &["--network", "host"],
        "readlink /proc/self/ns/net; ip -o link show out0 | wc -l",
    );
    shared.assert_stdout(&format!("{}\n1", host_namespace.trim()));
    for network in ["none", "host"] {
        let ran = world.run(&["--network", network, "-p", "8080:80"], &["true"]);
        ran.exits(2)
            .assert_stderr_contains("--publish")
            .assert_stderr_contains(network);
    }
    world
        .run(&["--network", "nowhere"], &["true"])
        .exits(125)
        .assert_stderr_contains("there is no network \"nowhere\"");
    world.assert_unchanged();
}

#[test]
fn a_container_in_a_user_namespace_is_on_the_bridge() {
    let Some(world) = world() else { return };
    let ran = world.run(&["--userns", "auto"], &["ping", "-c1", "-W3", net::OUTSIDE]);
    if ran.lacks_idmapped_mounts() {
        return;
    }
    ran.exits(0);
    world.assert_unchanged();
}
