//! /etc/hosts: who is at which address. See hosts(5).

use std::fmt::Write;
use std::net::IpAddr;

/// What /etc/hosts says.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// The host's own lines, for a container that shares the host's network; else
    /// empty.
    pub of_host: String,
    /// The container's own addresses; empty where it has none but the loopback ones.
    pub addresses: Vec<IpAddr>,
    /// What else it is called: its aliases on the network.
    pub aliases: Vec<String>,
    /// `--add-host`.
    pub added: Vec<(String, IpAddr)>,
}

const LOOPBACK: &str =
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

impl Hosts {
    /// The host's own lines, for a container that shares its network.
    pub fn of_host() -> String {
        std::fs::read_to_string("/etc/hosts").unwrap_or_default()
    }

    /// The file.
    pub(crate) fn text(&self, hostname: &str) -> String {
        let mut text = match self.of_host.as_str() {
            "" => LOOPBACK.to_string(),
            lines => format!("{}\n", lines.trim_end()),
        };
        // What was added comes first: the first line that has a name is the one that
        // counts.
        for (name, address) in &self.added {
            let _ = writeln!(text, "{address}\t{name}");
        }
        let names =
            std::iter::once(hostname).chain(self.aliases.iter().map(String::as_str));
        let names = names.collect::<Vec<_>>().join(" ");
        // hosts(5): a name that no address has is looked up outside; this one is at
        // home.
        let own = if self.addresses.is_empty() {
            vec![[127, 0, 1, 1].into()]
        } else {
            self.addresses.clone()
        };
        for address in own {
            let _ = writeln!(text, "{address}\t{names}");
        }
        text
    }
}

/// A name of a host. It goes into files in which a space or a newline would make
/// something else of it.
///
/// # Errors
/// In words for the user, when it is none.
pub fn host_name(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.is_empty() || text.len() > 253 || !text.chars().all(is_name) {
        return Err(format!(
            "{text:?} is no name of a host: letters, digits, '.', '-', '_'"
        ));
    }
    Ok(text.into())
}

/// A domain that names are looked for in; `.` stands for none, as with Docker.
///
/// # Errors
/// In words for the user, when it is none.
pub fn search_domain(text: &str) -> Result<String, String> {
    host_name(text)
        .map_err(|_| format!("{text:?} is no domain: letters, digits, '.', '-', '_'"))
}

/// One `--add-host NAME:IP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddHost {
    name: String,
    /// None: `host-gateway`, the host as the container reaches it.
    address: Option<IpAddr>,
}

impl AddHost {
    /// Parses `NAME:IP` or `NAME:host-gateway`.
    ///
    /// # Errors
    /// In words for the user, when it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, address) =
            text.split_once(':').ok_or("it is NAME:IP, or NAME:host-gateway")?;
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

    /// The name and its address, with the host at `gateway`. None: it is
    /// `host-gateway`, and this container has none.
    pub fn at(&self, gateway: Option<IpAddr>) -> Option<(String, IpAddr)> {
        self.address.or(gateway).map(|address| (self.name.clone(), address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_name_is_at_its_own_addresses_and_what_was_added_comes_first() {
        let hosts = Hosts {
            addresses: vec!["10.9.8.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            aliases: vec!["www".into()],
            added: vec![("db".into(), "192.0.2.1".parse().unwrap())],
            ..Hosts::default()
        };
        let expected =
            format!("{LOOPBACK}192.0.2.1\tdb\n10.9.8.7\tweb www\nfd00::7\tweb www\n");
        assert_eq!(hosts.text("web"), expected);
    }

    #[test]
    fn without_an_address_it_finds_itself_all_the_same() {
        assert_eq!(Hosts::default().text("web"), format!("{LOOPBACK}127.0.1.1\tweb\n"));
        let shared = Hosts {
            of_host: "127.0.0.1 localhost\n192.0.2.9 printer".into(),
            ..Hosts::default()
        };
        assert_eq!(
            shared.text("web"),
            "127.0.0.1 localhost\n192.0.2.9 printer\n127.0.1.1\tweb\n"
        );
    }

    #[test]
    fn an_added_host_is_a_name_and_an_address_or_the_host() {
        let gateway = Some("10.0.0.1".parse().unwrap());
        let at = |text: &str| AddHost::parse(text).map(|host| host.at(gateway));
        let is = |name: &str, address: &str| {
            Ok(Some((name.to_string(), address.parse().unwrap())))
        };
        assert_eq!(at("db:192.0.2.1"), is("db", "192.0.2.1"));
        assert_eq!(at("db:fd00::1"), is("db", "fd00::1"));
        assert_eq!(at("db:[fd00::1]"), is("db", "fd00::1"));
        assert_eq!(
            at("host.docker.internal:host-gateway"),
            is("host.docker.internal", "10.0.0.1")
        );
        assert_eq!(AddHost::parse("x:host-gateway").unwrap().at(None), None);
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
