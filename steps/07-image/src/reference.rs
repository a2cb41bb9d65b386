//! Names of images: `NAME[:TAG]`, spelled as Docker spells them.

use std::fmt;
use std::str::FromStr;

use kit::{Failure, FailureKind};

use crate::digest::Digest;

/// The name and tag of an image: `alpine:3.20`, `localhost:5000/team/web:1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    name: String,
    tag: String,
}

impl Reference {
    /// Returns the part before the tag.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name with its registry, as containerd has it:
    /// `docker.io/library/alpine:3`.
    pub(crate) fn with_registry(&self) -> String {
        match self.name.contains('/') {
            _ if self.has_registry() => self.to_string(),
            true => format!("docker.io/{self}"),
            false => format!("docker.io/library/{self}"),
        }
    }

    /// Returns the name that Podman gives an image that was made on this machine:
    /// `localhost/web:1`. None for a name that has its registry.
    pub(crate) fn on_localhost(&self) -> Option<Self> {
        let name = format!("localhost/{}", self.name);
        (!self.has_registry()).then(|| Reference { name, tag: self.tag.clone() })
    }

    fn has_registry(&self) -> bool {
        let is_host = |part: &str| {
            part == "localhost"
                || part.contains(['.', ':'])
                || part.contains(|letter: char| letter.is_ascii_uppercase())
        };
        self.name.split_once('/').is_some_and(|(host, _)| is_host(host))
    }

    /// Returns the part behind the last colon; `latest` where there is none.
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
        // Docker's alpine is Podman's docker.io/library/alpine.
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        if looks_like_id(name) {
            return Err(format!("{text:?}: a name must not look like an image id"));
        }
        let host = name.split_once('/').map(|(host, _)| host);
        let is_valid = |(at, part): (usize, &str)| match host {
            // A host's name has no case.
            Some(_) if at == 0 => is_component(&part.to_ascii_lowercase()),
            _ => is_component(part),
        };
        if !name.split('/').enumerate().all(is_valid) || name.len() > 255 {
            return Err(format!(
                "{text:?}: a name has only a-z 0-9 . _ - in its parts between slashes"
            ));
        }
        if !is_tag(tag) {
            return Err(format!(
                "{text:?}: a tag has at most 128 of A-Z a-z 0-9 . _ -, and does not begin with . or -"
            ));
        }
        Ok(Reference { name: name.into(), tag: tag.into() })
    }
}

/// The name of the digest algorithm, which stands before an id: `sha256:0123…`.
const ALGORITHM: &str = "sha256";

/// Tells whether this is an image id without its algorithm: 64 digits. Docker refuses a
/// name of this form, too.
fn is_whole_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

/// Tells whether this name, without its tag, could be taken for an image id.
pub(crate) fn looks_like_id(name: &str) -> bool {
    is_whole_id(name) || name == ALGORITHM
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Tells whether this may stand between two slashes: as a component of the distribution
/// specification ("Pulling manifests"), or as a host with its port.
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
    let has_valid_bytes =
        part.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'_' | b'-'));
    has_valid_bytes
        && part.bytes().next().is_some_and(is_word)
        && part.bytes().last().is_some_and(is_word)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let has_valid_bytes =
        tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    has_valid_bytes && tag.bytes().next().is_some_and(is_word) && tag.len() <= 128
}

/// An image as a command line names it: by name and tag, by name and digest, by id, or
/// by the first digits of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageName {
    /// By name and tag.
    Reference(Reference),
    /// By its id, or the first digits of it: `sha256:0123`, or all 64 digits. No name
    /// looks like this.
    Id(String),
    /// By name and the digest of its manifest: `alpine@sha256:…`.
    WithDigest(Reference, Digest),
    /// By the first digits of its id. They may be a name as well, as in `cafe`.
    Digits(String),
}

impl ImageName {
    /// Returns the name and tag that this is or may be.
    pub(crate) fn reference(&self) -> Option<Reference> {
        match self {
            ImageName::Reference(reference) => Some(reference.clone()),
            ImageName::Id(_) | ImageName::WithDigest(..) => None,
            ImageName::Digits(digits) => digits.parse().ok(),
        }
    }

    /// Returns the first digits of the id that this is or may be.
    pub(crate) fn digits(&self) -> Option<&str> {
        match self {
            ImageName::Reference(_) | ImageName::WithDigest(..) => None,
            ImageName::Id(digits) | ImageName::Digits(digits) => Some(digits),
        }
    }
}

/// Makes the error for digits with which several ids of this kind begin.
pub(crate) fn ambiguous_id(kind: &str, digits: &str) -> Failure {
    Failure::new(format_args!(
        "{kind} {digits}: several {kind} ids begin with these digits"
    ))
    .with_kind(FailureKind::Usage)
    .hint("give more of its digits")
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(hex) = text.strip_prefix("sha256:") {
            let padded = format!("sha256:{hex:0<64}");
            return match padded.parse::<Digest>() {
                Ok(_) if !hex.is_empty() => Ok(ImageName::Id(hex.into())),
                _ => Err(format!("{text:?} is no image id")),
            };
        }
        if is_whole_id(text) {
            return Ok(ImageName::Id(text.into()));
        }
        if let Some((name, digest)) = text.split_once('@') {
            let digest = digest.parse::<Digest>();
            let digest = digest.map_err(|_| {
                format!("{text:?}: a digest is sha256: and 64 hexadecimal digits")
            })?;
            // As in Docker, the tag of `alpine:3@sha256:…` does not count.
            return Ok(ImageName::WithDigest(name.parse()?, digest));
        }
        let reference = text.parse::<Reference>()?;
        Ok(if text.len() >= 4 && is_hex(text) {
            ImageName::Digits(text.into())
        } else {
            ImageName::Reference(reference)
        })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageName::Reference(reference) => reference.fmt(f),
            ImageName::WithDigest(reference, digest) => {
                write!(f, "{}@{digest}", reference.name())
            }
            ImageName::Id(digits) | ImageName::Digits(digits) => f.write_str(digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_gets_the_tag_latest() {
        for (text, shown) in [
            ("alpine", "alpine:latest"),
            ("docker.io/library/alpine:3.20", "alpine:3.20"),
            ("localhost:5000/team/web", "localhost:5000/team/web:latest"),
            ("localhost/x:1.0-rc.1", "localhost/x:1.0-rc.1"),
            ("Registry.Example.COM/x:1", "Registry.Example.COM/x:1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_name_with_its_registry_is_parsed_as_the_same_name() {
        for (text, whole) in [
            ("foo:1", "docker.io/library/foo:1"),
            ("docker.io/library/foo:1", "docker.io/library/foo:1"),
            ("team/foo:1", "docker.io/team/foo:1"),
            ("localhost/foo:1", "localhost/foo:1"),
            ("example.com/foo:1", "example.com/foo:1"),
            ("host:5000/foo:1", "host:5000/foo:1"),
        ] {
            let name = text.parse::<Reference>().unwrap();
            assert_eq!(name.with_registry(), whole);
            assert_eq!(name.with_registry().parse(), Ok(name));
        }
    }

    #[test]
    fn a_path_or_an_option_is_no_name() {
        for bad in [
            "",
            ":x",
            "a:",
            "../x",
            "a/../b",
            "/a",
            "a//b",
            "Alpine",
            "-x",
            "a:.x",
            "a b",
            "a\n",
            "a/B",
            "example.com/Team/x",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_name_looks_like_an_id() {
        let digits = "0f".repeat(32);
        for id in [digits.clone(), format!("sha256:{digits}"), "sha256".into()] {
            for registry in ["", "docker.io/", "library/", "docker.io/library/"] {
                let name = format!("{registry}{id}");
                let error = name.parse::<Reference>().unwrap_err();
                assert!(error.contains("look like an image id"), "{name}: {error}");
            }
        }
        format!("{}:1", &digits[1..]).parse::<Reference>().unwrap();
        format!("localhost/{digits}").parse::<Reference>().unwrap();
    }

    #[test]
    fn hex_digits_may_be_an_id() {
        let name = |text: &str| text.parse::<ImageName>();
        let beef = name("beef").unwrap();
        assert_eq!(beef, ImageName::Digits("beef".into()));
        assert_eq!(beef.reference(), Some("beef:latest".parse().unwrap()));
        for id in ["sha256:0f", &"0f".repeat(32)] {
            let digits = id.trim_start_matches("sha256:").to_string();
            assert_eq!(name(id).unwrap(), ImageName::Id(digits));
            assert_eq!(name(id).unwrap().reference(), None);
        }
        assert!(name("sha256:../x").is_err());
        let digest = format!("sha256:{}", "0f".repeat(32));
        for text in ["host/x", "host/x:1"].map(|name| format!("{name}@{digest}")) {
            let shown = name(&text).unwrap().to_string();
            assert_eq!(shown, format!("host/x@{digest}"));
        }
        assert!(name("x@sha256:0f").is_err() && name("x@").is_err());
        assert!(matches!(name("alpine").unwrap(), ImageName::Reference(_)));
    }
}
