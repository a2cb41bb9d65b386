//! What is said to a question: RFC 1034 and 1035.

use std::net::IpAddr;

use simple_dns::rdata::{PTR, RData};
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE,
    ResourceRecord, TYPE,
};

use super::Outside;
use super::names::Names;
use crate::subnet::Subnet;

/// No question is longer, in bytes: one name, and a few options.
pub(crate) const LONGEST_QUESTION: usize = 4096;
/// The longest answer over UDP to who has not asked for longer ones: RFC 1035, 4.2.1.
const LONGEST_OVER_UDP: usize = 512;
const HEADER: usize = 12;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Udp,
    Tcp,
}

/// What to do about a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Say this.
    Say(Vec<u8>),
    /// Ask others; the question's own bytes end here.
    Ask { question_end: usize },
    /// It is no question.
    Nothing,
}

/// What the answers come from.
pub(crate) struct Known<'a> {
    pub(crate) names: &'a Names,
    pub(crate) gateways: &'a [Subnet],
    pub(crate) outside: Outside,
    /// Rotates the addresses of a name that several containers share.
    pub(crate) turn: usize,
}

impl Known<'_> {
    /// What to do about a message from inside the network.
    pub(crate) fn reply(&self, message: &[u8], carrier: Carrier) -> Reply {
        let Some(flags) = message.get(2).filter(|_| message.len() >= HEADER) else {
            return Reply::Nothing;
        };
        if flags & 0x80 != 0 || message.len() > LONGEST_QUESTION {
            return Reply::Nothing; // an answer: who answers answers talks for ever
        }
        if message[4..6] != [0, 1] {
            // one question at a time, as everybody asks
            return refusal(message, RCODE::FormatError);
        }
        // Only the header and the question are looked at, whatever the other counts
        // claim.
        let mut head = message.to_vec();
        head[3] &= 0x0f; // simple-dns refuses a bit that was once reserved
        head[6..HEADER].fill(0);
        let Ok(packet) = Packet::parse(&head) else {
            return refusal(message, RCODE::FormatError);
        };
        if packet.opcode() != OPCODE::StandardQuery {
            return refusal(message, RCODE::NotImplemented);
        }
        let [question] = &packet.questions[..] else {
            return refusal(message, RCODE::FormatError);
        };
        match question_end(message, question) {
            Some(end) => self.reply_to(&packet, question, carrier, end),
            None => refusal(message, RCODE::FormatError),
        }
    }

    fn reply_to(
        &self,
        asked: &Packet,
        question: &Question,
        carrier: Carrier,
        end: usize,
    ) -> Reply {
        if !matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY)
            || question.unicast_response
        {
            return say(asked, question, RCODE::Refused, &[], carrier);
        }
        let name = text(&question.qname);
        let known = match reverse(&name) {
            Some(address)
                if self.gateways.iter().any(|gateway| gateway.has(address)) =>
            {
                Some(
                    self.names.name(address).map(|name| pointers(question.qtype, name)),
                )
            }
            Some(_) => None,
            None => self
                .names
                .addresses(&name)
                .map(|known| Some(self.records(question.qtype, known))),
        };
        match known {
            // There is this name: if it has no record of this type, the answer is empty
            // (RFC 2308, 2.2).
            Some(Some(records)) => {
                say(asked, question, RCODE::NoError, &records, carrier)
            }
            Some(None) => say(asked, question, RCODE::NameError, &[], carrier),
            None if self.outside == Outside::Closed => {
                say(asked, question, RCODE::NameError, &[], carrier)
            }
            None => Reply::Ask { question_end: end },
        }
    }

    fn records(&self, wanted: QTYPE, addresses: &[IpAddr]) -> Vec<RData<'static>> {
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
        let turn = self.turn % records.len().max(1);
        records.rotate_left(turn);
        records
    }
}

fn pointers(wanted: QTYPE, name: &str) -> Vec<RData<'_>> {
    let is_wanted = matches!(wanted, QTYPE::TYPE(TYPE::PTR) | QTYPE::ANY);
    let name = is_wanted.then(|| Name::new(name).ok()).flatten();
    name.map(|name| RData::PTR(PTR(name))).into_iter().collect()
}

/// Where the question ends: names in it are written out, so that an answer has the same
/// bytes.
fn question_end(message: &[u8], question: &Question) -> Option<usize> {
    let end = HEADER
        + question.qname.as_bytes().map(|label| label.len() + 1).sum::<usize>()
        + 1
        + 4;
    let mut written = Vec::new();
    for label in question.qname.as_bytes() {
        written.push(label.len() as u8);
        written.extend(label);
    }
    written.push(0);
    (message.get(HEADER..end - 4)? == written && message.len() >= end).then_some(end)
}

/// A name as people write it, in lower case.
fn text(name: &Name) -> String {
    let labels: Vec<_> = name.as_bytes().map(String::from_utf8_lossy).collect();
    // A dot inside a label is part of no container's name.
    if labels.iter().any(|label| label.contains('.')) {
        return String::new();
    }
    labels.join(".").to_ascii_lowercase()
}

/// The address of a name that stands for one: 2.0.88.10.in-addr.arpa (RFC 1035, 3.5;
/// RFC 3596, 2.5).
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(bytes) = name.strip_suffix(".in-addr.arpa") {
        let bytes: Vec<&str> = bytes.rsplit('.').collect();
        return bytes.join(".").parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let is_digit = |label: &str| {
        label.len() == 1 && label.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let is_whole = digits.len() == 32 && digits.iter().all(|digit| is_digit(digit));
    let bits =
        is_whole.then(|| u128::from_str_radix(&digits.concat(), 16).ok()).flatten()?;
    Some(IpAddr::V6(bits.into()))
}

fn say(
    asked: &Packet,
    question: &Question,
    code: RCODE,
    records: &[RData],
    carrier: Carrier,
) -> Reply {
    let build = |records: &[RData], more: PacketFlag| {
        let mut packet = Packet::new_reply(asked.id());
        *packet.rcode_mut() = code;
        packet.set_flags(
            PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE | more,
        );
        if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
            packet.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        packet.questions.push(question.clone());
        // Nobody keeps it: the container may be gone in a moment.
        let record = |data: &RData<'_>| {
            ResourceRecord::new(
                question.qname.clone().into_owned(),
                CLASS::IN,
                0,
                data.clone().into_owned(),
            )
        };
        packet.answers = records.iter().map(record).collect();
        packet.build_bytes_vec_compressed()
    };
    let whole = build(records, PacketFlag::empty());
    let bytes = match whole {
        Ok(bytes) if carrier == Carrier::Tcp || bytes.len() <= LONGEST_OVER_UDP => {
            Ok(bytes)
        }
        Ok(_) => build(&[], PacketFlag::TRUNCATION), // who asked asks again, over TCP
        error => error,
    };
    bytes.map_or(Reply::Nothing, Reply::Say)
}

/// The answer to what cannot be answered: a header, and nothing of what was sent.
pub(crate) fn refusal(message: &[u8], code: RCODE) -> Reply {
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&message[..2]);
    // an answer; the operation and "recursion desired" as asked
    header[2] = 0x80 | (message[2] & 0x79);
    header[3] = code as u8;
    Reply::Say(header.into())
}

/// The answer to a question that nobody could be asked, or nobody answered.
pub(crate) fn failure(message: &[u8], question_end: usize) -> Vec<u8> {
    let mut bytes = message[..question_end].to_vec();
    bytes[2] = 0x80 | (message[2] & 0x79);
    bytes[3] = 0x80 | RCODE::ServerFailure as u8; // recursion is available
    bytes[6..HEADER].fill(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &Names, look: impl FnOnce(&Known)) {
        let gateways = ["10.88.0.1/24".parse().unwrap()];
        look(&Known { names, gateways: &gateways, outside: Outside::Forward, turn: 0 });
    }

    fn names() -> Names {
        Names::parse(r#"{"leases": [{"hostname": "web", "addresses": ["10.88.0.2"]}]}"#)
            .unwrap()
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

    /// The code of a refusal.
    fn refused(known: &Known, message: &[u8]) -> u8 {
        match known.reply(message, Carrier::Udp) {
            Reply::Say(said) if said.len() == HEADER => said[3],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        known(&names(), |known| {
            let mut answer = question("web");
            answer[2] |= 0x80;
            for message in [&answer[..], &[], &[0; 11], &[0; LONGEST_QUESTION + 1]] {
                assert_eq!(known.reply(message, Carrier::Udp), Reply::Nothing);
            }
        });
    }

    #[test]
    fn what_is_asked_wrongly_is_refused_with_the_reason() {
        known(&names(), |known| {
            let bent = |index: usize, value: u8| {
                let mut message = question("web");
                message[index] = value;
                message
            };
            assert_eq!(refused(known, &bent(2, 0x28)), RCODE::NotImplemented as u8);
            assert_eq!(refused(known, &bent(5, 0)), RCODE::FormatError as u8);
            assert_eq!(refused(known, &bent(5, 2)), RCODE::FormatError as u8);
            // a pointer
            assert_eq!(refused(known, &bent(12, 0xc0)), RCODE::FormatError as u8);
            assert_eq!(
                refused(known, &question("web")[..14]),
                RCODE::FormatError as u8
            );
            // A pointer to a name that is there: the id, read as the label x.
            let by_id = [1, b'x', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 1, 0, 1, 0];
            assert_eq!(refused(known, &by_id), RCODE::FormatError as u8);
        });
    }

    #[test]
    fn a_dot_inside_a_label_makes_no_name_of_it() {
        let names = Names::parse(
            r#"{"leases": [{"hostname": "a.b", "addresses": ["10.88.0.2"]}]}"#,
        )
        .unwrap();
        known(&names, |known| {
            assert!(matches!(
                known.reply(&question("a.b"), Carrier::Udp),
                Reply::Say(_)
            ));
            assert!(matches!(
                known.reply(&question(r"a\.b"), Carrier::Udp),
                Reply::Ask { .. }
            ));
        });
    }

    #[test]
    fn an_address_is_read_from_the_name_that_stands_for_it() {
        let v6 = format!("2.{}d.f.ip6.arpa", "0.".repeat(29));
        assert_eq!(
            reverse("2.0.88.10.in-addr.arpa"),
            Some("10.88.0.2".parse().unwrap())
        );
        assert_eq!(reverse(&v6), Some("fd00::2".parse().unwrap()));
        for other in [
            "in-addr.arpa",
            "88.10.in-addr.arpa",
            "x.0.88.10.in-addr.arpa",
            "2.ip6.arpa",
            "web",
            &v6[2..],
        ] {
            assert_eq!(reverse(other), None, "{other}");
        }
        assert_eq!(reverse(&v6.replacen('2', "é", 1)), None);
        assert_eq!(reverse(&v6.replace("d.f.ip6", "d.+.ip6")), None);
    }
}
