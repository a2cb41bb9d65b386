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

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::super::host::{Host, KernelVersion};
    use super::*;
    use crate::capability_set::CapabilitySet;

    #[test]
    fn a_section_of_config_json_is_the_same_profile_as_in_a_file() {
        let json = br#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_MIPS64N32"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "listenerPath": "/run/agent", "listenerMetadata": "m",
            "syscalls": [
              {"names": ["mount", "nosuch"], "action": "SCMP_ACT_NOTIFY"},
              {"names": ["kill"], "action": "SCMP_ACT_TRACE", "errnoRet": 9, "args": [
                {"index": 1, "value": 3, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"},
                {"index": 0, "value": 5, "op": "SCMP_CMP_LT"}]},
              {"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
        let arch = Arch::X86_64;
        let (kernel, capabilities) = (KernelVersion(6, 1), CapabilitySet::EMPTY);
        let of_file = parse(json, &Host { arch, kernel, capabilities }).unwrap();
        let section: LinuxSeccomp = serde_json::from_slice(json).unwrap();
        assert_eq!(Profile::from_oci(&section, arch).unwrap(), of_file);
        assert_eq!(of_file.architectures, [Arch::X86_64, Arch::X86]);
    }
}
