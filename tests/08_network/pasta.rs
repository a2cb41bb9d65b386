//! A network for who is not root, by way of pasta.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use kiste_tests::{User, eventually, host, tool};

use crate::dns::Host;
use crate::this_step;

/// A host with a way out, on which an ordinary user may make network interfaces of its
/// own.
struct Place {
    user: User,
    host: Host,
}

impl Place {
    fn new() -> Option<Self> {
        if !tool("pasta") {
            return None;
        }
        let host = Host::asking(&["127.0.0.53"])?;
        let mut user = User::alone(this_step(), &["user-namespace"])?;
        let node = host.bench.dir().join("tun");
        host.sh(&format!(
            "mknod -m 666 {0} c 10 200 && mount --bind {0} /dev/net/tun && rm {0}
            ip link add up0 type veth peer name up1 && ip addr add 192.0.2.2/24 dev up0
            ip link set up0 up && ip link set up1 up && ip route add default via 192.0.2.1
            ip addr add 198.51.100.1/32 dev lo",
            node.display()
        ));
        user.as_root = host.starter();
        Some(Place { user, host })
    }

    /// Serves `text` to every client. The client closes its side first: pasta can lose
    /// the end of a connection that both sides close at the same time.
    fn serve(&self, address: &str, text: &'static str) {
        let listener = self.host.within(|| TcpListener::bind(address).unwrap());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(text.as_bytes());
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
    }

    /// What is heard from this address of the host's, once somebody is there.
    fn hear(&self, address: &str) -> Option<String> {
        eventually(|| {
            let mut stream = self.host.within(|| TcpStream::connect(address).ok())?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.shutdown(Shutdown::Write).ok()?;
            let mut heard = String::new();
            stream.read_to_string(&mut heard).ok()?;
            (!heard.is_empty()).then_some(heard)
        })
    }

    fn pastas(&self) -> Vec<i32> {
        let namespace = self.host.sh("readlink /proc/self/ns/net");
        let mut found = host::processes_in("net", namespace.trim());
        found.retain(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.starts_with("pas"))
        });
        found
    }

    fn assert_no_pasta(&self) {
        let gone = eventually(|| self.pastas().is_empty().then_some(()));
        assert!(gone.is_some(), "left behind: {:?}", self.pastas());
    }
}

#[test]
fn it_reaches_the_outside_and_not_the_hosts_loopback() {
    let Some(place) = Place::new() else { return };
    place.serve("198.51.100.1:7001", "hello from outside");
    place.serve("127.0.0.1:7002", "the host's secret");
    let ran = place
        .user
        .sh(&["--network", "pasta"], "nc -w 60 198.51.100.1 7001 < /dev/null");
    ran.prints("hello from outside");
    for address in ["127.0.0.1", "192.0.2.1", "192.0.2.2"] {
        let ran = place.user.sh(
            &["--network", "pasta"],
            &format!("nc -w 2 {address} 7002 < /dev/null"),
        );
        assert!(ran.code != 0 && ran.out.is_empty(), "{address}: {ran:?}");
    }
    place.assert_no_pasta();
}

#[test]
fn it_is_the_usual_network_without_root() {
    let Some(place) = Place::new() else { return };
    let ran = place.user.sh(
        &[],
        "ip -4 -o addr show eth0; ip route; cat /proc/sys/net/ipv4/conf/lo/forwarding",
    );
    ran.exits(0);
    assert!(
        ran.out.contains("192.0.2.2/24") && ran.out.contains("default via 192.0.2.1"),
        "{ran:?}"
    );
}

#[test]
fn only_published_ports_are_reached() {
    let Some(place) = Place::new() else { return };
    let script = "while true; do echo from inside | nc -l -p 80; done & while true; do echo hidden | nc -l -p 81; done";
    let running = place
        .user
        .start(&["-p", "8080:80", "-p", "192.0.2.2:8081:80"], &["sh", "-c", script]);
    for address in ["127.0.0.1:8080", "192.0.2.2:8080", "192.0.2.2:8081"] {
        assert_eq!(place.hear(address).as_deref(), Some("from inside\n"), "{address}");
    }
    for address in ["127.0.0.1:8081", "127.0.0.1:80", "127.0.0.1:81", "192.0.2.2:81"] {
        assert!(
            place.host.within(|| TcpStream::connect(address)).is_err(),
            "{address}"
        );
    }
    assert_eq!(place.pastas().len(), 1);
    drop(running);
    place.assert_no_pasta();
}

#[test]
fn names_are_asked_of_a_resolver_on_the_hosts_loopback() {
    let Some(place) = Place::new() else { return };
    let socket = place.host.within(|| UdpSocket::bind("127.0.0.53:53").unwrap());
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut message) {
            let question = &message[..length];
            let is_a = question.ends_with(&[0, 1, 0, 1]);
            let answer =
                [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 203, 0, 113, 9][..], &[]]
                    [usize::from(!is_a)];
            let counts = [0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
            let said =
                [&question[..2], &[0x81, 0x80], &counts, &question[12..], answer]
                    .concat();
            let _ = socket.send_to(&said, client);
        }
    });
    let ran = place.user.sh(&[], "cat /etc/resolv.conf; nslookup www.example");
    assert!(ran.out.contains("nameserver 169.254.1.1\n"), "{ran:?}");
    assert!(ran.out.contains("203.0.113.9"), "{ran:?}");
}

#[test]
fn a_port_that_is_taken_or_roots_is_told_before_it_starts() {
    let Some(place) = Place::new() else { return };
    let _taken = place.host.within(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    let ran = place.user.sh(&["-p", "8080:80"], "echo started");
    ran.exits(125).complains("8080");
    let root = place.user.sh(&["-p", "80:80"], "echo started");
    root.exits(125)
        .complains("only root can use ports below 1024")
        .complains("ip_unprivileged_port_start=80");
    assert!(ran.out.is_empty() && root.out.is_empty());
    place.assert_no_pasta();
}

#[test]
fn it_ends_with_a_runtime_that_is_killed() {
    let Some(place) = Place::new() else { return };
    let running = place.user.start(&[], &["sleep", "1000"]);
    assert_eq!(place.pastas().len(), 1);
    running.kill_runtime();
    place.assert_no_pasta();
    place.user.run(&[], &["true"]).exits(0); // and clears away what the other has left
}

#[test]
fn without_pasta_it_is_alone_and_that_is_said() {
    let Some(mut place) = Place::new() else { return };
    place.user.as_user = ["/usr/bin/env", "PATH=/nowhere"].map(String::from).into();
    let ran = place.user.run(
        &[],
        &[
            "/bin/sh",
            "-c",
            "/sbin/ip -o link | /usr/bin/wc -l; /bin/ping -c 1 127.0.0.1",
        ],
    );
    ran.exits(0).complains("pasta is not installed").complains("package passt");
    assert!(ran.out.starts_with("1\n"), "{ran:?}");
    place
        .user
        .run(&["--network", "pasta"], &["/bin/true"])
        .exits(125)
        .complains("package passt");
}
