//! Replies to DNS messages: RFC 1034 and 1035.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use simple_dns::rdata::{PTR, RData};
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE,
    ResourceRecord, TYPE,
};

use super::Forwarding;
use super::zone::Zone;
use crate::etc::NETWORK_DOMAIN;
use crate::port::Protocol;
use crate::subnet::Subnet;

/// The longest message that is answered, in bytes: a question has one name, and a few
/// options.
pub(crate) const MAX_QUESTION: usize = 4096;
/// The longest answer over UDP to a client without EDNS: RFC 1035, 4.2.1.
const MAX_UDP_ANSWER: usize = 512;
/// The length of a message's header: RFC 1035, 4.1.1.
pub(crate) const HEADER_LENGTH: usize = 12;
/// QR, in byte 2 of the header: the message is an answer.
const IS_ANSWER: u8 = 0x80;
/// Opcode and RD, in byte 2 of the header: an answer repeats them.
const REPEATED_BITS: u8 = 0x79;
/// RA, in byte 3 of the header: recursion is available.
const RECURSION_AVAILABLE: u8 = 0x80;

/// The reply to a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Send this answer.
    Answer(Vec<u8>),
    /// Forward the question to another server. It ends at this byte of the message.
    Forward { question_end: usize },
    /// No reply, because the message is not a question.
    Ignore,
}

/// Answers questions about the names of a network, and decides which other questions
/// are forwarded. It is cheap to clone.
#[derive(Clone)]
pub(crate) struct Authority {
    pub(crate) zone: Arc<Zone>,
    pub(crate) gateways: Arc<[Subnet]>,
    pub(crate) forwarding: Forwarding,
}

/// The result of looking a name up.
enum Lookup<'a> {
    /// The name exists. It may have no record of the type: RFC 2308, 2.2.
    Records(Vec<RData<'a>>),
    NoSuchName,
    /// The name does not belong to the network.
    Outside,
    /// The class of the question is not that of the Internet.
    Refused,
}

impl Authority {
    /// Decides on the reply to a message from the network. The addresses of a name that
    /// several containers share are rotated by `turn`.
    pub(crate) fn reply(
        &self,
        message: &[u8],
        protocol: Protocol,
        turn: usize,
    ) -> Reply {
        let has_valid_length = (HEADER_LENGTH..=MAX_QUESTION).contains(&message.len());
        // An answer gets no reply: two servers that reply to answers never stop.
        if !has_valid_length || message[2] & IS_ANSWER != 0 {
            return Reply::Ignore;
        }
        let refuse = |code| Reply::Answer(error_answer(message, HEADER_LENGTH, code));
        if message[4..6] != [0, 1] {
            return refuse(RCODE::FormatError); // clients ask one question at a time
        }
        // The records behind the question are not parsed, however many the header says
        // that there are.
        let mut head = message.to_vec();
        head[3] &= 0x0f; // simple-dns refuses a bit that was once reserved
        head[6..HEADER_LENGTH].fill(0);
        let Ok(packet) = Packet::parse(&head) else {
            return refuse(RCODE::FormatError);
        };
        if packet.opcode() != OPCODE::StandardQuery {
            return refuse(RCODE::NotImplemented);
        }
        let [question] = &packet.questions[..] else {
            return refuse(RCODE::FormatError);
        };
        let Some(question_end) = question_end(message, question) else {
            return refuse(RCODE::FormatError);
        };
        match self.look_up(question, turn) {
            Lookup::Outside if self.forwarding == Forwarding::On => {
                Reply::Forward { question_end }
            }
            lookup => answer(&packet, question, &lookup, protocol)
                .map_or(Reply::Ignore, Reply::Answer),
        }
    }

    fn look_up(&self, question: &Question, turn: usize) -> Lookup<'_> {
        if !matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY)
            || question.unicast_response
        {
            return Lookup::Refused;
        }
        let (name, wanted) = (lower_case(&question.qname), question.qtype);
        let Some(address) = reverse_address(&name) else {
            let (name, if_unknown) = strip_network_domain(&name);
            return match self.zone.addresses(name) {
                Some(addresses) => Lookup::Records(records(wanted, addresses, turn)),
                None => if_unknown,
            };
        };
        if !self.gateways.iter().any(|gateway| gateway.contains(address)) {
            return Lookup::Outside;
        }
        match self.zone.hostname(address) {
            Some(name) => Lookup::Records(pointer_records(wanted, name)),
            None => Lookup::NoSuchName,
        }
    }
}

/// Removes the network's domain from a name. Also returns the result for the case that
/// no container has the name: only names outside the domain may be known to other
/// servers.
fn strip_network_domain(name: &str) -> (&str, Lookup<'static>) {
    let prefix = name.strip_suffix(NETWORK_DOMAIN).map(|it| it.strip_suffix('.'));
    match prefix {
        None => (name, Lookup::Outside),
        Some(Some(own)) => (own, Lookup::NoSuchName),
        // The domain itself, or a name that only ends with the same letters.
        Some(None) if name == NETWORK_DOMAIN => ("", Lookup::Records(Vec::new())),
        Some(None) => (name, Lookup::Outside),
    }
}

/// The A and AAAA records of a name.
fn records(wanted: QTYPE, addresses: &[IpAddr], turn: usize) -> Vec<RData<'static>> {
    let records = addresses.iter().filter_map(|address| match (wanted, address) {
        (QTYPE::TYPE(TYPE::A) | QTYPE::ANY, IpAddr::V4(v4)) => {
            Some(RData::A((*v4).into()))
        }
        (QTYPE::TYPE(TYPE::AAAA) | QTYPE::ANY, IpAddr::V6(v6)) => {
            Some(RData::AAAA((*v6).into()))
        }
        _ => None,
    });
    let mut records: Vec<_> = records.collect();
    let turn = turn % records.len().max(1);
    records.rotate_left(turn);
    records
}

/// The PTR record of an address.
fn pointer_records(wanted: QTYPE, hostname: &str) -> Vec<RData<'_>> {
    let is_wanted = matches!(wanted, QTYPE::TYPE(TYPE::PTR) | QTYPE::ANY);
    let name = is_wanted.then(|| Name::new(hostname).ok()).flatten();
    name.map(|name| RData::PTR(PTR(name))).into_iter().collect()
}

/// The offset at which the question ends. None: its name is compressed, so the answer
/// of another server would not repeat it byte for byte.
fn question_end(message: &[u8], question: &Question) -> Option<usize> {
    let mut packet = Packet::new_query(0);
    packet.questions.push(question.clone());
    let written = packet.build_bytes_vec().ok()?;
    message[HEADER_LENGTH..]
        .starts_with(&written[HEADER_LENGTH..])
        .then_some(written.len())
}

/// A name in lower case; empty if a label contains a dot, since no container has such a
/// name.
fn lower_case(name: &Name) -> String {
    let labels: Vec<_> = name.as_bytes().map(String::from_utf8_lossy).collect();
    if labels.iter().any(|label| label.contains('.')) {
        return String::new();
    }
    labels.join(".").to_ascii_lowercase()
}

/// The address of a reverse name: 10.88.0.2 for 2.0.88.10.in-addr.arpa (RFC 1035, 3.5;
/// RFC 3596, 2.5).
fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(bytes) = name.strip_suffix(".in-addr.arpa") {
        let bytes: Vec<&str> = bytes.rsplit('.').collect();
        return bytes.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let is_digit = |label: &str| {
        label.len() == 1 && label.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let is_address = digits.len() == 32 && digits.iter().all(|digit| is_digit(digit));
    let bits = is_address.then(|| u128::from_str_radix(&digits.concat(), 16).ok());
    Some(IpAddr::V6(bits.flatten()?.into()))
}

fn answer(
    asked: &Packet,
    question: &Question,
    lookup: &Lookup,
    protocol: Protocol,
) -> simple_dns::Result<Vec<u8>> {
    let (code, records) = match lookup {
        Lookup::Records(records) => (RCODE::NoError, &records[..]),
        Lookup::NoSuchName | Lookup::Outside => (RCODE::NameError, &[][..]),
        Lookup::Refused => (RCODE::Refused, &[][..]),
    };
    let build = |records: &[RData], flags: PacketFlag| {
        let mut packet = Packet::new_reply(asked.id());
        *packet.rcode_mut() = code;
        packet.set_flags(
            PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE | flags,
        );
        if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
            packet.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        packet.questions.push(question.clone());
        // A TTL of 0: no client caches the answer, since the container may end soon.
        let record = |data: &RData<'_>| {
            let name = question.qname.clone().into_owned();
            ResourceRecord::new(name, CLASS::IN, 0, data.clone().into_owned())
        };
        packet.answers = records.iter().map(record).collect();
        packet.build_bytes_vec_compressed()
    };
    let whole = build(records, PacketFlag::empty())?;
    if protocol == Protocol::Udp && whole.len() > MAX_UDP_ANSWER {
        return build(&[], PacketFlag::TRUNCATION); // the client retries over TCP
    }
    Ok(whole)
}

/// An answer that has only an error code. It repeats the message as far as `end`: the
/// header, or the header and the question.
pub(crate) fn error_answer(message: &[u8], end: usize, code: RCODE) -> Vec<u8> {
    let mut answer = message[..end].to_vec();
    answer[2] = IS_ANSWER | (message[2] & REPEATED_BITS);
    answer[3] = RECURSION_AVAILABLE | code as u8;
    answer[5] = u8::from(end > HEADER_LENGTH); // how many questions it repeats
    answer[4] = 0;
    answer[6..HEADER_LENGTH].fill(0);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply for a network on which 10.88.0.2 has this host name.
    fn reply(hostname: &str, message: &[u8]) -> Reply {
        let leases = format!(
            r#"{{"leases": [{{"hostname": "{hostname}", "addresses": ["10.88.0.2"]}}]}}"#
        );
        let authority = Authority {
            zone: Arc::new(Zone::parse(&leases).unwrap()),
            gateways: ["10.88.0.1/24".parse().unwrap()].into(),
            forwarding: Forwarding::On,
        };
        authority.reply(message, Protocol::Udp, 0)
    }

    fn question(name: &str) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.questions.push(Question::new(
            Name::new(name).unwrap(),
            TYPE::A.into(),
            CLASS::IN.into(),
            false,
        ));
        packet.build_bytes_vec().unwrap()
    }

    /// The code of an answer that repeats nothing but the header.
    fn error_code(message: &[u8]) -> u8 {
        match reply("web", message) {
            Reply::Answer(answer) if answer.len() == HEADER_LENGTH => {
                assert_eq!(answer[4..], [0; 8], "it has no question and no record");
                answer[3] & 0x0f
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_that_is_no_question_is_not_answered() {
        let mut answer = question("web");
        answer[2] |= IS_ANSWER;
        for message in [&answer[..], &[], &[0; 11], &[0; MAX_QUESTION + 1]] {
            assert_eq!(reply("web", message), Reply::Ignore);
        }
    }

    #[test]
    fn a_malformed_question_is_refused_with_the_reason() {
        let changed = |index: usize, value: u8| {
            let mut message = question("web");
            message[index] = value;
            message
        };
        assert_eq!(error_code(&changed(2, 0x28)), RCODE::NotImplemented as u8);
        for malformed in [
            changed(5, 0),
            changed(5, 2),
            changed(12, 0xc0), // the name is a pointer
            question("web")[..14].to_vec(),
            // A pointer to bytes that can be read as a name: the id as the label x.
            vec![1, b'x', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 1, 0, 1, 0],
        ] {
            assert_eq!(error_code(&malformed), RCODE::FormatError as u8);
        }
    }

    #[test]
    fn a_label_with_a_dot_is_not_taken_for_two_labels() {
        let answered = reply("a.b", &question("a.b"));
        assert!(matches!(answered, Reply::Answer(_)), "{answered:?}");
        let forwarded = reply("a.b", &question(r"a\.b"));
        assert!(matches!(forwarded, Reply::Forward { .. }), "{forwarded:?}");
    }

    #[test]
    fn a_reverse_name_is_parsed_as_an_address() {
        let v6 = format!("2.{}d.f.ip6.arpa", "0.".repeat(29));
        assert_eq!(
            reverse_address("2.0.88.10.in-addr.arpa"),
            Some("10.88.0.2".parse().unwrap())
        );
        assert_eq!(reverse_address(&v6), Some("fd00::2".parse().unwrap()));
        for other in [
            "in-addr.arpa",
            "88.10.in-addr.arpa",
            "x.0.88.10.in-addr.arpa",
            "2.ip6.arpa",
            "web",
            &v6[2..],
        ] {
            assert_eq!(reverse_address(other), None, "{other}");
        }
        assert_eq!(reverse_address(&v6.replacen('2', "é", 1)), None);
        assert_eq!(reverse_address(&v6.replace("d.f.ip6", "d.+.ip6")), None);
    }
}
