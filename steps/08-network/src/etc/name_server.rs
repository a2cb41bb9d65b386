//! The address of a DNS server: `nameserver` in resolv.conf(5).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use serde::{Deserialize, Serialize};

/// The address of a DNS server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NameServer {
    /// The address.
    pub ip: IpAddr,
    /// The link on which a link-local address is reached, as its name or number:
    /// `fe80::1%eth0` (RFC 4007, 11).
    link: Option<String>,
}

impl NameServer {
    /// Tells whether the address is reached through one link of the host only, so that
    /// a container with another network cannot reach it.
    pub(crate) fn is_link_local(&self) -> bool {
        let is_local = |ip: Ipv6Addr| ip.is_unicast_link_local();
        self.link.is_some() || matches!(self.ip, IpAddr::V6(ip) if is_local(ip))
    }

    /// The address with a port, and with the number that its link has at present.
    pub(crate) fn socket_address(&self, port: u16) -> io::Result<SocketAddr> {
        let (IpAddr::V6(ip), Some(link)) = (self.ip, &self.link) else {
            return Ok((self.ip, port).into());
        };
        let number = match link.parse() {
            Ok(number) => number,
            Err(_) => link_index(link)?,
        };
        Ok(SocketAddrV6::new(ip, port, 0, number).into())
    }
}

/// netdevice(7), SIOCGIFINDEX.
fn link_index(link: &str) -> io::Result<u32> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    Ok(netdevice::name_to_index(&socket, link)?)
}

impl From<IpAddr> for NameServer {
    fn from(ip: IpAddr) -> Self {
        NameServer { ip, link: None }
    }
}

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ip, link) = match text.split_once('%') {
            Some((ip, link)) => (ip, Some(link)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| format!("{ip:?} is no IP address"))?;
        // A space or a newline in it would add a word or a line to a file.
        let is_name = |link: &str| {
            let is_plain = |byte: u8| byte.is_ascii_graphic();
            ip.is_ipv6()
                && (1..libc::IFNAMSIZ).contains(&link.len())
                && link.bytes().all(is_plain)
        };
        match link {
            Some(link) if !is_name(link) => Err(format!("{link:?} is no link")),
            link => Ok(NameServer { ip, link: link.map(String::from) }),
        }
    }
}

impl TryFrom<String> for NameServer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NameServer> for String {
    fn from(server: NameServer) -> Self {
        server.to_string()
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            Some(link) => write!(f, "{}%{link}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NameServer, String> {
        text.parse()
    }

    #[test]
    fn a_link_local_address_has_the_number_of_its_link() {
        for link in ["lo", "1"] {
            let server = parse(&format!("fe80::53%{link}")).unwrap();
            assert!(server.is_link_local());
            let expected = SocketAddrV6::new("fe80::53".parse().unwrap(), 53, 0, 1);
            assert_eq!(server.socket_address(53).unwrap(), expected.into());
            assert_eq!(server.to_string(), format!("fe80::53%{link}"));
        }
        assert!(parse("fe80::53%none-such").unwrap().socket_address(53).is_err());
    }

    #[test]
    fn a_link_is_optional_and_a_malformed_one_is_refused() {
        let server = parse("192.0.2.1").unwrap();
        assert_eq!(server.socket_address(53).unwrap().to_string(), "192.0.2.1:53");
        assert!(!server.is_link_local());
        for wrong in ["", "x", "192.0.2.1%lo", "fe80::1%", "fe80::1%a b", "fe80::1%l\n"]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
