//! pasta is the network of a container that was started without root.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use kiste_tests::{User, eventually, host, require_tool};

use crate::dns::Host;
use crate::this_step;

/// A host with a default route, on which an ordinary user can create tun devices.
struct PastaHost {
    user: User,
    host: Host,
}

impl PastaHost {
    fn new() -> Option<Self> {
        if !require_tool("pasta") {
            return None;
        }
        let host = Host::with_dns_servers(&["127.0.0.53"])?;
        let mut user = User::without_ranges(this_step(), &["user-namespace"])?;
        let node = host.fixture.dir().join("tun");
        host.sh(&format!(
            "mknod -m 666 {0} c 10 200 && mount --bind {0} /dev/net/tun && rm {0}
            ip link add up0 type veth peer name up1 && ip addr add 192.0.2.2/24 dev up0
            ip link set up0 up && ip link set up1 up && ip route add default via 192.0.2.1
            ip addr add 198.51.100.1/32 dev lo",
            node.display()
        ));
        user.root_prefix = host.enter();
        Some(PastaHost { user, host })
    }

    /// Serves `text` to every client.
    fn serve(&self, address: &str, text: &'static str) {
        let listener = self.host.within(|| TcpListener::bind(address).unwrap());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(text.as_bytes());
            }
        });
    }

    /// Waits for a server at this address of the host, and returns the text that it
    /// sends.
    fn fetch(&self, address: &str) -> Option<String> {
        eventually(|| {
            let mut stream = self.host.within(|| TcpStream::connect(address).ok())?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.shutdown(Shutdown::Write).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            (!text.is_empty()).then_some(text)
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
fn the_container_reaches_other_hosts_and_not_the_hosts_loopback() {
    let Some(pasta) = PastaHost::new() else { return };
    pasta.serve("198.51.100.1:7001", "hello from outside");
    pasta.serve("127.0.0.1:7002", "the host's secret");
    // The container ends once the text has arrived, without waiting for nc: if both
    // sides close at the same time, pasta may fail to forward the FIN, and nc would
    // hang.
    let text = "hello from outside";
    let script =
        format!("(nc -w 60 198.51.100.1 7001 < /dev/null &) | head -c {}", text.len());
    pasta.user.sh(&["--network", "pasta"], &script).assert_stdout(text);
    for address in ["127.0.0.1", "192.0.2.1", "192.0.2.2"] {
        let ran = pasta.user.sh(
            &["--network", "pasta"],
            &format!("nc -w 2 {address} 7002 < /dev/null"),
        );
        assert!(ran.code != 0 && ran.out.is_empty(), "{address}: {ran:?}");
    }
    pasta.assert_no_pasta();
}

#[test]
fn pasta_is_the_default_network_without_root() {
    let Some(pasta) = PastaHost::new() else { return };
    let ran = pasta.user.sh(
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
    let Some(pasta) = PastaHost::new() else { return };
    let script = "while true; do echo from inside | nc -l -p 80; done & while true; do echo hidden | nc -l -p 81; done";
    let running = pasta
        .user
        .start(&["-p", "8080:80", "-p", "192.0.2.2:8081:80"], &["sh", "-c", script]);
    for address in ["127.0.0.1:8080", "192.0.2.2:8080", "192.0.2.2:8081"] {
        assert_eq!(pasta.fetch(address).as_deref(), Some("from inside\n"), "{address}");
    }
    for address in ["127.0.0.1:8081", "127.0.0.1:80", "127.0.0.1:81", "192.0.2.2:81"] {
        assert!(
            pasta.host.within(|| TcpStream::connect(address)).is_err(),
            "{address}"
        );
    }
    assert_eq!(pasta.pastas().len(), 1);
    drop(running);
    pasta.assert_no_pasta();
}

#[test]
fn a_dns_server_on_the_hosts_loopback_is_reached() {
    let Some(pasta) = PastaHost::new() else { return };
    let socket = pasta.host.within(|| UdpSocket::bind("127.0.0.53:53").unwrap());
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut message) {
            let question = &message[..length];
            let is_type_a = question.ends_with(&[0, 1, 0, 1]);
            let answer =
                [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 203, 0, 113, 9][..], &[]]
                    [usize::from(!is_type_a)];
            let counts = [0, 1, 0, u8::from(is_type_a), 0, 0, 0, 0];
            let answer =
                [&question[..2], &[0x81, 0x80], &counts, &question[12..], answer]
                    .concat();
            let _ = socket.send_to(&answer, client);
        }
    });
    let ran = pasta.user.sh(&[], "cat /etc/resolv.conf; nslookup www.example");
    assert!(ran.out.contains("nameserver 169.254.1.1\n"), "{ran:?}");
    assert!(ran.out.contains("203.0.113.9"), "{ran:?}");
}

#[test]
fn a_port_that_is_in_use_or_privileged_is_refused_before_the_start() {
    let Some(pasta) = PastaHost::new() else { return };
    let _taken = pasta.host.within(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    let ran = pasta.user.sh(&["-p", "8080:80"], "echo started");
    ran.exits(125).assert_stderr_contains("8080");
    // In the first case, pasta itself would start: it could still bind the host's other
    // addresses.
    for (taken, port) in [("192.0.2.2:8081", "8081:80"), ("[::]:8082", "8082:80")] {
        let _taken = pasta.host.within(|| TcpListener::bind(taken).unwrap());
        let ran = pasta.user.sh(&["-p", port], "echo started");
        ran.exits(125)
            .assert_stderr_contains(&port[..4])
            .assert_stderr_contains("in use");
        assert!(ran.out.is_empty(), "{taken}");
    }
    let _udp = pasta.host.within(|| UdpSocket::bind("0.0.0.0:8083").unwrap());
    pasta
        .user
        .sh(&["-p", "8083:80/udp"], "echo started")
        .exits(125)
        .assert_stderr_contains("8083");
    let privileged = pasta.user.sh(&["-p", "80:80"], "echo started");
    privileged
        .exits(125)
        .assert_stderr_contains("only root can use ports below 1024")
        .assert_stderr_contains("ip_unprivileged_port_start=80");
    assert!(ran.out.is_empty() && privileged.out.is_empty());
    pasta.assert_no_pasta();
}

#[test]
fn pasta_is_killed_with_its_runtime() {
    let Some(pasta) = PastaHost::new() else { return };
    let running = pasta.user.start(&[], &["sleep", "1000"]);
    assert_eq!(pasta.pastas().len(), 1);
    running.kill_runtime();
    pasta.assert_no_pasta();
    // The next run also removes what the killed one has left.
    pasta.user.run(&[], &["true"]).exits(0);
}

#[test]
fn without_pasta_there_is_no_network_and_a_note_says_so() {
    let Some(mut pasta) = PastaHost::new() else { return };
    pasta.user.user_prefix = ["/usr/bin/env", "PATH=/nowhere"].map(String::from).into();
    let ran = pasta.user.run(
        &[],
        &[
            "/bin/sh",
            "-c",
            "/sbin/ip -o link | /usr/bin/wc -l; /bin/ping -c 1 127.0.0.1",
        ],
    );
    ran.exits(0)
        .assert_stderr_contains("pasta is not installed")
        .assert_stderr_contains("package passt");
    assert!(ran.out.starts_with("1\n"), "{ran:?}");
    pasta
        .user
        .run(&["--network", "pasta"], &["/bin/true"])
        .exits(125)
        .assert_stderr_contains("package passt");
}
