//! Networks that `network create` makes, and the containers that reach each other on
//! them.

use std::thread;

use kiste_tests::{Running, World, net};

use serde_json::json;

use crate::bridge::{inspect, lease};
use crate::world;

fn create(world: &World, arguments: &[&str]) {
    world
        .run_kiste(&[&["network", "create"], arguments].concat())
        .assert_stdout(arguments[0]);
}

/// Returns the address of the only container of a network.
fn address(world: &World, network: &str) -> String {
    lease(world, network)["addresses"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_network_stays_until_it_is_removed() {
    let Some(world) = world() else { return };
    create(&world, &["web", "--subnet", "10.88.0.0/24"]);
    world
        .run_kiste(&["network", "create", "web"])
        .exits(1)
        .assert_stderr_contains("the network web already exists");
    world
        .run_kiste(&["network", "create", "other", "--subnet", "10.88.0.128/25"])
        .exits(1)
        .assert_stderr_contains("10.88.0.0/24");
    let ran = world.run_sh(&["--network", "web"], "ip -o -4 addr show eth0");
    assert!(ran.exits(0).out.contains("inet 10.88.0.2/24"), "{}", ran.out);
    world.sh_on_host("ip -o -4 addr show kiste1 | grep -q 10.88.0.1/24").exits(0);
    assert!(
        !world.sh_on_host("nft list ruleset").out.contains("kiste"),
        "no rule without a container"
    );
    let listed = world.run_kiste(&["network", "ls"]).exits(0).out.clone();
    assert!(listed.contains("web") && listed.contains("10.88.0.0/24"), "{listed}");
    let json =
        world.run_kiste(&["network", "ls", "--format", "json"]).exits(0).out.clone();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json[0]["name"].as_str(), json[0]["containers"].as_array().map(Vec::len)),
        (Some("web"), Some(0))
    );
    let running = world.start(&["--network", "web"], &["sleep", "1000"]);
    world
        .run_kiste(&["network", "rm", "web"])
        .exits(1)
        .assert_stderr_contains("web has containers");
    drop(running);
    world.run_kiste(&["network", "rm", "web"]).assert_stdout("web");
    world
        .run_kiste(&["network", "rm", "web"])
        .exits(1)
        .assert_stderr_contains("there is no network \"web\"");
    world.assert_unchanged();
}

#[test]
fn containers_of_one_network_reach_each_other_and_no_other_network() {
    let Some(world) = world() else { return };
    for network in ["one", "two", "three"] {
        create(&world, &[network]);
    }
    let served =
        ["one", "two"].map(|network| world.serve(&["--network", network], network));
    for network in ["one", "two"] {
        let ip = address(&world, network);
        world.run_sh(&["--network", network], &net::get(5, &ip)).assert_stdout(network);
        for other in ["one", "two", "three"].iter().filter(|other| **other != network) {
            let ran = world.run_sh(
                &["--network", other],
                &format!("ping -c1 -W1 {ip}; {}", net::get(2, &ip)),
            );
            assert!(
                ran.code != 0 && ran.out.contains("100% packet loss"),
                "{other} to {network}: {ran:?}"
            );
        }
    }
    drop(served);
}

/// The host did not forward before, so it must not forward between other hosts now. A
/// rule that named all bridges would have more expressions than the kernel allows.
///
/// With a hundred networks: `KISTE_NETWORKS=100 cargo test -p step-08-network --test
/// 08_network many_networks`
#[test]
fn many_networks_have_containers_on_a_host_that_did_not_forward() {
    let Some(world) = world() else { return };
    world.sh_on_host("echo 0 > /proc/sys/net/ipv4/conf/all/forwarding").exits(0);
    let count =
        std::env::var("KISTE_NETWORKS").map_or(40, |count| count.parse().unwrap());
    let servers = serve_on_networks(&world, count);
    let (last_open, last) = (format!("net{}", count - 2), format!("net{}", count - 1));
    let open = count * 3 / 4;
    for (network, reachable) in [("net0", open), (&last_open, open), (&last, 1)] {
        world
            .run(&["--network", network], &["ping", "-c1", "-W3", net::OUTSIDE])
            .exits(0);
        let address = format!("{}:$((8000+n))", net::HOST);
        let fetch_all = format!(
            "for n in $(seq 0 {}); do ({} | grep -x \"it is $n\") & done; wait",
            count - 1,
            net::get(2, &address),
        );
        let fetched = world.run_sh(&["--network", network], &fetch_all);
        let fetched = fetched.exits(0).out.lines().count();
        assert_eq!(fetched, reachable, "published ports, from {network}");
        let ping_all = "for n in $(seq 0 99); do ping -c1 -W1 10.88.$n.2 > /dev/null && echo net$n & done; wait";
        world.run_sh(&["--network", network], ping_all).assert_stdout(network);
    }
    let dropped = world.sh_on_host("nft list chain inet kiste between-others").out;
    assert!(dropped.contains("iifname \"out0\" drop"), "{dropped}");
    let rules = world.sh_on_host("nft -a list table inet kiste | grep -c handle").out;
    let rules: usize = rules.trim().parse().unwrap();
    assert!(rules < 30 * count, "{rules} rules");
    drop(servers);
}

/// Creates networks, every fourth of them isolated, each with a container that serves
/// its number at a port of its own. Starts four at a time.
fn serve_on_networks(world: &World, count: usize) -> Vec<Running> {
    for number in 0..count {
        let subnet = format!("10.88.{number}.0/24");
        let isolated = if number % 4 == 3 { &["--isolate"][..] } else { &[] };
        let name = format!("net{number}");
        create(world, &[&[name.as_str(), "--subnet", &subnet], isolated].concat());
    }
    let serve = |number: usize| {
        let (network, port) = (format!("net{number}"), format!("{}:80", 8000 + number));
        world.serve(&["--network", &network, "-p", &port], &format!("it is {number}"))
    };
    thread::scope(|scope| {
        let fourth = |first: usize| {
            scope
                .spawn(move || (first..count).step_by(4).map(serve).collect::<Vec<_>>())
        };
        let all: Vec<_> = (0..4).map(fourth).collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn links_have_the_mtu_of_the_uplink_or_the_chosen_one() {
    let Some(world) = world() else { return };
    world
        .sh_on_host("ip link set out0 mtu 1400 && ip link add lan0 mtu 1300 type veth peer name lan1")
        .exits(0);
    world
        .sh_on_host("ip link set lan0 up && ip addr add 198.51.100.1/24 dev lan0")
        .exits(0);
    world.sh_on_host(&format!("ip route add default via {}", net::OUTSIDE)).exits(0);
    create(&world, &["chosen", "--mtu", "1200"]);
    create(&world, &["six", "--ipv6"]);
    for (network, expected) in [("bridge", "1400"), ("chosen", "1200"), ("six", "1400")]
    {
        let running = world.start(&["--network", network], &["sleep", "1000"]);
        let mtu = format!(" mtu {expected} ");
        let inside = world.sh_in_container(&running, "ip -o link show eth0").out;
        assert!(inside.contains(&mtu), "{network}: {inside}");
        let outside = world
            .sh_on_host(
                "ip -o link show type bridge_slave; ip -o link show type bridge up",
            )
            .out;
        assert!(outside.contains(&mtu), "{network}: {outside}");
        drop(running);
    }
    assert_eq!(inspect(&world, "chosen")["mtu"], 1200);
    let short_packets = ["network", "create", "short", "--ipv6", "--mtu", "1200"];
    world.run_kiste(&short_packets).exits(1).assert_stderr_contains("IPv6 needs 1280");
}

#[test]
fn an_isolated_network_is_not_reached_through_its_published_ports() {
    let Some(world) = world() else { return };
    create(&world, &["open"]);
    create(&world, &["shut", "--isolate"]);
    let open = world.serve(&["--network", "open", "-p", "8080:80"], "open");
    let shut = world.serve(&["--network", "shut", "-p", "8081:80"], "shut");
    let fetch = |network: &str, port: u16| {
        world.run_sh(
            &["--network", network],
            &net::get(2, &format!("{}:{port}", net::HOST)),
        )
    };
    fetch("open", 8080).assert_stdout("open");
    fetch("shut", 8081).assert_stdout("shut");
    assert_ne!(fetch("open", 8081).code, 0);
    assert_ne!(fetch("shut", 8080).code, 0);
    world
        .sh_on_other_host(&format!("curl -sS -m5 http://{}:8081/i", net::HOST))
        .assert_stdout("shut");
    // A third network, which is not isolated, reaches the published port of the first.
    create(&world, &["third"]);
    fetch("third", 8080).assert_stdout("open");
    drop((open, shut));
}

#[test]
fn no_packet_enters_or_leaves_an_internal_network() {
    let Some(world) = world() else { return };
    create(&world, &["inner", "--internal", "--subnet", "10.89.0.0/24"]);
    let running = world.serve(&["--network", "inner"], "inner");
    let ip = address(&world, "inner");
    world.run_sh(&["--network", "inner"], &net::get(5, &ip)).assert_stdout("inner");
    let ran = world.sh_in_container(
        &running,
        &format!(
            "ip route add default via 10.89.0.1; busybox ping -c1 -W1 {}",
            net::OUTSIDE
        ),
    );
    assert_ne!(ran.code, 0, "even a container that adds a route reaches nobody");
    let at_host = format!("{}:9999", net::HOST);
    let server = world.serve_on_host(&at_host);
    assert_ne!(
        world
            .sh_in_container(&running, &format!("curl -sS -m2 http://{at_host}/i"))
            .code,
        0
    );
    world.run_sh(&[], &net::get(5, &at_host)).assert_stdout("hello"); // from an open network
    drop(server);
    world
        .sh_on_other_host(&format!("ip route add 10.89.0.0/24 via {}", net::HOST))
        .exits(0);
    assert_ne!(world.sh_on_other_host(&format!("curl -sS -m2 http://{ip}/i")).code, 0);
    world
        .run(&["--network", "inner", "-p", "80:80"], &["true"])
        .exits(125)
        .assert_stderr_contains("internal");
    drop(running);
}

#[test]
fn a_network_with_ipv6_forwards_both_families_and_restores_the_hosts_settings() {
    let Some(world) = world() else { return };
    world
        .sh_on_host("ip -6 addr add 2001:db8::1/64 dev out0 nodad; echo 1 > /proc/sys/net/ipv6/conf/out0/accept_ra")
        .exits(0);
    world.sh_on_other_host("ip -6 addr add 2001:db8::2/64 dev eth0 nodad").exits(0);
    create(&world, &["six", "--ipv6"]);
    let before = world.state();
    let running = world.serve(&["--network", "six", "-p", "8080:80"], "six");
    let settings = "cd /proc/sys/net/ipv6/conf && cat all/forwarding out0/accept_ra";
    world.sh_on_host(settings).assert_stdout("1\n2");
    world.sh_in_container(&running, "busybox ping6 -c1 -W3 2001:db8::2").exits(0);
    world
        .sh_on_other_host("curl -gsS -m5 http://[2001:db8::1]:8080/i")
        .assert_stdout("six");
    world.sh_on_host("curl -gsS -m5 http://[::1]:8080/i").exits(7);
    let inside =
        world.sh_in_container(&running, "ip -6 addr show eth0 scope global").out;
    assert!(inside.contains("inet6 fd"), "{inside}");
    drop(running);
    assert_eq!(world.state(), before);
    world.run_kiste(&["network", "rm", "six"]).exits(0);
}

#[test]
fn show_draws_the_cables_of_a_network() {
    let Some(world) = world() else { return };
    create(&world, &["web"]);
    let running = world.start(
        &["--network", "web", "--hostname", "crate", "-p", "8080:80"],
        &["sleep", "1000"],
    );
    let lease = lease(&world, "web");
    let shown = world.run_kiste(&["show"]).exits(0).out.clone();
    let (link, ip) =
        (lease["link"].as_str().unwrap(), lease["addresses"][0].as_str().unwrap());
    for part in [
        "├─ out0 ",
        "bridge of web, open",
        &format!("└─ {link} ── eth0 {ip}"),
        "crate",
        "8080:80/tcp",
        "masquerade",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    drop(running);
}

#[test]
fn inspect_and_show_tell_the_state_of_a_cable_and_of_its_bridge() {
    let Some(world) = world() else { return };
    create(&world, &["web"]);
    let running = world.start(&["--network", "web"], &["sleep", "1000"]);
    let network = inspect(&world, "web");
    let (bridge, container) = (&network["bridge"], &network["containers"][0]);
    let (bridge, link) =
        (bridge.as_str().unwrap(), container["link"].as_str().unwrap());
    assert_eq!(network["bridge_addresses"], json!([network["subnet"]]));
    for (change, cable, drawn) in [
        ("true".into(), "connected", "── eth0"),
        (format!("ip link set {link} nomaster"), "disconnected", "╌╌ (disconnected)"),
        (format!("ip link del {link}"), "missing", "╌╌ (missing)"),
    ] {
        world.sh_on_host(&change).exits(0);
        assert_eq!(inspect(&world, "web")["containers"][0]["cable"], cable);
        let shown = world.run_kiste(&["show"]).exits(0).out.clone();
        assert!(shown.contains(&format!("{link} {drawn}")), "{shown}");
    }
    world.sh_on_host(&format!("ip link del {bridge}")).exits(0);
    assert_eq!(inspect(&world, "web")["bridge_addresses"], json!(null));
    let shown = world.run_kiste(&["show"]).exits(0).out.clone();
    assert!(shown.contains(&format!("├─ {bridge:<12} (missing)")), "{shown}");
    drop(running);
}
