//! The default profile, as data: the system calls in groups, and why each group is
//! allowed or refused.
//!
//! It decides every call as the profile of Debian's package
//! golang-github-containers-common does, with which Podman and Buildah run. A test
//! compares the two.

use crate::capability_set::Capability;

use super::arch::Arch;
use super::host::Host;
use super::profile::{Action, Comparison, Condition, Flags, Profile, Rule};

mod groups;

pub use groups::GROUPS;

/// System calls that are allowed or refused for one reason.
#[derive(Debug)]
pub struct Group {
    /// The reason.
    pub why: &'static str,
    /// The containers that may make these calls.
    pub allowed: Allowed,
    /// The names, with spaces between them.
    pub names: &'static str,
}

/// The containers that may make a system call. The others get EPERM.
#[derive(Clone, Copy, Debug)]
pub enum Allowed {
    /// Every container.
    Always,
    /// No container.
    Never,
    /// A container with this capability.
    With(Capability),
    /// Every container on one of these machines. On others, the calls have no rule.
    On(&'static [Arch]),
}

/// The action for all other calls. A program that is told ENOSYS takes the kernel for an
/// older one and falls back to older calls.
const DEFAULT: Action = Action::Errno(libc::ENOSYS as u16);
const EPERM: Action = Action::Errno(libc::EPERM as u16);

// ANCHOR: default-profile
/// Returns the default profile for a container on this host.
pub fn default_profile(host: &Host) -> Profile {
    let mut rules: Vec<Rule> =
        GROUPS.iter().filter_map(|group| group.rule(host)).collect();
    rules.extend(personalities());
    rules.extend(sockets(host));
    let subs = host.arch.sub_architectures();
    Profile {
        default_action: DEFAULT,
        architectures: [&[host.arch], subs].concat(),
        flags: Flags::default(),
        listener: None,
        rules,
    }
}
// ANCHOR_END: default-profile

impl Group {
    fn rule(&self, host: &Host) -> Option<Rule> {
        let action = match self.allowed {
            Allowed::Always => Action::Allow,
            Allowed::Never => EPERM,
            Allowed::With(capability) if host.capabilities.contains(capability) => {
                Action::Allow
            }
            Allowed::With(_) => EPERM,
            Allowed::On(archs) if archs.contains(&host.arch) => Action::Allow,
            Allowed::On(_) => return None,
        };
        Some(rule(self.names, action, Vec::new()))
    }
}

/// personality(2) can also turn off protections such as the random layout of memory. Only
/// harmless values are allowed.
fn personalities() -> impl Iterator<Item = Rule> {
    const PER_LINUX: u64 = 0;
    const PER_LINUX32: u64 = 0x8;
    const UNAME26: u64 = 0x2_0000;
    const GET: u64 = 0xffff_ffff;
    let values = [PER_LINUX, PER_LINUX32, UNAME26, UNAME26 | PER_LINUX32, GET];
    values.into_iter().map(|value| {
        rule("personality", Action::Allow, vec![condition(0, Comparison::Equal(value))])
    })
}

/// An audit socket of the kernel is refused without CAP_AUDIT_WRITE, with EINVAL: programs
/// then take the kernel for one without audit, and go on.
fn sockets(host: &Host) -> Vec<Rule> {
    const AF_NETLINK: u64 = 16;
    const NETLINK_AUDIT: u64 = 9;
    if host.capabilities.contains(Capability::AUDIT_WRITE) {
        return vec![rule("socket", Action::Allow, Vec::new())];
    }
    let audit = vec![
        condition(0, Comparison::Equal(AF_NETLINK)),
        condition(2, Comparison::Equal(NETLINK_AUDIT)),
    ];
    let other_family = condition(0, Comparison::NotEqual(AF_NETLINK));
    let other_protocol = condition(2, Comparison::NotEqual(NETLINK_AUDIT));
    vec![
        rule("socket", Action::Errno(libc::EINVAL as u16), audit),
        rule("socket", Action::Allow, vec![other_protocol]),
        rule("socket", Action::Allow, vec![other_family]),
    ]
}

fn rule(names: &str, action: Action, conditions: Vec<Condition>) -> Rule {
    let names = names.split_ascii_whitespace().map(String::from).collect();
    Rule { names, action, conditions }
}

fn condition(argument: u8, comparison: Comparison) -> Condition {
    Condition { argument, comparison }
}
