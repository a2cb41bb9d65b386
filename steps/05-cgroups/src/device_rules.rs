//! Rules for the devices that the processes of a container may open and make.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A list of rules. For each kind of access, the last rule that matches decides.
/// Without a rule that matches, the access is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules(pub Vec<DeviceRule>);

/// A rule that allows or denies access to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Allowed or denied.
    pub verdict: DeviceVerdict,
    /// The kind of devices, or `None` for both.
    pub kind: Option<DeviceKind>,
    /// The number of the driver, or `None` for all.
    pub major: Option<u32>,
    /// The number within the driver, or `None` for all.
    pub minor: Option<u32>,
    /// The kinds of access.
    pub access: DeviceAccess,
}

/// The verdict of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceVerdict {
    /// The access is allowed.
    Allow,
    /// The access fails with EPERM.
    Deny,
}

/// A kind of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// A set of kinds of access: read, write, and make by mknod(2). The numbers are those
/// of `BPF_DEVCG_ACC_*` (linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAccess(u8);

impl DeviceAccess {
    /// All kinds.
    pub const ALL: Self = DeviceAccess(7);
    /// mknod(2) alone.
    pub const MKNOD: Self = DeviceAccess(1);

    /// Returns the bits of BPF_DEVCG_ACC_*.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn union(self, other: Self) -> Self {
        DeviceAccess(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        DeviceAccess(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for DeviceAccess {
    type Err = String;

    /// Reads letters of `rwm`. An empty text means all, as in runc.
    fn from_str(text: &str) -> Result<Self, String> {
        let bit = |letter| match letter {
            'm' => Ok(1),
            'r' => Ok(2),
            'w' => Ok(4),
            _ => Err(format!("{text:?}: access to a device is some of rwm")),
        };
        let bits = text.chars().map(bit).sum_bits()?;
        Ok(if bits == 0 { Self::ALL } else { DeviceAccess(bits) })
    }
}

/// Unites bits, up to the first error.
trait SumBits {
    fn sum_bits(self) -> Result<u8, String>;
}

impl<I: Iterator<Item = Result<u8, String>>> SumBits for I {
    fn sum_bits(mut self) -> Result<u8, String> {
        self.try_fold(0, |bits, bit| Ok(bits | bit?))
    }
}

impl Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(2, 'r'), (4, 'w'), (1, 'm')];
        letters
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

impl Display for DeviceRule {
    /// Writes `c 1:3 rwm`, as devices.allow and devices.deny of version 1 take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Some(DeviceKind::Block) => 'b',
            Some(DeviceKind::Char) => 'c',
            None => 'a',
        };
        let number =
            |number: Option<u32>| number.map_or("*".into(), |it| it.to_string());
        let (major, minor) = (number(self.major), number(self.minor));
        write!(f, "{kind} {major}:{minor} {}", self.access)
    }
}

impl DeviceRules {
    /// Returns the rules that every container needs, after those that were asked for:
    /// any device may be made (a mount with `nodev` or the rules keep it from being
    /// opened), and the default devices ([config-linux.md, "Default
    /// devices"](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#default-devices))
    /// and terminals may be used.
    pub fn defaults() -> impl Iterator<Item = DeviceRule> {
        let made = [DeviceKind::Char, DeviceKind::Block].map(|kind| DeviceRule {
            kind: Some(kind),
            major: None,
            minor: None,
            ..DeviceRule::allow_char(0, None, DeviceAccess::MKNOD)
        });
        // null, zero, full, random, urandom, tty, console, ptmx, and all of devpts.
        let numbers = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
        let devices = numbers.map(|(major, minor)| (major, Some(minor)));
        let used = devices.into_iter().chain([(136, None)]).map(|(major, minor)| {
            DeviceRule::allow_char(major, minor, DeviceAccess::ALL)
        });
        made.into_iter().chain(used)
    }
}

impl DeviceRule {
    fn allow_char(major: u32, minor: Option<u32>, access: DeviceAccess) -> Self {
        let kind = Some(DeviceKind::Char);
        DeviceRule {
            verdict: DeviceVerdict::Allow,
            kind,
            major: Some(major),
            minor,
            access,
        }
    }
}
