//! /etc/hosts: the addresses of host names. See hosts(5).

use std::fmt::Write;
use std::net::IpAddr;

/// The contents of /etc/hosts.
#[derive(Clone, Debug, Default)]
pub struct HostsFile {
    /// The host's own lines, for a container on the host's network; else empty.
    pub host_lines: String,
    /// The container's own addresses; empty if it has a loopback link only.
    pub addresses: Vec<IpAddr>,
    /// More names of the container: its aliases on the network.
    pub aliases: Vec<String>,
    /// `--add-host`.
    pub added_hosts: Vec<(String, IpAddr)>,
}

const LOOPBACK: &str =
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

impl HostsFile {
    /// Reads the host's own lines; empty if there is no such file.
    pub fn read_host_file() -> String {
        std::fs::read_to_string("/etc/hosts").unwrap_or_default()
    }

    /// The text of the file.
    pub(crate) fn text(&self, hostname: &str) -> String {
        let mut text = match self.host_lines.as_str() {
            "" => LOOPBACK.to_string(),
            lines => format!("{}\n", lines.trim_end()),
        };
        // Before the container's own lines, because the first line with a name counts.
        for (name, address) in &self.added_hosts {
            let _ = writeln!(text, "{address}\t{name}");
        }
        // A container without an address finds its own name at 127.0.1.1. Without that
        // line, its DNS server would be asked for the name.
        let addresses = match &self.addresses[..] {
            [] => &[IpAddr::from([127, 0, 1, 1])],
            addresses => addresses,
        };
        let names = [&[hostname.to_string()], &self.aliases[..]].concat().join(" ");
        for address in addresses {
            let _ = writeln!(text, "{address}\t{names}");
        }
        text
    }
}

/// Parses the name of a host or a domain. A space or a newline in it would add a name
/// or a line to a file.
///
/// # Errors
/// A message for the user, when it is no such name.
pub fn host_name(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.is_empty() || text.len() > 253 || !text.chars().all(is_name) {
        return Err(format!(
            "{text:?} is no host or domain name: letters, digits, '.', '-', '_'"
        ));
    }
    Ok(text.into())
}

/// The value of one `--add-host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddHost {
    name: String,
    /// None: `host-gateway`, the address at which the container reaches the host.
    address: Option<IpAddr>,
}

impl AddHost {
    /// Parses `NAME:IP` or `NAME=IP`; `host-gateway` may stand for the address.
    ///
    /// # Errors
    /// A message for the user, when it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, address) =
            text.split_once([':', '=']).ok_or("it is NAME:IP, or NAME:host-gateway")?;
        let name = host_name(name)?;
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let address = match bare {
            "host-gateway" => None,
            _ => Some(
                bare.parse().map_err(|_| format!("{address:?} is no IP address"))?,
            ),
        };
        Ok(AddHost { name, address })
    }

    /// Tells whether its address is that of the host.
    pub(crate) fn is_host_gateway(&self) -> bool {
        self.address.is_none()
    }

    /// The name and its address, if the host is at `gateway`. None: the address is
    /// `host-gateway`, and the container cannot reach the host.
    pub fn resolve(&self, gateway: Option<IpAddr>) -> Option<(String, IpAddr)> {
        self.address.or(gateway).map(|address| (self.name.clone(), address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_name_has_its_own_addresses_and_added_hosts_come_first() {
        let hosts = HostsFile {
            addresses: vec!["10.9.8.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            aliases: vec!["www".into()],
            added_hosts: vec![("db".into(), "192.0.2.1".parse().unwrap())],
            ..HostsFile::default()
        };
        let expected =
            format!("{LOOPBACK}192.0.2.1\tdb\n10.9.8.7\tweb www\nfd00::7\tweb www\n");
        assert_eq!(hosts.text("web"), expected);
    }

    #[test]
    fn a_container_without_an_address_finds_its_own_name() {
        assert_eq!(
            HostsFile::default().text("web"),
            format!("{LOOPBACK}127.0.1.1\tweb\n")
        );
        let shared = HostsFile {
            host_lines: "127.0.0.1 localhost\n192.0.2.9 printer".into(),
            ..HostsFile::default()
        };
        assert_eq!(
            shared.text("web"),
            "127.0.0.1 localhost\n192.0.2.9 printer\n127.0.1.1\tweb\n"
        );
    }

    #[test]
    fn an_added_host_has_the_given_address_or_the_hosts_own() {
        let gateway = Some("10.0.0.1".parse().unwrap());
        let resolved =
            |text: &str| AddHost::parse(text).map(|host| host.resolve(gateway));
        let expected = |name: &str, address: &str| {
            Ok(Some((name.to_string(), address.parse().unwrap())))
        };
        assert_eq!(resolved("db:192.0.2.1"), expected("db", "192.0.2.1"));
        assert_eq!(resolved("db:fd00::1"), expected("db", "fd00::1"));
        assert_eq!(resolved("db:[fd00::1]"), expected("db", "fd00::1"));
        assert_eq!(resolved("db=192.0.2.1"), expected("db", "192.0.2.1"));
        assert_eq!(resolved("db=fd00::1"), expected("db", "fd00::1"));
        assert_eq!(
            resolved("host.docker.internal:host-gateway"),
            expected("host.docker.internal", "10.0.0.1")
        );
        assert_eq!(AddHost::parse("x:host-gateway").unwrap().resolve(None), None);
        for bad in [
            "",
            "db",
            "db:",
            ":1.2.3.4",
            "a b:1.2.3.4",
            "a\n:1.2.3.4",
            "db:1.2.3",
            "db:gateway",
        ] {
            assert!(AddHost::parse(bad).is_err(), "{bad:?}");
        }
    }
}
