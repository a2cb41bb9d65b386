//! Step 1: the UTS namespace, a host name of the container's own. See
//! uts_namespaces(7).

use std::str::FromStr;

use anyhow::Result;
use kit::{Hint, Id};
use nix::errno::Errno;
use nix::sched::CloneFlags;

/// The namespace of this step: clone(2), CLONE_NEWUTS.
pub const NAMESPACE: CloneFlags = CloneFlags::CLONE_NEWUTS;

/// What the container is called.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "uts_options")]
pub struct Args {
    /// The container's host name; by default its id
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    hostname: Option<HostName>,

    /// The container's NIS domain name
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    domainname: Option<HostName>,
}

impl Args {
    /// The host name that was asked for, or else the id.
    pub fn hostname(&self, id: &Id) -> String {
        self.hostname.as_ref().map_or_else(|| id.to_string(), |name| name.0.clone())
    }
}

// ANCHOR: set_names
/// Names the UTS namespace that we are in.
///
/// # Errors
/// What the kernel says of sethostname(2) and setdomainname(2).
// Task 1.3: in the child, so that it is the new namespace that gets the name.
pub fn set_names(hostname: &str, args: &Args) -> Result<()> {
    kit::call("what it is called", "sethostname", hostname, || {
        nix::unistd::sethostname(hostname)
    })
    .hint_on(
        Errno::EPERM,
        "changing a host name needs root in the namespace that owns it",
    )?;
    if let Some(HostName(domain)) = &args.domainname {
        kit::call("its NIS domain", "setdomainname", domain, || {
            rustix::system::setdomainname(domain.as_bytes())
        })?;
    }
    Ok(())
}
// ANCHOR_END: set_names

/// A host name as hostname(7) has it: labels of letters, digits and hyphens, joined by
/// dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// The kernel's limit: sethostname(2), HOST_NAME_MAX.
const LONGEST: usize = 64;
/// The longest part between dots: hostname(7).
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
            Some("") => Err(
                "a host name has no empty part: it neither begins nor ends with a dot"
                    .into(),
            ),
            Some(label) => Err(format!(
                "{label:?} is no part of a host name: 1 to {LONGEST_LABEL} letters, \
                 digits and hyphens, not beginning or ending with a hyphen"
            )),
        }
    }
}
// ANCHOR_END: host_name

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_those_of_hostname_7() {
        let longest = format!("{}.{}", "a".repeat(63), "");
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
            &longest,
            &"a".repeat(65),
        ] {
            assert!(name.parse::<HostName>().is_err(), "{name}");
        }
    }
}
