//! The list of calls that a test writes down: see [`is_true`](super::is_true).

use std::collections::BTreeMap;

/// A part of the written list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Once(String),
    Repeated(Vec<String>),
}

/// Reads the list of each process.
pub fn read(list: &str) -> BTreeMap<String, Vec<Part>> {
    let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let Some(who) = words.next() else { continue };
        let list = parts.entry(who.into()).or_default();
        while let Some(word) = words.next() {
            let Some(first) = word.strip_prefix('(') else {
                list.push(Part::Once(word.into()));
                continue;
            };
            let mut group = vec![first];
            while !group[group.len() - 1].ends_with(")+") {
                group.push(words.next().expect("a group of calls ends in )+"));
            }
            let names = group.iter().map(|word| word.trim_end_matches(")+").into());
            list.push(Part::Repeated(names.collect()));
        }
    }
    parts
}

/// Returns whether these calls are the ones in the list.
pub fn matches(list: &[Part], mut calls: &[String]) -> bool {
    for part in list {
        let (group, again) = match part {
            Part::Once(name) => (std::slice::from_ref(name), false),
            Part::Repeated(group) => (group.as_slice(), true),
        };
        let Some(rest) = calls.strip_prefix(group) else { return false };
        calls = rest;
        while let (true, Some(rest)) = (again, calls.strip_prefix(group)) {
            calls = rest;
        }
    }
    calls.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_with_a_plus_comes_at_least_once() {
        let list = &read("child a (b c)+ d")["child"];
        let matches = |text: &str| {
            matches(list, &text.split(' ').map(String::from).collect::<Vec<_>>())
        };
        assert!(matches("a b c d") && matches("a b c b c d"));
        assert!(
            !matches("a d")
                && !matches("a b d")
                && !matches("a b c")
                && !matches("a b c d d")
        );
    }
}
