//! Published ports, tested with real packets.

use std::net::UdpSocket;
use std::time::Duration;

use kiste_tests::{eventually, net};

use crate::bridge::lease;
use crate::world;

fn fetch(from: &str) -> String {
    format!("curl -sS -m5 http://{from}/i")
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some(world) = world() else { return };
    let running = world.serve(&["-p", "8080:80"], "hello");
    let at_host = format!("{}:8080", net::HOST);
    world.sh_on_other_host(&fetch(&at_host)).assert_stdout("hello");
    world.sh_on_host(&fetch(&at_host)).assert_stdout("hello");
    world.sh_on_host(&fetch("127.0.0.1:8080")).assert_stdout("hello");
    world.sh_on_host(&fetch("10.77.0.1:8080")).assert_stdout("hello");
    world.run_sh(&[], &net::get(5, &at_host)).assert_stdout("hello");
    // The container itself reaches it, too.
    world.sh_in_container(&running, &fetch(&at_host)).assert_stdout("hello");
    drop(running);
    assert_ne!(world.sh_on_other_host(&fetch(&at_host)).code, 0);
    world.assert_unchanged();
}

#[test]
fn a_container_sees_the_address_of_a_client_from_outside() {
    let Some(world) = world() else { return };
    let mut running = world.start(
        &["-p", "8080:80"],
        &[
            "sh",
            "-c",
            "echo ready; /busybox-full nc -l -p 80 -e sh -c 'echo hi'; exec sleep 1000",
        ],
    );
    running.wait_for("ready");
    let lease = lease(&world, "kiste");
    let ip = lease["addresses"][0].as_str().unwrap();
    world
        .sh_on_host("nft add table ip spy; nft add chain ip spy out '{ type filter hook postrouting priority 300; }'")
        .exits(0);
    world
        .sh_on_host(&format!(
            "nft add rule ip spy out ip daddr {ip} ip saddr {} counter",
            net::OUTSIDE
        ))
        .exits(0);
    let _ = world.sh_on_other_host(&format!("curl -s -m1 http://{}:8080/", net::HOST));
    let spied = world.sh_on_host("nft list table ip spy; nft delete table ip spy").out;
    assert!(spied.contains("packets") && !spied.contains("packets 0 "), "{spied}");
    drop(running);
}

#[test]
fn only_the_host_reaches_a_port_at_127_0_0_1() {
    let Some(world) = world() else { return };
    let running = world.serve(&["-p", "127.0.0.1:8080:80"], "hello");
    world.sh_on_host(&fetch("127.0.0.1:8080")).assert_stdout("hello");
    assert_ne!(
        world.sh_on_host(&format!("curl -sS -m2 http://{}:8080/i", net::HOST)).code,
        0
    );
    assert_ne!(
        world
            .sh_on_other_host(&format!("curl -sS -m2 http://{}:8080/i", net::HOST))
            .code,
        0
    );
    // CVE-2020-8558: a neighbour sends packets to 127.0.0.1 through the host.
    world.sh_on_other_host(&format!(
        "ip route add 127.0.0.1/32 via {} table local; ip route del local 127.0.0.1 table local; \
                            sysctl -qw net.ipv4.conf.all.route_localnet=1 2>/dev/null || \
                            echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet",
        net::HOST
    ));
    assert_ne!(world.sh_on_other_host("curl -sS -m2 http://127.0.0.1:8080/i").code, 0);
    assert_eq!(
        world.sh_on_host("cat /proc/sys/net/ipv4/conf/out0/route_localnet").out.trim(),
        "0"
    );
    // A neighbour that has a route to the container's network sends past the port.
    let lease = lease(&world, "kiste");
    let ip = lease["addresses"][0].as_str().unwrap();
    world.sh_on_host(&fetch(ip)).assert_stdout("hello");
    world
        .sh_on_other_host(&format!("ip route add 10.77.0.0/24 via {}", net::HOST))
        .exits(0);
    assert_ne!(world.sh_on_other_host(&format!("curl -sS -m2 http://{ip}/i")).code, 0);
    drop(running);
    world.assert_unchanged();
}

/// CVE-2020-8558, from a container: with `route_localnet` the bridge accepts packets to
/// 127.0.0.1.
#[test]
fn a_container_does_not_reach_a_server_on_the_hosts_loopback() {
    let Some(world) = world() else { return };
    let server = world.serve_on_host("127.0.0.1:9999");
    let running = world.start(&["-p", "8080:80"], &["sleep", "1000"]);
    assert_eq!(
        world
            .sh_on_host("cat /proc/sys/net/ipv4/conf/kiste0/route_localnet")
            .out
            .trim(),
        "1"
    );
    let attack = "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; ip addr del 127.0.0.1/8 dev lo 2>/dev/null; \
                  ip route replace 127.0.0.1/32 via 10.77.0.1; curl -sS -m2 http://127.0.0.1:9999/i";
    assert_ne!(world.sh_in_container(&running, attack).code, 0);
    // Without our rule the attack does work.
    world.sh_on_host("nft flush chain inet kiste loopback").exits(0);
    world.sh_in_container(&running, attack).assert_stdout("hello");
    drop((running, server));
    world.assert_unchanged();
}

#[test]
fn a_free_port_is_chosen_for_a_port_without_one_and_is_named() {
    let Some(world) = world() else { return };
    let running =
        world.serve(&["-p", "80", "-p", "127.0.0.1::80", "-p", "53/udp"], "hello");
    let ports = lease(&world, "kiste")["ports"].clone();
    let host_port = |at: usize| ports[at]["host"].as_u64().unwrap();
    world
        .sh_on_other_host(&fetch(&format!("{}:{}", net::HOST, host_port(0))))
        .assert_stdout("hello");
    world
        .sh_on_host(&fetch(&format!("127.0.0.1:{}", host_port(1))))
        .assert_stdout("hello");
    let shown = world.run_kiste(&["show"]).exits(0).out.clone();
    for (at, inside) in [(0, "80/tcp"), (1, "80/tcp"), (2, "53/udp")] {
        let port = format!("{}:{inside}", host_port(at));
        assert!(host_port(at) >= 1024 && shown.contains(&port), "{port}: {shown}");
    }
    drop(running);
    let ran = world.run(&["-p", "127.0.0.1::80"], &["true"]);
    ran.exits(0).assert_stderr_contains("note: published as 127.0.0.1:");
    world.assert_unchanged();
}

#[test]
fn port_ranges_and_udp_ports_are_published() {
    let Some(world) = world() else { return };
    let running = world.serve(&["-p", "8000-8001:80-81", "-p", "5353:53/udp"], "hello");
    world
        .sh_on_other_host(&fetch(&format!("{}:8000", net::HOST)))
        .assert_stdout("hello");
    let rules = world.sh_on_host("nft list chain inet kiste published").out;
    for rule in [
        "tcp dport 8001 dnat ip to 10.77.0.2:81",
        "udp dport 5353 dnat ip to 10.77.0.2:53",
    ] {
        assert!(rules.contains(rule), "{rule}:\n{rules}");
    }
    drop(running);
}

#[test]
fn an_error_names_the_program_that_uses_the_port() {
    let Some(world) = world() else { return };
    let running = world.start(&["-p", "8080:80"], &["sleep", "1000"]);
    let ran = world.run(&["-p", "8080:81"], &["echo", "it runs"]);
    ran.exits(125)
        .assert_stderr_contains("port 8080/tcp is already in use by container ")
        .assert_stderr_contains("hint:");
    assert_eq!(ran.out, "");
    // No other program on the host can bind the port either.
    let other = world.sh_on_host("timeout 2 busybox nc -l -p 8080 2>&1 </dev/null");
    assert!(other.out.contains("in use"), "{}", other.out);
    drop(running);
    let script = format!(
        "busybox nc -ll -p 8080 -e true & echo $! > {0}; wait",
        world.fixture.dir().join("holder").display()
    );
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| world.sh_on_host(&script));
        let pid = kiste_tests::eventually(|| {
            let pid = std::fs::read_to_string(world.fixture.dir().join("holder"))
                .ok()?
                .trim()
                .to_owned();
            let listens =
                world.sh_on_host("cat /proc/net/tcp*").out.contains(":1F90 0");
            (listens && !pid.is_empty()).then_some(pid)
        })
        .expect("nc listens");
        let ran = world.run(&["-p", "8080:80"], &["true"]);
        ran.exits(125).assert_stderr_contains(&format!(
            "port 8080/tcp is already in use by process {pid}"
        ));
        world.sh_on_host(&format!("kill {pid}"));
        let _ = holder.join();
    });
    world.assert_unchanged();
}

#[test]
fn a_malformed_port_is_a_usage_error() {
    let Some(world) = world() else { return };
    for (wrong, why) in [
        ("http", "not a port"),
        ("0:80", "not a port"),
        ("8000-8002:80", "3 ports"),
        ("[::1]:80:80", "::1"),
    ] {
        world.run(&["-p", wrong], &["true"]).exits(2).assert_stderr_contains(why);
    }
    for (options, why) in [
        (&["-p", "[2001:db8::1]:80:80"][..], "kiste has no IPv6"),
        (&["--mac-address", "02:08:0a:4d:00:01"], "the bridge has it"),
    ] {
        world.run(options, &["true"]).exits(125).assert_stderr_contains(why);
    }
    for subnet in [
        "0.0.0.0/24",
        "127.0.0.0/24",
        "169.254.0.0/16",
        "240.0.0.0/24",
        "255.255.255.0/24",
    ] {
        world
            .run_kiste(&["network", "create", "odd", "--subnet", subnet])
            .exits(1)
            .assert_stderr_contains("reserved for another purpose");
    }
    let ran = world.run(&["-p", "192.0.2.77:80:80"], &["true"]);
    ran.exits(125)
        .assert_stderr_contains("192.0.2.77")
        .assert_stderr_contains("EADDRNOTAVAIL");
}

/// A client that never changes its port stays in the kernel's table of connections.
#[test]
fn a_udp_client_reaches_the_present_container_at_a_reused_port() {
    let Some(world) = world() else { return };
    let other = world.start(&[], &["sleep", "1000"]);
    let client = world.on_other(|| UdpSocket::bind((net::OUTSIDE, 40001)).unwrap());
    client.send_to(b"nobody is there", (net::HOST, 5514)).unwrap();
    for ip in ["10.77.0.20", "10.77.0.30"] {
        let options = ["-p", "5514:514/udp", "--ip", ip];
        let running = world.start(&options, &["sleep", "1000"]);
        let server =
            net::within(running.pid, || UdpSocket::bind("0.0.0.0:514").unwrap());
        server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let arrived = eventually(|| {
            // ECONNREFUSED: the host answered the last datagram with ICMP.
            let _ = client.send_to(b"hello", (net::HOST, 5514));
            server.recv(&mut [0; 16]).ok()
        });
        assert_eq!(arrived, Some(5), "at {ip}");
        drop(running);
        let _ = client.send_to(b"nobody is there", (net::HOST, 5514));
    }
    drop(other);
}

/// A router tracks hundreds of thousands of connections. The kernel lists those that
/// may have to be forgotten.
#[test]
fn a_start_lists_no_connections_of_others() {
    let Some(world) = world() else { return };
    let other = world.start(&[], &["sleep", "1000"]);
    world.on_host(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        (2000..3200).for_each(|port| {
            let _ = socket.send_to(b"hello", ("127.0.0.1", port)); // nobody listens there
        });
    });
    let ran = world.run(&["--explain=08", "-p", "8080:80"], &["true"]);
    let line = ran.exits(0).err.lines().find(|line| line.contains("CT_DELETE"));
    let line = line.expect("the start forgets connections");
    assert!(line.contains("8080:80/tcp) = 0 of 0 "), "{line}");
    drop(other);
}
