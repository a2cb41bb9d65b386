//! DNS servers on the host. The test chooses their answers.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, ResourceRecord};

use super::Host;

/// Starts a DNS server on port 53 of an address of the host. Returns the number of
/// questions so far.
pub fn start_server(
    host: &Host,
    address: &str,
    answer: impl Fn(&Packet) -> Vec<Vec<u8>> + Send + 'static,
) -> Arc<AtomicUsize> {
    let socket = host.within(|| UdpSocket::bind((address, 53)).unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            counted.fetch_add(1, Ordering::SeqCst);
            let packet = Packet::parse(&buffer[..length]).unwrap();
            for message in answer(&packet) {
                let _ = socket.send_to(&message, client);
            }
        }
    });
    count
}

/// Returns an answer with the address 192.0.2.`last`.
pub fn address_answer(packet: &Packet, last: u8) -> Packet<'static> {
    let mut answer = Packet::new_reply(packet.id());
    let question = packet.questions[0].clone().into_owned();
    let address = RData::A(Ipv4Addr::new(192, 0, 2, last).into());
    answer.answers.push(ResourceRecord::new(
        question.qname.clone(),
        CLASS::IN,
        60,
        address,
    ));
    answer.questions.push(question);
    answer
}

pub fn bytes(packet: &Packet) -> Vec<u8> {
    packet.build_bytes_vec().unwrap()
}

/// Starts a DNS server that answers every question after `delay`, several at a time.
/// Returns the number of questions so far.
pub fn start_slow_server(
    host: &Host,
    address: &str,
    delay: Duration,
) -> Arc<AtomicUsize> {
    let socket = host.within(|| UdpSocket::bind((address, 53)).unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, reply_socket) = (Arc::clone(&count), socket.try_clone().unwrap());
    let (sender, answers) = mpsc::channel::<(Instant, Vec<u8>, SocketAddr)>();
    thread::spawn(move || {
        for (due, answer, client) in answers {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let _ = reply_socket.send_to(&answer, client);
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            counted.fetch_add(1, Ordering::SeqCst);
            let packet = Packet::parse(&buffer[..length]).unwrap();
            let answer = bytes(&address_answer(&packet, 9));
            let _ = sender.send((Instant::now() + delay, answer, client));
        }
    });
    count
}
