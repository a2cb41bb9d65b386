//! A profile: which system calls a process may make, and what happens on the others.

use std::path::PathBuf;

use kit::{Failure, Result};

use super::arch::Arch;

/// The OCI section `linux.seccomp`
/// ([config-linux.md](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp)),
/// checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The action for a call that no rule names.
    pub default_action: Action,
    /// The architectures whose calls are judged. A call of any other kills the thread.
    pub architectures: Vec<Arch>,
    /// The flags of seccomp(2).
    pub flags: Flags,
    /// The process that answers for calls with the action `Notify`.
    pub listener: Option<Listener>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// An action for some system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The names of the system calls.
    pub names: Vec<String>,
    /// The action if all conditions hold.
    pub action: Action,
    /// The conditions on the arguments.
    pub conditions: Vec<Condition>,
}

/// The kernel's reaction to a system call
/// ([seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html), "Filter return
/// values").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Kills the thread.
    KillThread,
    /// Kills the process.
    KillProcess,
    /// Sends the thread a SIGSYS.
    Trap,
    /// Returns this error, without making the call.
    Errno(u16),
    /// Asks the listener.
    Notify,
    /// Stops for a tracer, which is given this number. Without one, the call fails with
    /// ENOSYS.
    Trace(u16),
    /// Makes the call, and writes it to the log.
    Log,
    /// Makes the call.
    Allow,
}

/// A condition on an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// The index of the argument, from 0 to 5.
    pub argument: u8,
    /// The comparison that must hold.
    pub comparison: Comparison,
}

/// A comparison of an argument with a value, as unsigned numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Comparison {
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Equal(u64),
    GreaterOrEqual(u64),
    Greater(u64),
    /// `argument & mask == value & mask`
    MaskedEqual {
        mask: u64,
        value: u64,
    },
}

/// The flags of seccomp(2) that a profile can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub(super) u32);

impl Flags {
    /// All threads get the filter.
    pub const TSYNC: Flags = Flags(libc::SECCOMP_FILTER_FLAG_TSYNC as u32);
    /// Every action but `Allow` is logged.
    pub const LOG: Flags = Flags(libc::SECCOMP_FILTER_FLAG_LOG as u32);
    /// Speculative Store Bypass stays enabled.
    pub const SPEC_ALLOW: Flags = Flags(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32);
    /// Only a fatal signal ends the wait for the listener (Linux 5.19).
    pub const WAIT_KILLABLE_RECV: Flags =
        Flags(libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as u32);

    /// Returns the flag of this name in the OCI runtime specification:
    /// `SECCOMP_FILTER_FLAG_LOG`.
    ///
    /// # Errors
    /// If there is no such flag.
    pub fn from_oci(name: &str) -> Result<Flags> {
        match name.strip_prefix("SECCOMP_FILTER_FLAG_") {
            Some("TSYNC") => Ok(Flags::TSYNC),
            Some("LOG") => Ok(Flags::LOG),
            Some("SPEC_ALLOW") => Ok(Flags::SPEC_ALLOW),
            Some("WAIT_KILLABLE_RECV") => Ok(Flags::WAIT_KILLABLE_RECV),
            _ => Err(Failure::new(format_args!("seccomp: unknown flag {name:?}"))
                .hint("the flags are SECCOMP_FILTER_FLAG_TSYNC, LOG, SPEC_ALLOW and WAIT_KILLABLE_RECV")
                .into()),
        }
    }

    /// Adds the flags of another value.
    pub fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

/// The process that answers for calls with the action `Notify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its socket, on which it receives the descriptor of the filter.
    pub path: PathBuf,
    /// An opaque text that it receives, too.
    pub metadata: Option<String>,
}

impl Profile {
    /// Returns the profile, if its parts fit together.
    ///
    /// # Errors
    /// If an action `Notify` has no listener, or would stop the runtime itself: between
    /// the load of the filter and the exec it must write and execute.
    pub fn checked(self) -> Result<Profile> {
        let notify = |rule: &&Rule| rule.action == Action::Notify;
        let write = self
            .rules
            .iter()
            .filter(notify)
            .any(|rule| rule.names.iter().any(|name| name == "write"));
        if write || self.default_action == Action::Notify {
            return Err(Failure::new(
                "seccomp: SCMP_ACT_NOTIFY for write, or as the default action",
            )
            .hint("the runtime itself could not start the program; notify on the calls that need it")
            .into());
        }
        if self.listener.is_none() && self.notifies() {
            return Err(Failure::new("seccomp: SCMP_ACT_NOTIFY without a listener")
                .hint("\"listenerPath\" names the socket of the process that answers")
                .into());
        }
        Ok(self)
    }

    /// Returns whether a rule asks a listener.
    pub fn notifies(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Notify)
    }
}

impl Action {
    /// Returns the action of this name in the OCI runtime specification:
    /// `SCMP_ACT_ERRNO`. `number` is the `errnoRet` of the rule; EPERM by default.
    ///
    /// # Errors
    /// If there is no such action, if it takes no number, or if the number is too large.
    pub fn from_oci(name: &str, number: Option<u32>) -> Result<Action> {
        let with_number = || {
            let number = number.unwrap_or(libc::EPERM as u32);
            u16::try_from(number).map_err(|_| {
                Failure::new(format_args!("seccomp: errnoRet {number} of {name}"))
                    .hint("the kernel takes 16 bits: at most 65535")
            })
        };
        let action = match name {
            "SCMP_ACT_ERRNO" => return Ok(Action::Errno(with_number()?)),
            "SCMP_ACT_TRACE" => return Ok(Action::Trace(with_number()?)),
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
            "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
            "SCMP_ACT_TRAP" => Action::Trap,
            "SCMP_ACT_NOTIFY" => Action::Notify,
            "SCMP_ACT_LOG" => Action::Log,
            "SCMP_ACT_ALLOW" => Action::Allow,
            _ => {
                return Err(Failure::new(format_args!("seccomp: unknown action {name:?}"))
                    .hint("the actions of the OCI runtime specification are SCMP_ACT_ALLOW, ERRNO, KILL, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE and TRAP")
                    .into());
            }
        };
        match number {
            None => Ok(action),
            Some(number) => Err(Failure::new(format_args!(
                "seccomp: errnoRet {number} of the action {name}, which returns none"
            ))
            .hint("errnoRet belongs to SCMP_ACT_ERRNO and SCMP_ACT_TRACE")
            .into()),
        }
    }

    /// Returns the value that a filter returns for this action
    /// (`SECCOMP_RET_*` of `linux/seccomp.h`).
    pub fn to_return_value(self) -> u32 {
        match self {
            Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Action::Trap => libc::SECCOMP_RET_TRAP,
            Action::Errno(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
            Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Action::Trace(number) => libc::SECCOMP_RET_TRACE | u32::from(number),
            Action::Log => libc::SECCOMP_RET_LOG,
            Action::Allow => libc::SECCOMP_RET_ALLOW,
        }
    }

    /// Returns the action of a value that a filter returned. The kernel takes a value
    /// that it does not know for KILL_PROCESS.
    pub fn from_return_value(value: u32) -> Action {
        let number = (value & libc::SECCOMP_RET_DATA) as u16;
        match value & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_KILL_THREAD => Action::KillThread,
            libc::SECCOMP_RET_TRAP => Action::Trap,
            libc::SECCOMP_RET_ERRNO => Action::Errno(number),
            libc::SECCOMP_RET_USER_NOTIF => Action::Notify,
            libc::SECCOMP_RET_TRACE => Action::Trace(number),
            libc::SECCOMP_RET_LOG => Action::Log,
            libc::SECCOMP_RET_ALLOW => Action::Allow,
            _ => Action::KillProcess,
        }
    }
}

impl Condition {
    /// Makes the condition of an OCI `args` entry.
    ///
    /// # Errors
    /// If there is no such argument or operator.
    pub fn from_oci(
        index: u64,
        operator: &str,
        value: u64,
        value_two: u64,
    ) -> Result<Condition> {
        let comparison = match operator {
            "SCMP_CMP_NE" => Comparison::NotEqual(value),
            "SCMP_CMP_LT" => Comparison::Less(value),
            "SCMP_CMP_LE" => Comparison::LessOrEqual(value),
            "SCMP_CMP_EQ" => Comparison::Equal(value),
            "SCMP_CMP_GE" => Comparison::GreaterOrEqual(value),
            "SCMP_CMP_GT" => Comparison::Greater(value),
            "SCMP_CMP_MASKED_EQ" => {
                Comparison::MaskedEqual { mask: value, value: value_two }
            }
            _ => {
                return Err(Failure::new(format_args!(
                    "seccomp: unknown operator {operator:?}"
                ))
                .hint("the operators of the OCI runtime specification are SCMP_CMP_EQ, GE, GT, LE, LT, MASKED_EQ and NE")
                .into());
            }
        };
        match u8::try_from(index) {
            Ok(argument @ 0..6) => Ok(Condition { argument, comparison }),
            _ => Err(Failure::new(format_args!(
                "seccomp: a condition on argument {index}"
            ))
            .hint("a system call has six arguments, 0 to 5")
            .into()),
        }
    }
}
