//! The matches of xtables, as conditions. iptables-nft(8) writes some of them into its
//! rules, and the old iptables has nothing else.

use super::condition::{Condition, Property};

/// Parses a match by its name and its data.
pub(crate) fn parse_match(name: &str, data: &[u8]) -> Vec<Condition> {
    match name {
        "comment" => Vec::new(),
        "conntrack" | "state" => vec![Condition::Connection],
        "tcp" => parse_ports(data, 4),
        "udp" => parse_ports(data, 1),
        _ => vec![Condition::Other],
    }
}

/// Parses struct xt_tcp or struct xt_udp: the first and the last source port, the first
/// and the last destination port, and bytes that are zero if they ask for nothing.
fn parse_ports(data: &[u8], flags: usize) -> Vec<Condition> {
    let port = |at: usize| {
        let bytes = data.get(2 * at..)?.first_chunk()?;
        Some(u16::from_ne_bytes(*bytes))
    };
    // The last byte: XT_TCP_INV_DSTPT, XT_UDP_INV_DSTPT
    let is_inverted = data.get(7 + flags).is_none_or(|inverted| inverted & 2 != 0);
    let is_plain = [port(0), port(1)] == [Some(0), Some(u16::MAX)]
        && data.get(8..8 + flags).is_some_and(|flags| flags.iter().all(|it| *it == 0));
    let property = Property::Port;
    let mut conditions = match (port(2), port(3)) {
        (Some(0), Some(u16::MAX)) => Vec::new(),
        (Some(first), Some(last)) if first == last && !is_inverted => {
            let value = first.to_be_bytes().into();
            vec![Condition::Value { property, is_equal: true, value }]
        }
        _ => vec![Condition::InSet(property)],
    };
    if !is_plain {
        conditions.push(Condition::Other);
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_of_one_destination_port_is_a_condition_on_it() {
        let ports = |ports: [u16; 4], flags: [u8; 4]| {
            [&ports.map(u16::to_ne_bytes).concat()[..], &flags].concat()
        };
        let port_53 = Condition::Value {
            property: Property::Port,
            is_equal: true,
            value: vec![0, 53],
        };
        let in_set = Condition::InSet(Property::Port);
        let (all, syn) = ([0, 65535, 0, 65535], [0, 0x17, 2, 0]);
        for (name, data, expected) in [
            ("udp", ports([0, 65535, 53, 53], [0; 4]), vec![port_53.clone()]),
            ("udp", ports([0, 65535, 53, 54], [0; 4]), vec![in_set.clone()]),
            (
                "udp",
                ports([0, 65535, 53, 53], [2, 0, 0, 0]),
                vec![in_set, Condition::Other],
            ),
            ("udp", ports([53, 53, 0, 65535], [0; 4]), vec![Condition::Other]),
            ("udp", ports([67, 67, 53, 53], [0; 4]), vec![port_53, Condition::Other]),
            ("tcp", ports(all, [0; 4]), Vec::new()),
            ("tcp", ports(all, syn), vec![Condition::Other]),
            (
                "tcp",
                vec![0; 3],
                vec![Condition::InSet(Property::Port), Condition::Other],
            ),
            ("comment", Vec::new(), Vec::new()),
            ("owner", Vec::new(), vec![Condition::Other]),
        ] {
            assert_eq!(parse_match(name, &data), expected, "{name} {data:?}");
        }
    }
}
