//! The five capability sets of a process: capabilities(7), "Thread capability sets".

use std::ops::BitOr;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use rustix::thread::{self, CapabilitySets as RawSets};

use crate::capability_set::{Capability, CapabilitySet};

/// The capabilities that a process gets. A value may name capabilities that this kernel
/// or the caller does not have: [`Capabilities::granted`] leaves them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The limit: no exec gives the process a capability that is not in it.
    pub bounding: CapabilitySet,
    /// The capabilities that the kernel checks.
    pub effective: CapabilitySet,
    /// The capabilities that the process may make effective.
    pub permitted: CapabilitySet,
    /// The capabilities that an exec may pass on to a program with file capabilities. Empty unless
    /// config.json asks for some (CVE-2022-24769).
    pub inheritable: CapabilitySet,
    /// The capabilities that an exec of any program passes on.
    pub ambient: CapabilitySet,
}

/// Docker's default: enough for most servers that start as root, and nothing that
/// reaches the host.
///
/// <https://github.com/moby/moby/blob/master/daemon/pkg/oci/caps/defaults.go>
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Returns the capabilities of [`DEFAULT_CAPABILITIES`], as a set.
pub fn default_capabilities() -> CapabilitySet {
    let parsed = DEFAULT_CAPABILITIES.iter().filter_map(|name| name.parse().ok());
    parsed.collect()
}

impl Capabilities {
    /// Returns the sets of a process that runs as root and may use `set`. Nothing is
    /// inheritable.
    pub fn of_root(set: CapabilitySet) -> Self {
        Capabilities {
            bounding: set,
            effective: set,
            permitted: set,
            ..Capabilities::default()
        }
    }

    /// Returns the sets that the command has as this user. A user other than root has
    /// no capabilities: execve(2) would clear them, as for every program that is not
    /// set-user-ID. Only the bounding set stays.
    #[must_use]
    pub fn for_user(self, uid: u32) -> Self {
        match uid {
            0 => self,
            _ => Capabilities { bounding: self.bounding, ..Capabilities::default() },
        }
    }

    /// Returns these sets without what the calling process cannot give: capabilities
    /// that it lacks itself, and combinations that the kernel refuses. The second value
    /// is what is left out.
    ///
    /// # Errors
    /// The kernel's, from capget(2).
    pub fn granted(self) -> Result<(Self, CapabilitySet)> {
        let own =
            kit::call("the capabilities to give", "capget", "this process", || {
                thread::capabilities(None).map(Sets)
            })?;
        Ok(self.limited_to(CapabilitySet::from_raw(own.0.permitted)))
    }

    fn limited_to(self, own: CapabilitySet) -> (Self, CapabilitySet) {
        let permitted = self.permitted.intersection(own);
        let bounding = self.bounding.intersection(CapabilitySet::of_kernel());
        let inheritable = self.inheritable.intersection(bounding).intersection(own);
        let granted = Capabilities {
            bounding,
            permitted,
            effective: self.effective.intersection(permitted),
            inheritable,
            ambient: self.ambient.intersection(permitted).intersection(inheritable),
        };
        let lost = [
            self.bounding.difference(bounding),
            self.permitted.difference(permitted),
            self.effective.difference(granted.effective),
            self.inheritable.difference(inheritable),
            self.ambient.difference(granted.ambient),
        ];
        (granted, lost.into_iter().fold(CapabilitySet::EMPTY, BitOr::bitor))
    }

    // ANCHOR: drop_bounding_set
    /// In the child, while it still has all its rights: takes out of the bounding set
    /// what the command must never have, not even by a set-user-ID program.
    ///
    /// # Errors
    /// EPERM without CAP_SETPCAP.
    pub fn drop_bounding_set(&self) -> Result<()> {
        let dropped = CapabilitySet::of_bounding_set().difference(self.bounding);
        if dropped.is_empty() {
            return Ok(());
        }
        let operands = format_args!("PR_CAPBSET_DROP, {dropped}");
        kit::call("no program gets these back", "prctl", operands, || {
            let drop =
                |it: Capability| thread::remove_capability_from_bounding_set(it.raw());
            dropped.iter().try_for_each(drop)
        })
        .hint_on(
            Errno::EPERM,
            "the caller needs CAP_SETPCAP; use root, without a sandbox",
        )
    }
    // ANCHOR_END: drop_bounding_set

    /// Sets the effective, permitted, inheritable and ambient sets of this process.
    /// Permitted capabilities that are missing here cannot come back.
    ///
    /// # Errors
    /// EPERM when a set has what this process may not have.
    pub fn set(&self, why: &str) -> Result<()> {
        let operands = self.show_sets();
        let sets = RawSets {
            effective: self.effective.raw(),
            permitted: self.permitted.raw(),
            inheritable: self.inheritable.raw(),
        };
        kit::call(why, "capset", operands, || thread::set_capabilities(None, sets))?;
        self.ambient.iter().try_for_each(raise_ambient)
    }
}

impl Capabilities {
    /// Shows the sets of capset(2), for people.
    fn show_sets(&self) -> String {
        let mut text = match self.effective == self.permitted {
            true => format!("effective and permitted {}", self.effective),
            false => {
                let more = self.permitted.difference(self.effective);
                format!("effective {}, permitted also {more}", self.effective)
            }
        };
        if !self.inheritable.is_empty() {
            text += &format!(", inheritable {}", self.inheritable);
        }
        text
    }
}

/// A capability must be permitted and inheritable to be ambient: prctl(2),
/// PR_CAP_AMBIENT.
fn raise_ambient(capability: Capability) -> Result<()> {
    let operands = format_args!("PR_CAP_AMBIENT_RAISE, {}", capability.name());
    kit::call("every program of the command has it", "prctl", operands, || {
        thread::configure_capability_in_ambient_set(capability.raw(), true)
    })
}

/// Keeps the permitted set over the next change from root to another user. The exec
/// ends this: prctl(2), PR_SET_KEEPCAPS.
///
/// # Errors
/// The kernel's, from prctl(2).
pub fn keep_capabilities() -> Result<()> {
    kit::call("they stay when the user changes", "prctl", "PR_SET_KEEPCAPS, 1", || {
        thread::set_keep_capabilities(true)
    })
}

struct Sets(RawSets);

impl kit::Outcome for Sets {
    fn show(&self) -> Option<String> {
        Some(format!("permitted {}", CapabilitySet::from_raw(self.0.permitted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &str) -> CapabilitySet {
        names.split_whitespace().map(|it| it.parse::<Capability>().unwrap()).collect()
    }

    #[test]
    fn a_user_other_than_root_has_only_the_bounding_set() {
        let root = Capabilities::of_root(set("kill chown"));
        assert_eq!(root.for_user(0), root);
        let user = root.for_user(1000);
        assert_eq!(user.bounding, set("kill chown"));
        assert_eq!(
            user,
            Capabilities { bounding: user.bounding, ..Default::default() }
        );
    }

    #[test]
    fn capabilities_that_the_caller_lacks_are_left_out_and_named() {
        let asked = Capabilities::of_root(set("kill sys_resource"));
        let (granted, lost) = asked.limited_to(set("kill chown"));
        assert_eq!((granted.permitted, granted.effective), (set("kill"), set("kill")));
        assert_eq!(lost, set("sys_resource"));
    }

    #[test]
    fn a_combination_that_the_kernel_refuses_is_reduced() {
        let asked = Capabilities {
            bounding: set("kill"),
            effective: set("kill chown"),
            permitted: set("kill"),
            inheritable: set("kill chown"),
            ambient: set("kill chown fowner"),
        };
        let (granted, lost) = asked.limited_to(CapabilitySet::ALL);
        let all_sets = [granted.effective, granted.inheritable, granted.ambient];
        assert_eq!(all_sets, [set("kill"); 3]);
        assert_eq!(lost, set("chown fowner"));
    }

    #[test]
    fn the_default_is_dockers() {
        assert_eq!(default_capabilities(), CapabilitySet::from_bits(0xa804_25fb));
    }
}
