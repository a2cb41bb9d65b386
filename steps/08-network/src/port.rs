//! Published ports: `-p [[IP:]HOSTPORT[-END]:]PORT[-END][/tcp|udp]`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::str::FromStr;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// tcp(7)
    Tcp,
    /// udp(7)
    Udp,
}

/// A published port: packets to the host's port go to the container's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The host's address; None: all of its addresses.
    pub ip: Option<IpAddr>,
    /// The host's port; 0: a free one, which is yet to be chosen.
    pub host: u16,
    /// The container's port.
    pub inside: u16,
    /// The protocol of both.
    pub protocol: Protocol,
}

/// The value of one `-p`: a port, or several if it is a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish(Vec<Port>);

impl Publish {
    /// Its ports, in order.
    pub fn ports(&self) -> impl Iterator<Item = Port> {
        self.0.iter().copied()
    }
}

impl Protocol {
    /// Its number: IPPROTO_TCP, IPPROTO_UDP.
    pub(crate) fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }

    /// Makes a socket of this protocol, for an address of the same IP version.
    pub(crate) fn socket(
        self,
        address: SocketAddr,
        flags: SocketFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let family =
            if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let kind = match self {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        socket_with(family, kind, flags, None)
    }
}

impl Port {
    /// Tells whether the host itself reaches the port at 127.0.0.1.
    pub(crate) fn is_on_loopback(self) -> bool {
        self.ip
            .is_none_or(|ip| ip.is_ipv4() && (ip.is_loopback() || ip.is_unspecified()))
    }
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((rest, "tcp")) => (rest, Protocol::Tcp),
            Some((rest, "udp")) => (rest, Protocol::Udp),
            Some((_, other)) => {
                return Err(format!("{other:?} is neither tcp nor udp"));
            }
        };
        let (rest, inside) = rest.rsplit_once(':').unwrap_or(("", rest));
        let (ip, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((ip, host)) => (address(ip)?, host),
        };
        let inside = range(inside)?;
        if host.is_empty() {
            let ports = inside.map(|inside| Port { ip, host: 0, inside, protocol });
            return Ok(Publish(ports.collect()));
        }
        let host = range(host)?;
        if host.len() != inside.len() {
            return Err(format!(
                "{} ports of the host for {} of the container",
                host.len(),
                inside.len()
            ));
        }
        let pairs = host.zip(inside);
        Ok(Publish(
            pairs.map(|(host, inside)| Port { ip, host, inside, protocol }).collect(),
        ))
    }
}

/// Parses an address. None: `0.0.0.0` or `::`, which stand for all addresses.
fn address(text: &str) -> Result<Option<IpAddr>, String> {
    let bare =
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip: IpAddr =
        bare.parse().map_err(|_| format!("{text:?} is not an IP address"))?;
    match ip {
        IpAddr::V6(ip) if ip.is_loopback() => {
            Err("the kernel forwards nothing from ::1: publish at 127.0.0.1".into())
        }
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Err(format!("{ip} is a link-local address: publish at another"))
        }
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            Err(format!("{ip} is an IPv4 address: write it as one"))
        }
        ip if ip.is_multicast() => Err(format!("{ip} is a multicast address")),
        ip => Ok((!ip.is_unspecified()).then_some(ip)),
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first)?, number(last)?) {
        (first, last) if first <= last => Ok(first..=last),
        _ => Err(format!("{text}: the last port is below the first")),
    }
}

fn number(text: &str) -> Result<u16, String> {
    let number =
        text.parse().ok().filter(|number| *number != 0 && !text.starts_with('+'));
    number.ok_or_else(|| format!("{text:?} is not a port: 1 to 65535"))
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            None => {}
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
        }
        write!(f, "{}:{}/{}", self.host, self.inside, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let ports: Vec<_> =
            text.parse::<Publish>()?.ports().map(|port| port.to_string()).collect();
        Ok(ports.join(" "))
    }

    #[test]
    fn a_port_or_a_range_of_them_is_published() {
        for (text, expected) in [
            ("8080:80", "8080:80/tcp"),
            ("53:53/udp", "53:53/udp"),
            ("127.0.0.1:8080:80/tcp", "127.0.0.1:8080:80/tcp"),
            ("0.0.0.0:8080:80", "8080:80/tcp"),
            ("[2001:db8::1]:8080:80", "[2001:db8::1]:8080:80/tcp"),
            ("8000-8002:80-82", "8000:80/tcp 8001:81/tcp 8002:82/tcp"),
            ("80", "0:80/tcp"),
            ("53/udp", "0:53/udp"),
            ("80-81", "0:80/tcp 0:81/tcp"),
            ("127.0.0.1::80", "127.0.0.1:0:80/tcp"),
            ("[2001:db8::1]::80", "[2001:db8::1]:0:80/tcp"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_malformed_port_is_refused() {
        for (wrong, why) in [
            ("0:80", "not a port"),
            ("80:65536", "not a port"),
            ("+80:80", "not a port"),
            ("host:80:80", "not an IP address"),
            ("8000-8002:80", "3 ports of the host for 1"),
            ("9-8:9-8", "below the first"),
            ("80:80/sctp", "neither tcp nor udp"),
            ("[::1]:80:80", "::1"),
            ("[fe80::1]:80:80", "link-local"),
            ("[::ffff:192.0.2.1]:80:80", "is an IPv4 address"),
            ("", "not a port"),
            ("8080:", "not a port"),
        ] {
            let message = shown(wrong).unwrap_err();
            assert!(message.contains(why), "{wrong}: {message}");
        }
    }
}
