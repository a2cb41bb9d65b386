//! Container ids, random bytes, and the host's name.

use std::str::FromStr;
use std::{fmt, io};

use anyhow::{Context, Result};
use rustix::rand::{GetRandomFlags, getrandom};

/// A container id: 12 random lower-case hex digits, or the name that the caller of an
/// OCI runtime has chosen.
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

    /// Parses a random id; None if the text is not one.
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

/// Parses the id that the caller of an OCI runtime has chosen. It becomes the name of
/// a directory, so it is neither `..` nor a path.
impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        match text.bytes().all(is_allowed) && !text.starts_with('.') {
            true if !text.is_empty() && text.len() <= LONGEST => Ok(Id(text.into())),
            _ => Err(format!(
                "{text:?} is no container id: 1 to {LONGEST} letters, digits and `_+-.`, \
                 not beginning with a dot"
            )),
        }
    }
}

/// The longest name of a file, in bytes: path_resolution(7), NAME_MAX.
const LONGEST: usize = 255;

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

    #[test]
    fn an_id_that_a_caller_has_chosen_is_one_safe_file_name() {
        let longest = "a".repeat(LONGEST);
        for id in ["a", "web-1.2_3+4", "-x", "+", "0", &longest] {
            assert_eq!(id.parse::<Id>().unwrap().as_str(), id);
        }
        for bad in ["", ".", "..", ".a", "a/b", "/", "a b", "ä", "a\n", "a\0"] {
            assert!(bad.parse::<Id>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(LONGEST + 1).parse::<Id>().is_err());
    }
}
