//! Many questions at once, slow servers and idle connections: the responder makes no
//! lookup fail that succeeds on the host.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use simple_dns::{Packet, RCODE, TYPE};

use super::ask_over_tcp;
use super::lone_responder::{LoneResponder, TWO_CONTAINERS, question};
use super::server::start_slow_server;

/// The responder sends fewer questions to servers at a time: the other questions wait,
/// and none fails.
#[test]
fn a_thousand_questions_at_once_are_all_answered() {
    let Some(responder) = LoneResponder::start(&["127.0.0.9"], "on", TWO_CONTAINERS)
    else {
        return;
    };
    let _slow =
        start_slow_server(&responder.host, "127.0.0.9", Duration::from_millis(100));
    let socket = responder.socket("10.88.0.2");
    let name = |number: usize| format!("h{number}.example");
    for number in 0..1000 {
        socket.send_to(&question(&name(number), TYPE::A), "10.88.0.1:53").unwrap();
    }
    let mut missing: HashSet<_> = (0..1000).map(name).collect();
    let mut buffer = [0; 512];
    while !missing.is_empty() {
        let Ok(length) = socket.recv(&mut buffer) else {
            panic!("{} are not answered: {missing:?}", missing.len());
        };
        let answer = Packet::parse(&buffer[..length]).unwrap();
        assert_eq!(answer.rcode(), RCODE::NoError);
        missing.remove(&answer.questions[0].qname.to_string());
    }
}

#[test]
fn a_late_answer_is_passed_on_and_repeated_questions_are_forwarded_once() {
    let Some(responder) = LoneResponder::start(&["127.0.0.9"], "on", TWO_CONTAINERS)
    else {
        return;
    };
    let asked = start_slow_server(&responder.host, "127.0.0.9", Duration::from_secs(3));
    let socket = responder.socket("10.88.0.2");
    for _ in 0..5 {
        let question = question("www.example", TYPE::A);
        socket.send_to(&question, "10.88.0.1:53").unwrap();
    }
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).expect("an answer");
    let answer = Packet::parse(&buffer[..length]).unwrap();
    assert_eq!((answer.rcode(), answer.answers.len()), (RCODE::NoError, 1));
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 3, "repeated by the client, it was forwarded {asked} times");
}

#[test]
fn idle_connections_do_not_keep_new_ones_out() {
    let Some(responder) = LoneResponder::start(&[], "off", TWO_CONTAINERS) else {
        return;
    };
    let client = [10, 88, 0, 2];
    let idle: Vec<_> = (0..100).map(|_| responder.connect(client)).collect();
    let answered = ask_over_tcp(&responder.connect(client), "db");
    assert_eq!(answered.expect("an answer").records, ["10.88.0.3"]);
    drop(idle);
}
