//! The DNS responder of a network, with valid and with hostile questions.
//!
//! These tests start only the responder, in a new network namespace and with a lease
//! file that the test writes. The tests in `containers` start containers.

#[path = "dns/containers.rs"]
mod containers;
#[path = "dns/host.rs"]
mod host;
#[path = "dns/load.rs"]
mod load;
#[path = "dns/lone_responder.rs"]
mod lone_responder;
#[path = "dns/server.rs"]
mod server;

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

use kiste_tests::timeout;
use simple_dns::{Name, Packet, RCODE, TYPE};

use lone_responder::{
    Answer, LoneResponder, TWO_CONTAINERS, question, start_responder,
};
use server::{address_answer, bytes, start_server};

pub use host::Host;

#[test]
fn an_answer_tells_a_missing_record_from_a_missing_name() {
    let Some(responder) = LoneResponder::start(&[], "off", TWO_CONTAINERS) else {
        return;
    };
    for name in ["web", "WEB", "0123456789ab"] {
        responder.ask(name, TYPE::A).is(&["10.88.0.2"]);
        responder.ask(name, TYPE::AAAA).is(&["fd00::2"]);
    }
    responder.ask("db", TYPE::AAAA).is(&[]); // the name exists, but has no such record
    responder.ask("web", TYPE::MX).is(&[]);
    responder.ask("other", TYPE::A).is_no_such_name();
    responder.ask("web.example", TYPE::A).is_no_such_name();
    responder.ask("web.kiste.internal", TYPE::A).is(&["10.88.0.2"]);
    responder.ask("kiste.internal", TYPE::A).is(&[]);
    responder.ask("2.0.88.10.in-addr.arpa", TYPE::PTR).is(&["Web"]);
    responder
        .ask(&format!("2.{}0.0.d.f.ip6.arpa", "0.".repeat(27)), TYPE::PTR)
        .is_no_such_name(); // an address of another network
    responder.ask("9.0.88.10.in-addr.arpa", TYPE::PTR).is_no_such_name();
}

#[test]
fn the_addresses_of_a_shared_alias_are_rotated() {
    let Some(responder) = LoneResponder::start(&[], "off", TWO_CONTAINERS) else {
        return;
    };
    let first_addresses: HashSet<String> =
        (0..4).map(|_| responder.ask("all", TYPE::A).records.remove(0)).collect();
    assert_eq!(
        first_addresses,
        HashSet::from(["10.88.0.2".into(), "10.88.0.3".into()])
    );
}

#[test]
fn answers_follow_the_lease_file() {
    const CLIENT: &str = r#"{"hostname": "client", "addresses": ["10.88.0.2"]}"#;
    let Some(responder) = LoneResponder::start(&[], "off", CLIENT) else { return };
    responder.ask("web", TYPE::A).is_no_such_name();
    for address in ["10.88.0.7", "10.88.0.8"] {
        responder.write(&format!(
            r#"{CLIENT}, {{"hostname": "web", "addresses": ["{address}"]}}"#
        ));
        responder.ask("web", TYPE::A).is(&[address]);
    }
}

#[test]
fn an_address_without_a_lease_gets_no_answer() {
    let Some(responder) = LoneResponder::start(&[], "off", TWO_CONTAINERS) else {
        return;
    };
    // The first address is of a container of another network. The second one is of a
    // container that has given itself an address.
    for from in [[10, 99, 0, 1], [10, 88, 0, 200]] {
        let stranger = responder.socket(&IpAddr::from(from).to_string());
        stranger.send_to(&question("web", TYPE::A), "10.88.0.1:53").unwrap();
        // The responder answers questions in order. When it has answered this question,
        // it has ignored the stranger's question.
        responder.ask("web", TYPE::A).is(&["10.88.0.2"]);
        stranger.set_nonblocking(true).unwrap();
        assert!(stranger.recv(&mut [0; 512]).is_err());
        assert_eq!(
            ask_over_tcp(&responder.connect(from), "web").ok(),
            None,
            "the connection is closed without an answer"
        );
    }
}

fn ask_over_tcp(mut stream: &TcpStream, name: &str) -> std::io::Result<Answer> {
    stream.set_read_timeout(Some(timeout()))?;
    let question = question(name, TYPE::A);
    stream
        .write_all(&[&(question.len() as u16).to_be_bytes(), &question[..]].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(Answer::read(&message))
}

#[test]
fn an_answer_that_is_too_long_for_udp_comes_over_tcp() {
    let many: Vec<_> = (2..102)
        .map(|n| format!(r#"{{"hostname": "all", "addresses": ["10.88.0.{n}"]}}"#))
        .collect();
    let Some(responder) = LoneResponder::start(&[], "off", &many.join(",")) else {
        return;
    };
    let answer = responder.ask("all", TYPE::A);
    assert_eq!((answer.is_truncated, answer.records.len()), (true, 0));
    let stream = responder.connect([10, 88, 0, 2]);
    assert_eq!(ask_over_tcp(&stream, "all").unwrap().records.len(), 100);
    assert_eq!(
        ask_over_tcp(&stream, "all").unwrap().records.len(),
        100,
        "the same connection can be used twice"
    );
}

#[test]
fn other_names_are_forwarded_to_the_hosts_servers_in_turn() {
    // There is no server at the first address. The second server fails. The third
    // server sends forged answers before the true one.
    let Some(responder) = LoneResponder::start(
        &["127.0.0.7", "127.0.0.8", "127.0.0.9"],
        "on",
        TWO_CONTAINERS,
    ) else {
        return;
    };
    let failing_server_questions =
        start_server(&responder.host, "127.0.0.8", |packet| {
            let mut answer = address_answer(packet, 1);
            *answer.rcode_mut() = RCODE::ServerFailure;
            vec![bytes(&answer)]
        });
    let third_server_questions = start_server(&responder.host, "127.0.0.9", |packet| {
        let (mut other_id, mut other_name) =
            (address_answer(packet, 66), address_answer(packet, 66));
        other_id.set_id(packet.id().wrapping_add(1));
        other_name.questions[0].qname = Name::new("evil.example").unwrap();
        [other_id, other_name, packet.clone().into_reply(), address_answer(packet, 9)]
            .iter()
            .map(bytes)
            .collect::<Vec<_>>()
            .into_iter()
            .enumerate()
            .filter(|(index, _)| *index != 2)
            .map(|(_, message)| message)
            .collect()
    });
    responder.ask("www.example", TYPE::A).is(&["192.0.2.9"]);
    assert_eq!(
        (
            failing_server_questions.load(Ordering::SeqCst),
            third_server_questions.load(Ordering::SeqCst)
        ),
        (1, 1)
    );
    responder.ask("web", TYPE::A).is(&["10.88.0.2"]);
    responder.ask("9.0.88.10.in-addr.arpa", TYPE::PTR).is_no_such_name();
    responder.ask("other.kiste.internal", TYPE::A).is_no_such_name();
    assert_eq!(
        third_server_questions.load(Ordering::SeqCst),
        1,
        "no name of the network is forwarded"
    );
}

#[test]
fn each_forwarded_question_has_its_own_id_and_port() {
    let Some(responder) = LoneResponder::start(&["127.0.0.9"], "on", TWO_CONTAINERS)
    else {
        return;
    };
    let (sender, seen) = mpsc::channel();
    let socket = responder.host.within(|| UdpSocket::bind("127.0.0.9:53").unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let packet = Packet::parse(&buffer[..length]).unwrap();
            sender.send((packet.id(), client.port())).unwrap();
            socket.send_to(&bytes(&address_answer(&packet, 9)), client).unwrap();
        }
    });
    (0..8).for_each(|_| responder.ask("www.example", TYPE::A).is(&["192.0.2.9"]));
    let (ids, ports): (HashSet<_>, HashSet<_>) = seen.try_iter().unzip();
    assert!(ids.len() >= 7 && ports.len() >= 7, "{ids:?} {ports:?}");
    assert!(
        !ids.contains(&0x4b53) || ids.len() > 1,
        "the client's id is not forwarded"
    );
}

#[test]
fn questions_of_a_container_go_to_its_own_dns_servers() {
    let leases =
        r#"{"hostname": "web", "addresses": ["10.88.0.2"], "dns": ["127.0.0.8"]}"#;
    let Some(responder) = LoneResponder::start(&["127.0.0.9"], "on", leases) else {
        return;
    };
    let hosts_server_questions = start_server(&responder.host, "127.0.0.9", |packet| {
        vec![bytes(&address_answer(packet, 9))]
    });
    let _containers_server = start_server(&responder.host, "127.0.0.8", |packet| {
        vec![bytes(&address_answer(packet, 8))]
    });
    responder.ask("www.example", TYPE::A).is(&["192.0.2.8"]);
    assert_eq!(hosts_server_questions.load(Ordering::SeqCst), 0);
}

/// A host learns the address of such a server from a router advertisement.
#[test]
fn a_server_at_a_link_local_address_is_asked() {
    let server_address = "fe80::53%lo";
    let Some(responder) = LoneResponder::start(&[server_address], "on", TWO_CONTAINERS)
    else {
        return;
    };
    responder.host.sh("ip addr add fe80::53/64 dev lo nodad");
    let _server = start_server(&responder.host, server_address, |packet| {
        vec![bytes(&address_answer(packet, 9))]
    });
    responder.ask("www.example", TYPE::A).is(&["192.0.2.9"]);
}

#[test]
fn an_internal_network_forwards_nothing() {
    let Some(responder) = LoneResponder::start(&["127.0.0.9"], "off", TWO_CONTAINERS)
    else {
        return;
    };
    let hosts_server_questions = start_server(&responder.host, "127.0.0.9", |packet| {
        vec![bytes(&address_answer(packet, 9))]
    });
    responder.ask("www.example", TYPE::A).is_no_such_name();
    assert_eq!(hosts_server_questions.load(Ordering::SeqCst), 0);
}

#[test]
fn without_servers_the_answer_is_a_failure() {
    let Some(responder) = LoneResponder::start(&[], "on", TWO_CONTAINERS) else {
        return;
    };
    assert_eq!(responder.ask("www.example", TYPE::A).code, RCODE::ServerFailure);
}

/// Returns a generator of pseudo-random numbers (xorshift), the same in every run.
fn pseudo_random_numbers() -> impl FnMut() -> usize {
    let mut state = 0x2545_f491_u32;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    }
}

#[test]
fn malformed_messages_neither_crash_the_responder_nor_make_it_grow() {
    let Some(responder) = LoneResponder::start(&["127.0.0.9"], "on", TWO_CONTAINERS)
    else {
        return;
    };
    let _silent = start_server(&responder.host, "127.0.0.9", |_| Vec::new());
    responder.ask("web", TYPE::A);
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", responder.pid))
            .expect("the responder is alive");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let (before, socket, mut number) =
        (memory(), responder.socket("10.88.0.2"), pseudo_random_numbers());
    let header = [0x4b, 0x53, 1, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let good = question("web", TYPE::A);
    for round in 0..20_000 {
        let message = match round % 6 {
            0 => (0..number() % 700).map(|_| number() as u8).collect(),
            1 => good[..number() % good.len()].to_vec(),
            2 => [&header[..], &[0xc0, 0x0c, 0, 1, 0, 1]].concat(), // a name that is a pointer to itself
            3 => [&header[..], &[63; 5000]].concat(),
            4 => question(&format!("n{round}.example"), TYPE::A), // no server answers these
            _ => {
                let mut changed = good.clone();
                let index = number() % changed.len();
                changed[index] ^= 1 << (number() % 8);
                changed
            }
        };
        let _ = socket.send_to(&message, "10.88.0.1:53");
    }
    let answer = responder.ask_within(Duration::from_millis(500), "web", TYPE::A);
    answer.is(&["10.88.0.2"]);
    let growth = memory() - before;
    assert!(growth < 4096, "the responder has grown by {growth} KiB");
}

#[test]
fn the_responder_has_no_privileges_and_no_file_of_the_runtime() {
    let Some(responder) = LoneResponder::start(&[], "off", TWO_CONTAINERS) else {
        return;
    };
    let status = fs::read_to_string(format!("/proc/{}/status", responder.pid)).unwrap();
    for line in [
        "Uid:\t65534\t65534\t65534\t65534",
        "Gid:\t65534\t65534\t65534\t65534",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let link =
        |name: &str| fs::read_link(format!("/proc/{}/{name}", responder.pid)).unwrap();
    assert_eq!(link("cwd"), Path::new("/"));
    for stream in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(stream), Path::new("/dev/null"), "{stream}");
    }
}

#[test]
fn a_second_responder_and_a_port_in_use_are_refused() {
    let Some(responder) = LoneResponder::start(&[], "off", TWO_CONTAINERS) else {
        return;
    };
    let ran = responder.start_responder("off");
    assert!(ran.out.contains("dns.alive"), "{ran:?}");
    // Another network has its responder at the same address.
    let other = responder.host.fixture.dir().join("other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o711)).unwrap();
    nix::unistd::mkfifo(&other.join("dns.users"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap();
    let ran = start_responder(&responder.host, &other.join("leases.json"), "off");
    assert!(ran.out.contains("another DNS server"), "{ran:?}");
}
