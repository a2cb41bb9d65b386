//! Names on a network: asked as containers ask, and as nobody should.
//!
//! These tests start the responder alone, on an address of a network namespace of their
//! own and with a lease file that they write; those in `containers` start containers.

#[path = "dns/alone.rs"]
mod alone;
#[path = "dns/containers.rs"]
mod containers;
#[path = "dns/host.rs"]
mod host;
#[path = "dns/resolver.rs"]
mod resolver;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kiste_tests::patience;
use simple_dns::{Name, Packet, RCODE, TYPE};

use alone::{Alone, Said, TWO, question};
use resolver::{bytes, resolver, says};

pub use host::Host;

#[test]
fn a_name_has_addresses_or_none_of_this_kind_or_is_none() {
    let Some(alone) = Alone::start(&[], "off", TWO) else { return };
    for name in ["web", "WEB", "0123456789ab"] {
        alone.ask(name, TYPE::A).is(&["10.88.0.2"]);
        alone.ask(name, TYPE::AAAA).is(&["fd00::2"]);
    }
    alone.ask("db", TYPE::AAAA).is(&[]); // there is the name: only not of this kind
    alone.ask("web", TYPE::MX).is(&[]);
    alone.ask("other", TYPE::A).is_no_such_name();
    alone.ask("web.example", TYPE::A).is_no_such_name();
    alone.ask("2.0.88.10.in-addr.arpa", TYPE::PTR).is(&["Web"]);
    alone
        .ask(&format!("2.{}0.0.d.f.ip6.arpa", "0.".repeat(27)), TYPE::PTR)
        .is_no_such_name(); // not this network's
    alone.ask("9.0.88.10.in-addr.arpa", TYPE::PTR).is_no_such_name();
}

#[test]
fn who_shares_an_alias_takes_turns() {
    let Some(alone) = Alone::start(&[], "off", TWO) else { return };
    let firsts: HashSet<String> =
        (0..4).map(|_| alone.ask("all", TYPE::A).records.remove(0)).collect();
    assert_eq!(firsts, HashSet::from(["10.88.0.2".into(), "10.88.0.3".into()]));
}

#[test]
fn what_the_leases_say_now_is_what_is_answered() {
    const ASKS: &str = r#"{"hostname": "asks", "addresses": ["10.88.0.2"]}"#;
    let Some(alone) = Alone::start(&[], "off", ASKS) else { return };
    alone.ask("web", TYPE::A).is_no_such_name();
    for address in ["10.88.0.7", "10.88.0.8"] {
        alone.write(&format!(
            r#"{ASKS}, {{"hostname": "web", "addresses": ["{address}"]}}"#
        ));
        alone.ask("web", TYPE::A).is(&[address]);
    }
}

#[test]
fn another_network_is_told_nothing() {
    let Some(alone) = Alone::start(&[], "off", TWO) else { return };
    // As a container of another network would come, and one that has taken an address
    // by itself.
    for from in [[10, 99, 0, 1], [10, 88, 0, 200]] {
        let stranger = alone.socket(&IpAddr::from(from).to_string());
        stranger.send_to(&question("web", TYPE::A), "10.88.0.1:53").unwrap();
        // Questions are answered in the order in which they come: once this one is,
        // that one never will be.
        alone.ask("web", TYPE::A).is(&["10.88.0.2"]);
        stranger.set_nonblocking(true).unwrap();
        assert!(stranger.recv(&mut [0; 512]).is_err());
        assert_eq!(
            over_tcp(&alone.connect(from), "web").ok(),
            None,
            "the connection is closed unheard"
        );
    }
}

fn over_tcp(mut stream: &TcpStream, name: &str) -> std::io::Result<Said> {
    stream.set_read_timeout(Some(patience()))?;
    let question = question(name, TYPE::A);
    stream
        .write_all(&[&(question.len() as u16).to_be_bytes(), &question[..]].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(Said::read(&message))
}

#[test]
fn an_answer_that_is_too_long_is_asked_for_again_over_tcp() {
    let many: Vec<_> = (2..102)
        .map(|n| format!(r#"{{"hostname": "all", "addresses": ["10.88.0.{n}"]}}"#))
        .collect();
    let Some(alone) = Alone::start(&[], "off", &many.join(",")) else { return };
    let said = alone.ask("all", TYPE::A);
    assert_eq!((said.is_cut, said.records.len()), (true, 0));
    let stream = alone.connect([10, 88, 0, 2]);
    assert_eq!(over_tcp(&stream, "all").unwrap().records.len(), 100);
    assert_eq!(
        over_tcp(&stream, "all").unwrap().records.len(),
        100,
        "and once more on the same connection"
    );
}

#[test]
fn other_names_are_asked_of_the_hosts_resolvers_and_of_the_next_where_one_fails() {
    // Nobody listens at the first; the second cannot; the third lies, first, and then
    // does not.
    let Some(alone) = Alone::start(&["127.0.0.7", "127.0.0.8", "127.0.0.9"], "on", TWO)
    else {
        return;
    };
    let cannot = resolver(&alone.host, "127.0.0.8", |packet| {
        let mut answer = says(packet, 1);
        *answer.rcode_mut() = RCODE::ServerFailure;
        vec![bytes(&answer)]
    });
    let third = resolver(&alone.host, "127.0.0.9", |packet| {
        let (mut other_id, mut other_name) = (says(packet, 66), says(packet, 66));
        other_id.set_id(packet.id().wrapping_add(1));
        other_name.questions[0].qname = Name::new("evil.example").unwrap();
        [other_id, other_name, packet.clone().into_reply(), says(packet, 9)]
            .iter()
            .map(bytes)
            .collect::<Vec<_>>()
            .into_iter()
            .enumerate()
            .filter(|(index, _)| *index != 2)
            .map(|(_, message)| message)
            .collect()
    });
    alone.ask("www.example", TYPE::A).is(&["192.0.2.9"]);
    assert_eq!((cannot.load(Ordering::SeqCst), third.load(Ordering::SeqCst)), (1, 1));
    alone.ask("web", TYPE::A).is(&["10.88.0.2"]);
    alone.ask("9.0.88.10.in-addr.arpa", TYPE::PTR).is_no_such_name();
    assert_eq!(
        third.load(Ordering::SeqCst),
        1,
        "what is in the network is asked of nobody outside"
    );
}

#[test]
fn each_question_has_an_id_and_a_port_of_its_own() {
    let Some(alone) = Alone::start(&["127.0.0.9"], "on", TWO) else { return };
    let (sender, seen) = mpsc::channel();
    let socket = alone.host.within(|| UdpSocket::bind("127.0.0.9:53").unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let packet = Packet::parse(&buffer[..length]).unwrap();
            sender.send((packet.id(), client.port())).unwrap();
            socket.send_to(&bytes(&says(&packet, 9)), client).unwrap();
        }
    });
    (0..8).for_each(|_| alone.ask("www.example", TYPE::A).is(&["192.0.2.9"]));
    let (ids, ports): (HashSet<_>, HashSet<_>) = seen.try_iter().unzip();
    assert!(ids.len() >= 7 && ports.len() >= 7, "{ids:?} {ports:?}");
    assert!(
        !ids.contains(&0x4b53) || ids.len() > 1,
        "the asker's own id is not passed on"
    );
}

#[test]
fn whom_a_container_wants_to_ask_is_asked_for_it() {
    let leases =
        r#"{"hostname": "web", "addresses": ["10.88.0.2"], "dns": ["127.0.0.8"]}"#;
    let Some(alone) = Alone::start(&["127.0.0.9"], "on", leases) else { return };
    let hosts =
        resolver(&alone.host, "127.0.0.9", |packet| vec![bytes(&says(packet, 9))]);
    let _own =
        resolver(&alone.host, "127.0.0.8", |packet| vec![bytes(&says(packet, 8))]);
    alone.ask("www.example", TYPE::A).is(&["192.0.2.8"]);
    assert_eq!(hosts.load(Ordering::SeqCst), 0);
}

#[test]
fn an_internal_network_asks_nobody() {
    let Some(alone) = Alone::start(&["127.0.0.9"], "off", TWO) else { return };
    let hosts =
        resolver(&alone.host, "127.0.0.9", |packet| vec![bytes(&says(packet, 9))]);
    alone.ask("www.example", TYPE::A).is_no_such_name();
    assert_eq!(hosts.load(Ordering::SeqCst), 0);
}

#[test]
fn where_nobody_answers_that_is_said() {
    let Some(alone) = Alone::start(&[], "on", TWO) else { return };
    assert_eq!(alone.ask("www.example", TYPE::A).code, RCODE::ServerFailure);
}

/// Numbers that are the same in every run: xorshift.
fn numbers() -> impl FnMut() -> usize {
    let mut state = 0x2545_f491_u32;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    }
}

#[test]
fn garbage_does_not_kill_it_nor_make_it_grow() {
    let Some(alone) = Alone::start(&["127.0.0.9"], "on", TWO) else { return };
    let _silent = resolver(&alone.host, "127.0.0.9", |_| Vec::new());
    alone.ask("web", TYPE::A);
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", alone.pid))
            .expect("it is alive");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let (before, socket, mut number) = (memory(), alone.socket("10.88.0.2"), numbers());
    let header = [0x4b, 0x53, 1, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let good = question("web", TYPE::A);
    for round in 0..20_000 {
        let message = match round % 6 {
            0 => (0..number() % 700).map(|_| number() as u8).collect(),
            1 => good[..number() % good.len()].to_vec(),
            2 => [&header[..], &[0xc0, 0x0c, 0, 1, 0, 1]].concat(), // a name that points to itself
            3 => [&header[..], &[63; 5000]].concat(),
            4 => question(&format!("n{round}.example"), TYPE::A), // nobody will answer these
            _ => {
                let mut bent = good.clone();
                let index = number() % bent.len();
                bent[index] ^= 1 << (number() % 8);
                bent
            }
        };
        let _ = socket.send_to(&message, "10.88.0.1:53");
    }
    let said = alone.ask_patiently("web", TYPE::A, Duration::from_millis(500));
    said.is(&["10.88.0.2"]);
    let grown = memory() - before;
    assert!(grown < 4096, "it has grown by {grown} KiB");
}

#[test]
fn it_has_no_rights_and_holds_nothing_of_who_started_it() {
    let Some(alone) = Alone::start(&[], "off", TWO) else { return };
    let status = fs::read_to_string(format!("/proc/{}/status", alone.pid)).unwrap();
    for line in [
        "Uid:\t65534\t65534\t65534\t65534",
        "Gid:\t65534\t65534\t65534\t65534",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let link =
        |name: &str| fs::read_link(format!("/proc/{}/{name}", alone.pid)).unwrap();
    assert_eq!(link("cwd"), Path::new("/"));
    for stream in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(stream), Path::new("/dev/null"), "{stream}");
    }
}

#[test]
fn a_second_one_and_a_taken_port_are_told() {
    let Some(alone) = Alone::start(&[], "off", TWO) else { return };
    let said = alone.begin("off");
    assert!(said.out.contains("dns.alive"), "{said:?}");
    // Another network's, at the same address.
    let other = alone.host.bench.dir().join("other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o711)).unwrap();
    nix::unistd::mkfifo(&other.join("dns.users"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap();
    let leases = other.join("leases.json").display().to_string();
    let said = alone.host.call(&[
        "dns-responder",
        "--leases",
        &leases,
        "--bridge",
        "lo",
        "--at",
        "10.88.0.1/24",
        "--forwarding",
        "off",
        "--detach",
    ]);
    assert!(said.out.contains("another DNS server"), "{said:?}");
}
