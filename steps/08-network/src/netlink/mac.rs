//! MAC addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::message::octets;

/// A MAC address, written `02:42:0a:4d:00:02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Makes a MAC address from the last four bytes of an IP address. The next
    /// container with the IP address has the same MAC address, so neighbour tables stay
    /// valid. The second bit of the first byte means "locally administered" (IEEE 802).
    pub(crate) fn of_ip(ip: IpAddr) -> Self {
        let mut mac = [0x02, 0x08, 0, 0, 0, 0];
        let octets = octets(ip);
        mac[2..].copy_from_slice(&octets[octets.len() - 4..]);
        Mac(mac)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<_> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let byte = |part: &str| {
            (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        let bytes = bytes.ok_or("write it as 02:42:0a:4d:00:02")?;
        match bytes[0] & 1 {
            0 if bytes != [0; 6] => Ok(Mac(bytes)),
            _ => Err("it is not the address of a single link: the lowest bit of its \
                      first byte must be 0"
                .into()),
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_six_bytes_and_belongs_to_one_link() {
        let mac: Mac = "02:42:0A:4d:00:02".parse().unwrap();
        assert_eq!(mac.to_string(), "02:42:0a:4d:00:02");
        for wrong in [
            "",
            "02:42:0a:4d:00",
            "01:42:0a:4d:00:02",
            "00:00:00:00:00:00",
            "2:42:0a:4d:00:02",
            "x",
        ] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}
