//! Who is called what on a network: its lease file, as far as names go.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Deserialize;

/// What the lease file says of a container.
#[derive(Clone, Debug, Deserialize)]
struct Lease {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    /// Whom it asks for names outside; the host's resolvers if empty.
    #[serde(default)]
    dns: Vec<IpAddr>,
}

#[derive(Deserialize)]
struct Leases {
    leases: Vec<Lease>,
}

/// The names and addresses of a network.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By name in lower case: names are the same in either (RFC 4343).
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, String>,
    asked: HashMap<IpAddr, Vec<IpAddr>>,
}

impl Names {
    /// Reads a lease file; None: it is none (yet).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Leases { leases } = serde_json::from_str(text).ok()?;
        let mut names = Names::default();
        leases.into_iter().for_each(|lease| names.add(lease));
        Some(names)
    }

    fn add(&mut self, lease: Lease) {
        let own = [&lease.name, &lease.hostname, &lease.id];
        for name in
            own.into_iter().chain(&lease.aliases).filter(|name| !name.is_empty())
        {
            let of_name = self.addresses.entry(name.to_ascii_lowercase()).or_default();
            for address in &lease.addresses {
                if !of_name.contains(address) {
                    of_name.push(*address);
                }
            }
        }
        let first = own.into_iter().find(|name| !name.is_empty());
        for address in lease.addresses {
            first.and_then(|name| self.names.insert(address, name.clone()));
            self.asked.insert(address, lease.dns.clone());
        }
    }

    /// The addresses of a name, given in lower case. None: there is no such name here.
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.addresses.get(name).map(Vec::as_slice)
    }

    /// What an address is called.
    pub(crate) fn name(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }

    /// Whether a container has this address. Nobody else is answered: who takes more
    /// addresses than it was given has no more questions for it.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.asked.contains_key(&address)
    }

    /// Whom the container at this address wants to ask; nobody in particular if empty.
    pub(crate) fn asked_by(&self, address: IpAddr) -> &[IpAddr] {
        self.asked.get(&address).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_found_by_each_of_its_names_and_several_share_an_alias() {
        let names = Names::parse(
            r#"{"version": 1, "leases": [
            {"id": "0123456789ab", "hostname": "Web", "aliases": ["www", "all"], "pid": 7,
             "addresses": ["10.0.0.2", "fd00::2"], "dns": ["192.0.2.1"]},
            {"id": "ba9876543210", "hostname": "db", "aliases": ["all"], "addresses": ["10.0.0.3"]}]}"#,
        )
        .unwrap();
        let two = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let three = "10.0.0.3".parse().unwrap();
        for name in ["web", "0123456789ab", "www"] {
            assert_eq!(names.addresses(name), Some(&two[..]), "{name}");
        }
        assert_eq!(names.addresses("all"), Some(&[two[0], two[1], three][..]));
        assert_eq!(names.addresses("nobody"), None);
        assert_eq!((names.name(two[1]), names.name(three)), (Some("Web"), Some("db")));
        assert_eq!(names.asked_by(two[0]), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert!(names.asked_by(three).is_empty());
    }

    #[test]
    fn what_is_no_lease_file_is_not_believed() {
        for text in
            ["", "{", "[]", r#"{"leases": 7}"#, r#"{"leases": [{"addresses": ["x"]}]}"#]
        {
            assert!(Names::parse(text).is_none(), "{text}");
        }
    }
}
