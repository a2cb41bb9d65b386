//! What people call an image: `NAME[:TAG]`, as Docker spells it.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The name and tag of an image: `alpine:3.20`, `localhost:5000/team/web:1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    name: String,
    tag: String,
}

impl Reference {
    /// The part before the tag.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part behind the last colon; `latest` where there was none.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A colon before a slash belongs to a port.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        // What Docker calls alpine, Podman calls docker.io/library/alpine.
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        if !name.split('/').all(is_component) || name.len() > 255 {
            return Err(format!(
                "{text:?}: a name is of a-z 0-9 . _ - in parts between slashes"
            ));
        }
        if !is_tag(tag) {
            return Err(format!(
                "{text:?}: a tag is of A-Z a-z 0-9 . _ -, at most 128, and begins with no . or -"
            ));
        }
        Ok(Reference { name: name.into(), tag: tag.into() })
    }
}

/// The distribution specification, "Pulling manifests", with a host and its port for
/// the first.
fn is_component(part: &str) -> bool {
    let part = match part.split_once(':') {
        Some((host, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            host
        }
        _ => part,
    };
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner =
        part.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'_' | b'-'));
    inner
        && part.bytes().next().is_some_and(is_word)
        && part.bytes().last().is_some_and(is_word)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let inner = tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    inner && tag.bytes().next().is_some_and(is_word) && tag.len() <= 128
}

/// An image as it is named on a command line: by name and tag, or by its id or the
/// beginning of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By name and tag.
    By(Reference),
    /// By the first digits of its id, or by what else they may be.
    Digits(String),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(hex) = text.strip_prefix("sha256:") {
            let padded = format!("sha256:{hex:0<64}");
            return match padded.parse::<Digest>() {
                Ok(_) if !hex.is_empty() => Ok(Named::Digits(hex.into())),
                _ => Err(format!("{text:?} is no image id")),
            };
        }
        let reference = text.parse::<Reference>()?;
        let is_hex = text.len() >= 4
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Ok(if is_hex { Named::Digits(text.into()) } else { Named::By(reference) })
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Named::By(reference) => reference.fmt(f),
            Named::Digits(digits) => f.write_str(digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        for (text, shown) in [
            ("alpine", "alpine:latest"),
            ("docker.io/library/alpine:3.20", "alpine:3.20"),
            ("localhost:5000/team/web", "localhost:5000/team/web:latest"),
            ("localhost/x:1.0-rc.1", "localhost/x:1.0-rc.1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_could_be_a_path_or_an_option_is_no_name() {
        for bad in [
            "", ":x", "a:", "../x", "a/../b", "/a", "a//b", "Alpine", "-x", "a:.x",
            "a b", "a\n",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digits_may_be_an_id() {
        assert_eq!("beef".parse::<Named>().unwrap(), Named::Digits("beef".into()));
        assert_eq!("sha256:0f".parse::<Named>().unwrap(), Named::Digits("0f".into()));
        assert!("sha256:../x".parse::<Named>().is_err());
        assert!(matches!("alpine".parse::<Named>().unwrap(), Named::By(_)));
    }
}
