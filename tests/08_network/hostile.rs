//! Containers that attack the network.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use kiste_tests::{eventually, net};
use rustix::net::{AddressFamily, SocketType, ipproto, sendto, socket, sockopt};

use crate::world;

const SLEEP: [&str; 2] = ["sleep", "1000"];

fn bind_udp(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket
}

/// Receives the next datagram and its sender. Returns `None` if none comes in a second.
fn receive(socket: &UdpSocket) -> Option<(String, SocketAddr)> {
    let mut buffer = [0; 100];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    Some((String::from_utf8_lossy(&buffer[..length]).into(), from))
}

/// Sends a router advertisement (RFC 4861, 4.2) to all nodes on the link. The kernel
/// fills in the checksum.
fn send_router_advertisement() {
    let socket =
        socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).unwrap();
    sockopt::set_ipv6_multicast_hops(&socket, 255).unwrap();
    let index = rustix::net::netdevice::name_to_index(&socket, "eth0").unwrap();
    let all_nodes =
        SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index);
    let advertisement = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    sendto(&socket, &advertisement, rustix::net::SendFlags::empty(), &all_nodes)
        .unwrap();
}

/// CVE-2020-13401.
#[test]
fn no_container_becomes_the_gateway_of_the_host_or_of_its_neighbours() {
    let Some(world) = world() else { return };
    world.run_kiste(&["network", "create", "six", "--ipv6"]).exits(0);
    let (one, other) = (
        world.start(&["--network", "six"], &SLEEP),
        world.start(&["--network", "six"], &SLEEP),
    );
    let routers = "ip -6 route show default | grep -c 'proto ra'";
    let has_address = || {
        world
            .sh_in_container(&one, "ip -6 -o addr show dev eth0 scope link")
            .out
            .contains("fe80")
    };
    eventually(|| has_address().then_some(()))
        .expect("the container has a link-local address");
    let advertise = || {
        // The kernel sends the advertisement only after duplicate address detection.
        eventually(|| {
            net::within(one.pid, send_router_advertisement);
            (!world
                .sh_in_container(&one, "ip -6 -o addr show dev eth0 tentative")
                .out
                .contains("fe80"))
            .then_some(())
        })
        .expect("the container can send");
        net::within(one.pid, send_router_advertisement);
    };
    advertise();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(world.sh_on_host(routers).out.trim(), "0");
    assert_eq!(world.sh_in_container(&other, routers).out.trim(), "0");
    // A container that accepts advertisements gets a route, so the attack does work.
    world
        .sh_in_container(&other, "echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_ra")
        .exits(0);
    let accepts = || {
        advertise();
        (world.sh_in_container(&other, routers).out.trim() == "1").then_some(())
    };
    eventually(accepts).expect("the advertisement is accepted");
    drop((one, other));
    world.run_kiste(&["network", "rm", "six"]).exits(0);
    world.assert_unchanged();
}

#[test]
fn links_without_ipv6_have_no_link_local_addresses() {
    let Some(world) = world() else { return };
    let running = world.start(&[], &SLEEP);
    for seen in [
        world.sh_on_host("ip -6 -o addr show dev kiste0"),
        world.sh_in_container(&running, "ip -6 -o addr show dev eth0"),
    ] {
        assert_eq!(seen.out, "");
    }
    world
        .sh_in_container(&running, "ping -6 -c1 -W1 ::1 || busybox ping -6 -c1 -W1 ::1")
        .exits(0);
    drop(running);
}

#[test]
fn no_container_sends_packets_from_a_loopback_address() {
    let Some(world) = world() else { return };
    let running = world.start(&["-p", "8080:80"], &SLEEP);
    let settings = "for of in all eth0; do echo 1 > /proc/sys/net/ipv4/conf/$of/route_localnet; done";
    world.sh_in_container(&running, settings).exits(0);
    world
        .sh_on_host("echo 0 > /proc/sys/net/ipv4/conf/kiste0/rp_filter; cat /proc/sys/net/ipv4/conf/all/rp_filter")
        .assert_stdout("0");
    let listener = world.on_host(|| bind_udp("0.0.0.0:7777"));
    let send = |from: &'static str| {
        net::within(running.pid, || {
            bind_udp(from).send_to(from.as_bytes(), "10.77.0.1:7777").map(drop).unwrap()
        });
    };
    send("0.0.0.0:5555");
    assert_eq!(receive(&listener).unwrap().0, "0.0.0.0:5555");
    send("127.0.0.2:5555");
    assert_eq!(receive(&listener), None);
    // Without our rules the packet arrives, so the attack does work.
    world
        .sh_on_host(
            "nft flush chain inet kiste loopback && nft delete table bridge kiste",
        )
        .exits(0);
    send("127.0.0.2:5555");
    assert_eq!(receive(&listener).unwrap().1.ip().to_string(), "127.0.0.2");
    drop(running);
    world.assert_unchanged();
}

/// Services of the host and of its network may trust an address.
#[test]
fn no_container_sends_from_an_address_that_is_not_its_own() {
    let Some(world) = world() else { return };
    world.run_kiste(&["network", "create", "six", "--ipv6"]).exits(0);
    let network = ["--network", "six"];
    let running = world.start(&network, &SLEEP);
    let lease = crate::bridge::lease(&world, "six");
    let neighbour =
        world.start(&[&network[..], &["--hostname", "web"]].concat(), &SLEEP);
    let own = lease["addresses"][0].as_str().unwrap();
    let numbered = |last: u8| format!("{}.{last}", own.rsplit_once('.').unwrap().0);
    let (gateway, neighbours) = (numbered(1), numbered(3));
    world
        .sh_on_host("for of in all kiste1; do echo 0 > /proc/sys/net/ipv4/conf/$of/rp_filter; done")
        .exits(0);
    let listener = world.on_host(|| bind_udp("0.0.0.0:7777"));
    let send = |from: &str| {
        net::within(running.pid, || {
            let to = (gateway.as_str(), 7777);
            bind_udp(&format!("{from}:5555")).send_to(b"hello", to).map(drop).unwrap()
        });
        receive(&listener).map(|(_, from)| from.ip().to_string())
    };
    assert_eq!(send(own).as_deref(), Some(own));
    for spoofed in [neighbours.as_str(), "198.51.100.8"] {
        let added = format!("ip addr add {spoofed}/32 dev eth0");
        world.sh_in_container(&running, &added).exits(0);
        assert_eq!(send(spoofed), None);
    }
    let mac = lease["mac"].as_str().unwrap();
    let set_mac = |mac: &str| {
        world
            .sh_in_container(&running, &format!("ip link set eth0 address {mac}"))
            .exits(0);
    };
    set_mac("02:08:00:00:00:09");
    assert_eq!(send(own), None);
    set_mac(mac);
    world.run(&network, &["ping", "-c1", "-W3", "web"]).exits(0);
    let ipv6 = "ping -6 -c1 -W3 web || busybox ping -6 -c1 -W3 web";
    world.run_sh(&network, ipv6).exits(0);
    // Without our rules the packet arrives: otherwise the test would prove nothing.
    world.sh_on_host("nft delete table bridge kiste").exits(0);
    assert_eq!(send("198.51.100.8").as_deref(), Some("198.51.100.8"));
    drop((running, neighbour));
    world.run_kiste(&["network", "rm", "six"]).exits(0);
    world.assert_unchanged();
}

/// The kernel remembers where the packets of a connection go. It cannot see the end of
/// a UDP connection.
#[test]
fn packets_for_an_ended_container_do_not_reach_the_next_one_with_its_address() {
    let Some(world) = world() else { return };
    let client = world.on_other(|| bind_udp("0.0.0.0:6000"));
    let published = format!("{}:5353", net::HOST);
    let first = world.start(&["-p", "5353:5300/udp"], &SLEEP);
    let server = net::within(first.pid, || bind_udp("0.0.0.0:5300"));
    client.send_to(b"to the first", &published).unwrap();
    let (text, from) = receive(&server).expect("the port is published");
    assert_eq!(text, "to the first");
    server.send_to(b"yes", from).unwrap();
    assert_eq!(receive(&client).unwrap().0, "yes");
    drop((first, server));

    let second = world.start(&[], &SLEEP);
    assert_eq!(crate::bridge::lease(&world, "kiste")["addresses"][0], "10.77.0.2");
    let server = net::within(second.pid, || bind_udp("0.0.0.0:5300"));
    client.send_to(b"still to the first", &published).unwrap();
    assert_eq!(receive(&server), None);
    drop(second);
    world.assert_unchanged();
}

#[test]
fn a_name_cannot_add_a_line_to_a_file() {
    let Some(world) = world() else { return };
    for (option, text) in [
        ("--network-alias", "x\n6.6.6.6 bank.example"),
        ("--network-alias", "a b"),
        ("--network-alias", ""),
        ("--dns-search", "lan\nnameserver 6.6.6.6"),
        ("--add-host", "x y:192.0.2.9"),
        ("--hostname", "x\ny"),
    ] {
        world.run(&[option, text], &["true"]).exits(2).assert_stderr_contains(option);
    }
}
