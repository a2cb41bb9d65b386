//! An address with the prefix length of its subnet: `10.77.0.1/24`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address with the prefix length of its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Subnet {
    ip: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// Makes a subnet. None: the address has fewer bits than the prefix.
    pub(crate) fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        (u32::from(prefix) <= bits(ip)).then_some(Subnet { ip, prefix })
    }

    /// Makes an IPv4 subnet, of a prefix length that is known to be valid.
    pub(crate) const fn v4(ip: std::net::Ipv4Addr, prefix: u8) -> Self {
        assert!(prefix <= 32);
        Subnet { ip: IpAddr::V4(ip), prefix }
    }

    /// Makes an IPv6 subnet, of a prefix length that is known to be valid.
    pub(crate) const fn v6(ip: std::net::Ipv6Addr, prefix: u8) -> Self {
        assert!(prefix <= 128);
        Subnet { ip: IpAddr::V6(ip), prefix }
    }

    /// Makes the subnet of a single address.
    pub(crate) fn single(ip: IpAddr) -> Self {
        Subnet { ip, prefix: bits(ip) as u8 }
    }

    /// The address.
    pub(crate) fn ip(self) -> IpAddr {
        self.ip
    }

    /// The prefix length: how many leading bits all addresses of the subnet share.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// The address number `n` of the subnet; 0 names the subnet itself. None: the
    /// subnet has fewer addresses.
    pub(crate) fn nth(self, n: u128) -> Option<IpAddr> {
        (n <= self.host_mask()).then(|| ip_from_number(self.ip, self.base() + n))
    }

    /// The last address, which in IPv4 is the broadcast address.
    pub(crate) fn last(self) -> IpAddr {
        ip_from_number(self.ip, self.base() | self.host_mask())
    }

    /// The netmask: `255.255.255.0`.
    pub(crate) fn mask(self) -> IpAddr {
        let all = if self.ip.is_ipv4() { u32::MAX.into() } else { u128::MAX };
        ip_from_number(self.ip, all & !self.host_mask())
    }

    /// The same subnet with another address in it.
    pub(crate) fn at(self, ip: IpAddr) -> Self {
        Subnet { ip, ..self }
    }

    /// The subnet with its first address: `10.77.0.0/24`.
    pub(crate) fn network(self) -> Self {
        self.at(ip_from_number(self.ip, self.base()))
    }

    /// Tells whether it contains an address.
    pub(crate) fn contains(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.ip.is_ipv4()
            && number(ip) & !self.host_mask() == self.base()
    }

    /// Tells whether some address is in both subnets.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.contains(other.network().ip) || other.contains(self.network().ip)
    }

    fn base(self) -> u128 {
        number(self.ip) & !self.host_mask()
    }

    fn host_mask(self) -> u128 {
        match bits(self.ip) - u32::from(self.prefix) {
            128 => u128::MAX,
            host => (1 << host) - 1,
        }
    }
}

fn bits(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

fn ip_from_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4((number as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ip, prefix) = text.split_once('/').ok_or("write it as 10.77.0.0/24")?;
        let ip = ip.parse().map_err(|_| format!("{ip} is not an IP address"))?;
        let prefix =
            prefix.parse().map_err(|_| format!("/{prefix} is not a prefix length"))?;
        Subnet::new(ip, prefix)
            .ok_or_else(|| format!("{ip} has only {} bits", bits(ip)))
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn the_prefix_decides_the_first_and_the_last_address() {
        for (text, network, second, last) in [
            ("10.77.0.9/24", "10.77.0.0/24", "10.77.0.2", "10.77.0.255"),
            ("192.168.4.5/22", "192.168.4.0/22", "192.168.4.2", "192.168.7.255"),
            ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.2", "255.255.255.255"),
            ("fd00::9/64", "fd00::/64", "fd00::2", "fd00::ffff:ffff:ffff:ffff"),
        ] {
            let subnet = subnet(text);
            assert_eq!(subnet.network().to_string(), network);
            assert_eq!(subnet.nth(2).unwrap().to_string(), second);
            assert_eq!(subnet.last().to_string(), last);
        }
        assert_eq!(subnet("10.0.0.0/30").nth(4), None);
    }

    #[test]
    fn two_subnets_overlap_when_one_contains_the_other() {
        for (one, other, expected) in [
            ("10.77.0.0/24", "10.0.0.0/8", true),
            ("10.77.0.0/24", "10.77.0.128/25", true),
            ("10.77.0.0/24", "10.77.1.0/24", false),
            ("10.77.0.0/24", "fd00::/8", false),
            ("10.77.0.0/24", "0.0.0.0/0", true),
        ] {
            assert_eq!(subnet(one).overlaps(subnet(other)), expected, "{one} {other}");
            assert_eq!(subnet(other).overlaps(subnet(one)), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_malformed_subnet_is_refused() {
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/x", "fd00::/129"]
        {
            assert!(wrong.parse::<Subnet>().is_err(), "{wrong}");
        }
    }
}
