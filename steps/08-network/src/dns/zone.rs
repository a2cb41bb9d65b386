//! The names and addresses of a network, as its lease file lists them.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::etc::NameServer;

/// The fields of a lease that the responder needs.
#[derive(Clone, Debug, Deserialize)]
struct ZoneLease {
    #[serde(default)]
    id: String,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    /// `--dns`.
    #[serde(default)]
    dns: Vec<NameServer>,
}

#[derive(Deserialize)]
struct ZoneFile {
    leases: Vec<ZoneLease>,
}

/// The names and addresses of a network.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    /// By name in lower case: DNS names are case-insensitive (RFC 4343).
    addresses: HashMap<String, Vec<IpAddr>>,
    hostnames: HashMap<IpAddr, String>,
    dns_servers: HashMap<IpAddr, Vec<NameServer>>,
}

impl Zone {
    /// Parses a lease file. None: the text is no lease file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ZoneFile { leases } = serde_json::from_str(text).ok()?;
        let mut zone = Zone::default();
        leases.into_iter().for_each(|lease| zone.add(lease));
        Some(zone)
    }

    fn add(&mut self, lease: ZoneLease) {
        let own_names = [&lease.hostname, &lease.id];
        for name in
            own_names.into_iter().chain(&lease.aliases).filter(|name| !name.is_empty())
        {
            let addresses =
                self.addresses.entry(name.to_ascii_lowercase()).or_default();
            for address in &lease.addresses {
                if !addresses.contains(address) {
                    addresses.push(*address);
                }
            }
        }
        let hostname = own_names.into_iter().find(|name| !name.is_empty());
        for address in lease.addresses {
            hostname.and_then(|name| self.hostnames.insert(address, name.clone()));
            self.dns_servers.insert(address, lease.dns.clone());
        }
    }

    /// The addresses of a name in lower case. None: no container has this name.
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.addresses.get(name).map(Vec::as_slice)
    }

    /// The host name of the container at an address.
    pub(crate) fn hostname(&self, address: IpAddr) -> Option<&str> {
        self.hostnames.get(&address).map(String::as_str)
    }

    /// Tells whether an address is leased to a container. The responder ignores others:
    /// a container must not get more connections by giving itself more addresses.
    pub(crate) fn is_leased(&self, address: IpAddr) -> bool {
        self.dns_servers.contains_key(&address)
    }

    /// The `--dns` servers of the container at an address; empty: those of the host.
    pub(crate) fn dns_servers(&self, address: IpAddr) -> &[NameServer] {
        self.dns_servers.get(&address).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_found_by_each_of_its_names_and_several_can_share_an_alias() {
        let zone = Zone::parse(
            r#"{"version": 1, "leases": [
            {"id": "0123456789ab", "hostname": "Web", "aliases": ["www", "all"], "pid": 7,
             "addresses": ["10.0.0.2", "fd00::2"], "dns": ["192.0.2.1"]},
            {"id": "ba9876543210", "hostname": "db", "aliases": ["all"], "addresses": ["10.0.0.3"]}]}"#,
        )
        .unwrap();
        let two = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let three = "10.0.0.3".parse().unwrap();
        for name in ["web", "0123456789ab", "www"] {
            assert_eq!(zone.addresses(name), Some(&two[..]), "{name}");
        }
        assert_eq!(zone.addresses("all"), Some(&[two[0], two[1], three][..]));
        assert_eq!(zone.addresses("nobody"), None);
        assert_eq!(
            (zone.hostname(two[1]), zone.hostname(three)),
            (Some("Web"), Some("db"))
        );
        assert_eq!(
            zone.dns_servers(two[0]),
            ["192.0.2.1".parse::<NameServer>().unwrap()]
        );
        assert!(zone.dns_servers(three).is_empty());
    }

    #[test]
    fn a_text_that_is_no_lease_file_is_not_parsed() {
        for text in
            ["", "{", "[]", r#"{"leases": 7}"#, r#"{"leases": [{"addresses": ["x"]}]}"#]
        {
            assert!(Zone::parse(text).is_none(), "{text}");
        }
    }
}
