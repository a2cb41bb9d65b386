//! Container ids, random bytes, and the host's name.

use std::{fmt, io};

use anyhow::{Context, Result};
use rustix::rand::{GetRandomFlags, getrandom};

/// A container id: 12 random lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// Makes a new id from random bytes of the kernel.
    ///
    /// # Errors
    /// When getrandom(2) fails, which it does only on a kernel without it.
    pub fn random() -> Result<Self> {
        let bytes = random::<6>().context("getrandom(6 bytes)")?;
        Ok(Id(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Parses an id; None if the text is not an id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 12
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then(|| Id(text.into()))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns random bytes: up to 256, which getrandom(2) gives in one piece.
///
/// # Errors
/// When getrandom(2) fails, which it does only on a kernel without it.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}

/// Returns the host name of this process's UTS namespace.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twelve_lower_case_hex_digits_and_no_two_are_the_same() {
        let (one, two) = (Id::random().unwrap(), Id::random().unwrap());
        assert_eq!(Id::parse(one.as_str()), Some(one.clone()));
        assert!(
            ["", "documents", "0123456789a", "0123456789AB", "0123456789abc"]
                .iter()
                .all(|text| Id::parse(text).is_none())
        );
        assert_ne!(one, two);
    }
}
