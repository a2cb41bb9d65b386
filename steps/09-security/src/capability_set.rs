//! Capabilities by name and by number, and sets of them: capabilities(7).

use std::fmt::{self, Display};
use std::ops::BitOr;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::thread::{self, CapabilitySet as RawSet};

/// The names without `CAP_`, in the order of their numbers (linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A capability, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(u8);

/// A set of capabilities: bit N stands for the capability N, as in /proc/PID/status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl Capability {
    pub(crate) const DAC_READ_SEARCH: Capability = Capability(2);
    pub(crate) const SYS_MODULE: Capability = Capability(16);
    pub(crate) const SYS_RAWIO: Capability = Capability(17);
    pub(crate) const SYS_CHROOT: Capability = Capability(18);
    pub(crate) const SYS_PTRACE: Capability = Capability(19);
    pub(crate) const SYS_PACCT: Capability = Capability(20);
    /// Decides over namespaces, mounts and seccomp filters.
    pub const SYS_ADMIN: Capability = Capability(21);
    pub(crate) const SYS_TIME: Capability = Capability(25);
    pub(crate) const SYS_TTY_CONFIG: Capability = Capability(26);
    pub(crate) const AUDIT_WRITE: Capability = Capability(29);

    /// Returns the name as capabilities(7) spells it: `CAP_CHOWN`.
    pub fn name(self) -> String {
        match NAMES.get(usize::from(self.0)) {
            Some(name) => format!("CAP_{name}"),
            None => format!("CAP_{}", self.0),
        }
    }

    pub(crate) fn raw(self) -> RawSet {
        RawSet::from_bits_retain(1 << self.0)
    }
}

/// Reads a name with or without `CAP_`, in upper or lower case.
impl FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let known = NAMES.iter().position(|known| *known == name);
        known.map(|number| Capability(number as u8)).ok_or_else(|| unknown(text, name))
    }
}

/// Says that there is no such capability, and which one is probably meant.
fn unknown(text: &str, name: &str) -> String {
    let similar = NAMES.iter().min_by_key(|known| distance(known, name));
    let similar = similar.filter(|known| {
        distance(known, name) <= 2 || (name.len() > 2 && known.contains(name))
    });
    match similar {
        Some(known) => {
            format!("{text:?} is no capability: did you mean {known}?")
        }
        None => format!(
            "{text:?} is no capability; there are ALL, {}: capabilities(7)",
            NAMES.join(", ")
        ),
    }
}

/// The number of characters to change, add or remove to make one text of the other
/// (Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Returns every capability that this kernel has, and whether it is in the bounding set
/// of the calling thread. prctl(2), PR_CAPBSET_READ: EINVAL for a number after the last.
fn read_bounding_set() -> impl Iterator<Item = (Capability, bool)> {
    (0..64).map(Capability).map_while(|it| match thread::capability_is_in_bounding_set(
        it.raw(),
    ) {
        Err(Errno::INVAL) => None,
        is_in => Some((it, is_in.unwrap_or(false))),
    })
}

impl CapabilitySet {
    /// The set without any capability.
    pub const EMPTY: CapabilitySet = CapabilitySet(0);

    /// Every capability that has a name.
    pub const ALL: CapabilitySet = CapabilitySet((1 << NAMES.len()) - 1);

    /// Returns every capability that this kernel has, also those without a name here.
    pub fn of_kernel() -> Self {
        read_bounding_set().map(|(capability, _)| capability).collect()
    }

    /// Returns the bounding set of the calling thread.
    pub(crate) fn of_bounding_set() -> Self {
        read_bounding_set().filter(|(_, is_in)| *is_in).map(|(it, _)| it).collect()
    }

    /// Returns the set of these bits, as /proc/PID/status shows it.
    pub const fn from_bits(bits: u64) -> Self {
        CapabilitySet(bits)
    }

    /// Returns whether the set has this capability.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.0) != 0
    }

    /// Returns whether the set has no capability.
    pub fn is_empty(self) -> bool {
        self == CapabilitySet::EMPTY
    }

    /// Returns the capabilities that are in both sets.
    #[must_use]
    pub fn intersection(self, other: CapabilitySet) -> Self {
        CapabilitySet(self.0 & other.0)
    }

    /// Returns the capabilities of this set that are not in the other one.
    #[must_use]
    pub fn difference(self, other: CapabilitySet) -> Self {
        CapabilitySet(self.0 & !other.0)
    }

    /// Returns the capabilities of the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..64).map(Capability).filter(move |it| self.contains(*it))
    }

    pub(crate) fn raw(self) -> RawSet {
        RawSet::from_bits_retain(self.0)
    }

    pub(crate) fn from_raw(set: RawSet) -> Self {
        CapabilitySet(set.bits())
    }
}

/// The capabilities that are in one of the sets.
impl BitOr for CapabilitySet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        CapabilitySet(self.0 | other.0)
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        CapabilitySet(capabilities.into_iter().fold(0, |bits, it| bits | 1 << it.0))
    }
}

/// Shows the names without `CAP_`: `CHOWN|KILL`. For a large set, shows those that it
/// lacks: `all but SYS_ADMIN`.
impl Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |set: CapabilitySet| {
            let names: Vec<_> = set.iter().map(Capability::name).collect();
            names.join("|").replace("CAP_", "")
        };
        let lacking = CapabilitySet::ALL.difference(*self);
        match (self.is_empty(), lacking.iter().count()) {
            (true, _) => f.write_str("none"),
            (_, 0) => f.write_str("all"),
            (_, 1..=8) => write!(f, "all but {}", names(lacking)),
            _ => f.write_str(&names(*self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(text: &str) -> Capability {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_read_with_and_without_its_prefix_in_any_case() {
        for text in ["SYS_ADMIN", "CAP_SYS_ADMIN", "sys_admin", "Cap_Sys_Admin"] {
            assert_eq!(capability(text), Capability::SYS_ADMIN, "{text}");
        }
        assert_eq!(capability("chown"), Capability(0));
        assert_eq!(capability("checkpoint_restore"), Capability(40));
        assert_eq!(capability("bpf").name(), "CAP_BPF");
        assert_eq!(Capability(63).name(), "CAP_63");
    }

    #[test]
    fn the_error_for_an_unknown_name_proposes_the_one_that_is_meant() {
        let error = |text: &str| text.parse::<Capability>().unwrap_err();
        assert!(error("NET_ADMN").contains("did you mean NET_ADMIN?"));
        assert!(error("cap_sysadmin").contains("did you mean SYS_ADMIN?"));
        assert!(error("PTRACE").contains("did you mean SYS_PTRACE?"));
        for text in ["", "CAP_", "flying", "-1"] {
            assert!(error(text).contains("CHOWN, DAC_OVERRIDE"), "{}", error(text));
        }
    }

    #[test]
    fn a_set_has_the_bits_that_proc_shows() {
        let set: CapabilitySet =
            ["CHOWN", "KILL"].map(capability).into_iter().collect();
        assert_eq!(set, CapabilitySet::from_bits(0x21));
        assert_eq!(CapabilitySet::ALL, CapabilitySet::from_bits(0x1ff_ffff_ffff));
        assert_eq!((set | CapabilitySet::from_bits(2)).iter().count(), 3);
        assert_eq!(set.difference(set), CapabilitySet::EMPTY);
        assert_eq!(CapabilitySet::ALL.intersection(set), set);
    }

    #[test]
    fn the_kernel_has_the_capabilities_that_proc_names() {
        let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
        let last: u8 = last.trim().parse().unwrap();
        assert_eq!(CapabilitySet::of_kernel(), (0..=last).map(Capability).collect());
    }

    #[test]
    fn a_set_is_shown_by_the_shorter_list() {
        let set =
            |text: &str| -> CapabilitySet { text.split(' ').map(capability).collect() };
        assert_eq!(set("kill chown").to_string(), "CHOWN|KILL");
        assert_eq!(CapabilitySet::EMPTY.to_string(), "none");
        assert_eq!(CapabilitySet::ALL.to_string(), "all");
        let most = CapabilitySet::ALL.difference(set("sys_resource"));
        assert_eq!(most.to_string(), "all but SYS_RESOURCE");
    }
}
