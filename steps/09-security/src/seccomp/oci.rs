//! A profile from config.json.

use kit::Result;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall};

use super::arch::Arch;
use super::document::with_native;
use super::profile::{Action, Condition, Flags, Listener, Profile, Rule};

impl Profile {
    /// Returns the profile of a `linux.seccomp` section of config.json, for a machine of
    /// this architecture.
    ///
    /// # Errors
    /// If the section has a value that does not exist.
    pub fn from_oci(section: &LinuxSeccomp, native: Arch) -> Result<Profile> {
        let names: Vec<_> = section.architectures().iter().flatten().collect();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut flags = Flags::default();
        for flag in section.flags().iter().flatten() {
            flags.insert(Flags::from_oci(&flag.to_string())?);
        }
        let listener = section.listener_path().as_ref().map(|path| Listener {
            path: path.clone(),
            metadata: section.listener_metadata().clone(),
        });
        let default = section.default_action().to_string();
        let rules = section.syscalls().iter().flatten().map(rule);
        Profile {
            default_action: Action::from_oci(&default, section.default_errno_ret())?,
            architectures: with_native(native, &names)?,
            flags,
            listener,
            rules: rules.collect::<Result<_>>()?,
        }
        .checked()
    }
}

fn rule(syscall: &LinuxSyscall) -> Result<Rule> {
    let conditions = syscall.args().iter().flatten().map(condition);
    Ok(Rule {
        names: syscall.names().clone(),
        action: Action::from_oci(&syscall.action().to_string(), syscall.errno_ret())?,
        conditions: conditions.collect::<Result<_>>()?,
    })
}

fn condition(it: &LinuxSeccompArg) -> Result<Condition> {
    let two = it.value_two().unwrap_or_default();
    Condition::from_oci(it.index() as u64, &it.op().to_string(), it.value(), two)
}
