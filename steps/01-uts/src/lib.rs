//! Step 1: the UTS namespace, a host name of the container's own. See
//! uts_namespaces(7).

mod args;

use std::ops::Deref;
use std::str::FromStr;

use anyhow::Result;
use kit::{Hint, Id};
use nix::errno::Errno;
use nix::sched::CloneFlags;

pub use args::Args;

/// The namespace of this step: clone(2), CLONE_NEWUTS.
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWUTS;

/// The names in a UTS namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The host name.
    pub hostname: HostName,
    /// The NIS domain name. If unset, that of the parent's namespace is inherited.
    pub domainname: Option<HostName>,
}

// ANCHOR: set_names
/// Sets the names of the UTS namespace that this process is in.
///
/// # Errors
/// The kernel's reason of sethostname(2) or setdomainname(2).
// Task 1.3: in the child, so that the new namespace gets the names.
pub fn set_names(names: &Names) -> Result<()> {
    let hostname = names.hostname.as_str();
    kit::call("what it is called", "sethostname", hostname, || {
        nix::unistd::sethostname(hostname)
    })
    .hint_on(
        Errno::EPERM,
        "changing a host name needs root in the namespace that owns it",
    )?;
    names.domainname.as_ref().map_or(Ok(()), set_domainname)
}

/// Sets the NIS domain name of the UTS namespace that this process is in.
///
/// # Errors
/// The kernel's reason of setdomainname(2).
pub fn set_domainname(domain: &HostName) -> Result<()> {
    kit::call("its NIS domain", "setdomainname", domain.as_str(), || {
        rustix::system::setdomainname(domain.as_bytes())
    })
}
// ANCHOR_END: set_names

/// A host name by the rules of hostname(7): labels of letters, digits and hyphens,
/// joined by dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// The longest name that the kernel accepts, in bytes: sethostname(2), HOST_NAME_MAX.
const LONGEST: usize = 64;
/// The longest label, the part between two dots: hostname(7).
const LONGEST_LABEL: usize = 63;

// ANCHOR: host_name
impl FromStr for HostName {
    type Err = String;

    // Task 1.1: refuse a bad name before anything is made.
    fn from_str(name: &str) -> Result<Self, String> {
        if name.len() > LONGEST {
            return Err(format!(
                "a host name has at most {LONGEST} bytes, this one has {}",
                name.len()
            ));
        }
        match name.split('.').find(|label| !is_label(label)) {
            None => Ok(HostName(name.into())),
            Some(label) => Err(explain_label(label)),
        }
    }
}
// ANCHOR_END: host_name

impl HostName {
    /// Makes a name of a configuration file: any that the kernel accepts. Engines pass
    /// on names with underscores, for example.
    ///
    /// # Errors
    /// When it is empty, longer than 64 bytes, or has a NUL.
    pub fn of_config(name: &str) -> Result<Self, String> {
        match (1..=LONGEST).contains(&name.len()) && !name.contains('\0') {
            true => Ok(HostName(name.into())),
            false => Err(format!("{name:?}: a host name has 1 to {LONGEST} bytes")),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes a host name of a container's id, whose hexadecimal digits are one label.
impl From<&Id> for HostName {
    fn from(id: &Id) -> Self {
        HostName(id.to_string())
    }
}

impl Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Explains why a text is no label.
fn explain_label(label: &str) -> String {
    match label {
        "" => "a host name has no empty part: it neither begins nor ends with a dot"
            .into(),
        _ => format!(
            "{label:?} is no part of a host name: 1 to {LONGEST_LABEL} letters, \
             digits and hyphens, not beginning or ending with a hyphen"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_follows_the_rules_of_hostname_7() {
        let ends_with_dot = format!("{}.{}", "a".repeat(63), "");
        for name in ["web", "a", "web-1.example.org", "0", &"a".repeat(63)] {
            assert!(name.parse::<HostName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "-web",
            "web-",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "ä",
            &ends_with_dot,
            &"a".repeat(65),
        ] {
            assert!(name.parse::<HostName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_containers_id_is_a_host_name() {
        let id = Id::random().unwrap();
        assert_eq!(id.as_str().parse(), Ok(HostName::from(&id)));
    }
}
