//! Containers resolve the names on their network.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::thread;

use kiste_tests::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simple_dns::RCODE;

use super::Host;
use super::server::{address_answer, bytes, start_server};

#[test]
fn containers_find_each_other_by_each_of_their_names() {
    let Some(host) = Host::with_dns_servers(&[]) else { return };
    let web = host
        .start(&["--hostname", "web", "--network-alias", "www"], &["sleep", "1000"]);
    let script = "ping -c 1 -W 5 web && ping -c 1 -W 5 www && nslookup WWW && nslookup $(hostname)";
    let ran = host.run(&["--hostname", "db"], &["sh", "-c", script]);
    ran.exits(0);
    assert_eq!(ran.out.matches("1 packets received").count(), 2, "{ran:?}");
    assert_eq!(host.responders().len(), 1);
    drop(web);
    let gone = eventually(|| host.responders().is_empty().then_some(()));
    assert!(gone.is_some(), "the responder exits with the last container");
}

#[test]
fn the_responder_outlives_the_runtime_that_started_it_but_not_the_last_runtime() {
    let Some(host) = Host::with_dns_servers(&[]) else { return };
    let first = host.start(&["--hostname", "first"], &["sleep", "1000"]);
    let second = host.start(&["--hostname", "second"], &["sleep", "1000"]);
    let responders = host.responders();
    first.kill_runtime();
    host.run(&[], &["nslookup", "second"]).exits(0);
    assert_eq!(
        host.responders(),
        responders,
        "the responder is still the same process"
    );
    second.kill_runtime();
    let gone = eventually(|| host.responders().is_empty().then_some(()));
    assert!(gone.is_some(), "the responder exits when the last runtime is killed");
    host.run(&["--hostname", "third"], &["nslookup", "third"]).exits(0);
}

#[test]
fn a_killed_responder_is_started_again_for_the_containers_that_run() {
    let Some(host) = Host::with_dns_servers(&[]) else { return };
    let web = host.start(&["--hostname", "web"], &["sleep", "1000"]);
    let others: Vec<_> = (0..5).map(|_| host.start(&[], &["sleep", "1000"])).collect();
    let script = "while read name; do until nslookup $name; do sleep 0.1; done > /dev/null; echo found; done";
    let names = ["--network-alias", "one", "--network-alias", "two"];
    let mut client = host.start(&names, &["sh", "-c", script]);
    for name in ["web", "one", "two"] {
        let killed = host.responders();
        killed
            .iter()
            .for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap());
        let started = eventually(|| {
            let running = host.responders();
            (running.len() == 1 && running != killed).then_some(())
        });
        assert!(started.is_some(), "{:?} in place of {killed:?}", host.responders());
        client.type_in(&format!("{name}\n"));
        client.wait_for("found");
    }
    let ended = client.end();
    assert!(!ended.err.contains("warning"), "{ended:?}");
    drop((web, others));
    let gone = eventually(|| host.responders().is_empty().then_some(()));
    assert!(gone.is_some(), "the responder exits with the last container");
}

/// A responder that containers have taken over could hold the lock of its network.
#[test]
fn a_network_whose_responder_is_stuck_keeps_no_other_network_waiting() {
    let Some(host) = Host::with_dns_servers(&[]) else { return };
    ["one", "two"].iter().for_each(|name| host.create(&[name]));
    let first = host.start(&["--network", "one"], &["sleep", "1000"]);
    let lock = File::open(host.network_dir().join("one/dns.lock")).unwrap();
    lock.lock().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| host.run(&["--network", "one"], &["true"]));
        let is_leased =
            || fs::read_to_string(host.network_dir().join("one/leases.json"));
        let joins = eventually(|| {
            (is_leased().ok()?.matches("\"id\"").count() == 2).then_some(())
        });
        joins.expect("it has a lease, and waits for the responder");
        host.run(&["--network", "two"], &["true"]).exits(0);
        assert!(!waiting.is_finished());
        lock.unlock().unwrap();
        waiting.join().unwrap().exits(0);
    });
    lock.lock().unwrap();
    drop(first);
    host.run(&["--network", "two"], &["true"]).exits(0);
    assert!(
        host.responders().is_empty(),
        "a stuck responder is ended with its network"
    );
}

/// A script that prints the container's addresses, and waits.
const ADDRESSES: &str =
    "ip -o addr show eth0 | sed 's/.*inet6* //; s/\\/.*//'; echo done; sleep 1000";

#[test]
fn the_names_of_a_network_are_unknown_on_another() {
    let Some(host) = Host::with_dns_servers(&["127.0.0.9"]) else { return };
    let forwarded = start_server(&host, "127.0.0.9", |packet| {
        vec![bytes(&address_answer(packet, 9))]
    });
    ["one", "two"].iter().for_each(|name| host.create(&[name, "--internal"]));
    let on_one = ["--network", "one", "--hostname", "web", "--network-alias", "www"];
    let mut web = host.start(&on_one, &["sh", "-c", ADDRESSES]);
    web.wait_for("done");
    let gateway = host
        .sh("ip -o -4 addr show | sed -n 's/.*inet \\(.*\\)\\/24 .*/\\1/p' | head -1");
    for name in ["web", "www"] {
        host.run(&["--network", "one"], &["nslookup", name]).exits(0);
        let answered = host.run(&["--network", "two"], &["nslookup", name]);
        assert!(
            answered.code != 0 && answered.out.contains("NXDOMAIN"),
            "{answered:?}"
        );
        // The gateway of network one, where its responder listens.
        let across = host.run(
            &["--network", "two"],
            &["timeout", "2", "nslookup", name, gateway.trim()],
        );
        assert!(across.code != 0 && !across.out.contains("Name:"), "{across:?}");
    }
    assert_eq!(
        forwarded.load(Ordering::SeqCst),
        0,
        "an internal network forwards nothing"
    );
}

/// musl's resolver ignores `search` where `ndots` is 0.
#[test]
fn short_names_are_found_on_the_network_first_and_then_in_the_search_domain() {
    let Some(host) = Host::with_dns_servers(&["127.0.0.9"]) else { return };
    let _server = start_server(&host, "127.0.0.9", |packet| {
        let name = packet.questions[0].qname.to_string();
        let mut answer = address_answer(packet, 9);
        if !name.ends_with(".corp.example") {
            answer.answers.clear();
            *answer.rcode_mut() = RCODE::NameError;
        }
        vec![bytes(&answer)]
    });
    let web = host.start(&["--hostname", "web"], &["sleep", "1000"]);
    let script = "ping -c 1 -W 5 web > /dev/null && ping -c 1 -W 1 www | head -n 1";
    let search = ["--dns-search", "corp.example"];
    let ran = host.run(&search, &["sh", "-c", script]);
    assert!(ran.exits(0).out.contains("192.0.2.9"), "{ran:?}");
    drop(web);
}

#[test]
fn the_responder_of_an_ipv6_network_listens_on_ipv4_and_ipv6() {
    let Some(host) = Host::with_dns_servers(&[]) else { return };
    host.create(&["both", "--ipv6"]);
    let script = "grep -c nameserver /etc/resolv.conf; nslookup -type=aaaa $(hostname) | grep -c 'Address: fd'; \
                  v6=$(sed -n 's/nameserver \\(.*:.*\\)/\\1/p' /etc/resolv.conf); nslookup $(hostname) $v6 | grep -c 'Address: fd'";
    host.run(&["--network", "both"], &["sh", "-c", script]).assert_stdout("2\n1\n1");
}

#[test]
fn port_53_in_use_is_an_error_before_the_container_starts() {
    let Some(host) = Host::with_dns_servers(&[]) else { return };
    let _taken = host.within(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    let ran = host.run(&[], &["echo", "started"]);
    ran.exits(125)
        .assert_stderr_contains("EADDRINUSE")
        .assert_stderr_contains("another DNS server");
    assert_eq!(ran.out, "");
    assert!(host.responders().is_empty());
}
