//! Parses the expressions of a rule of another program.

use super::condition::{Condition, Property, Verdict};
use super::xt_match::parse_match;
use crate::netlink::message::{find, find_be32, find_text, parse};

/// Parses the expressions of a rule. If one of its conditions is not known, no packet
/// is known to get the verdict.
pub(crate) fn parse_rule(expressions: &[u8]) -> (Vec<Condition>, Option<Verdict>) {
    let (mut conditions, mut verdict, mut loaded) = (Vec::new(), None, None);
    for (_, expression) in parse(expressions) {
        let expression = parse(expression);
        let name = find_text(&expression, 1).unwrap_or_default();
        let data = parse(find(&expression, 2).unwrap_or_default());
        match (name.as_str(), loaded.take()) {
            ("counter" | "log", previous) => loaded = previous,
            // NFTA_META_KEY
            ("meta", _) => match find_be32(&data, 2).map(|key| key as i32) {
                Some(libc::NFT_META_IIFNAME) => loaded = Some(Property::InLink),
                Some(libc::NFT_META_OIFNAME) => loaded = Some(Property::OutLink),
                Some(libc::NFT_META_L4PROTO) => loaded = Some(Property::Protocol),
                _ => conditions.push(Condition::Other),
            },
            ("payload", _) if is_port(&data, 2, 2) => loaded = Some(Property::Port),
            // nft(8) compares the source port and the destination port at once.
            ("payload", _) if is_port(&data, 0, 4) => {
                conditions.push(Condition::Other);
                loaded = Some(Property::Port);
            }
            ("cmp", Some(property)) => conditions.push(parse_cmp(property, &data)),
            ("lookup", property) => {
                conditions.push(property.map_or(Condition::Other, Condition::InSet));
                // NFTA_LOOKUP_DREG: NFT_REG_VERDICT
                if find_be32(&data, 3) == Some(libc::NFT_REG_VERDICT as u32) {
                    verdict = Some(Verdict::OfMap);
                }
            }
            ("range", Some(property)) => conditions.push(Condition::InSet(property)),
            ("ct", _) => conditions.push(Condition::Connection),
            // They belong to an earlier expression, whose condition is in the list
            // already.
            ("cmp" | "bitwise", None) if !conditions.is_empty() => {}
            // NFTA_MATCH_NAME, NFTA_MATCH_INFO
            ("match", _) => {
                let info = find(&data, 3).unwrap_or_default();
                let name = find_text(&data, 1).unwrap_or_default();
                conditions.extend(parse_match(&name, info));
            }
            ("reject", _) => verdict = Some(Verdict::Drop),
            // iptables-nft leaves the targets of xtables as they are: REJECT
            ("target", _) if find_text(&data, 1).as_deref() == Some("REJECT") => {
                verdict = Some(Verdict::Drop);
            }
            ("immediate", _) => match parse_immediate(&data) {
                Some(found) => verdict = Some(found),
                None => conditions.push(Condition::Other),
            },
            _ => conditions.push(Condition::Other),
        }
    }
    (conditions, verdict)
}

/// Parses a comparison: NFTA_CMP_OP, NFTA_CMP_DATA.
fn parse_cmp(property: Property, data: &[(u16, &[u8])]) -> Condition {
    let is_equal = match find_be32(data, 2).map(|operator| operator as i32) {
        Some(libc::NFT_CMP_EQ) => true,
        Some(libc::NFT_CMP_NEQ) => false,
        _ => return Condition::InSet(property),
    };
    let value = parse(find(data, 3).unwrap_or_default());
    let mut value = find(&value, 1).unwrap_or_default().to_vec();
    if property == Property::Port && value.len() == 4 {
        value.drain(..2); // the source port
        if !is_equal {
            return Condition::InSet(property);
        }
    }
    Condition::Value { property, is_equal, value }
}

/// Tells whether a payload expression loads these bytes of the header of TCP and UDP,
/// which begins with the two ports: NFTA_PAYLOAD_BASE, _OFFSET and _LEN.
fn is_port(data: &[(u16, &[u8])], offset: u32, length: u32) -> bool {
    let base = libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32;
    [2, 3, 4].map(|which| find_be32(data, which)) == [base, offset, length].map(Some)
}

/// Finds the comment that iptables(8) has put into the rule: a match of xtables.
pub(crate) fn find_comment(expressions: &[u8]) -> Option<String> {
    parse(expressions).into_iter().find_map(|(_, expression)| {
        let data = parse(find(&parse(expression), 2)?);
        (find_text(&data, 1)? == "comment").then(|| find_text(&data, 3)).flatten()
    })
}

/// Parses NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT: NFTA_VERDICT_CODE,
/// NFTA_VERDICT_CHAIN.
fn parse_immediate(data: &[(u16, &[u8])]) -> Option<Verdict> {
    let verdict = parse(find(&parse(find(data, 2)?), 2)?);
    let chain = || find_text(&verdict, 2);
    match find_be32(&verdict, 1)? as i32 {
        libc::NF_DROP => Some(Verdict::Drop),
        libc::NF_ACCEPT => Some(Verdict::Accept),
        libc::NFT_RETURN => Some(Verdict::Return),
        libc::NFT_JUMP => chain().map(Verdict::Jump),
        libc::NFT_GOTO => chain().map(Verdict::Goto),
        _ => None,
    }
}
