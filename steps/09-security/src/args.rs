//! The options of this step, spelled as Docker spells them.

mod device;
mod security_opt;

use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};

use crate::apparmor::AppArmorProfile;
use crate::capabilities::{Capabilities, default_capabilities};
use crate::capability_set::{Capability, CapabilitySet};
use crate::confinement::{Confinement, NoNewPrivs};
use crate::devices::{HostDevice, all_devices};
use crate::masked_paths::{default_masked_paths, default_readonly_paths};
use crate::oom_score_adj::OomScoreAdj;
use crate::process_attributes::ProcessAttributes;
use crate::rlimits::{Rlimit, refuse_duplicates};
use crate::seccomp::{self, Filter, Host};
use crate::security::{DeviceAccessRule, Security, SysfsAccess};
use crate::sysctls::Sysctl;

use device::DeviceArg;
use security_opt::{SeccompChoice, SecurityOpt};

/// The longest seccomp profile that is read, in bytes. Docker's default has 16 KiB.
const LONGEST_PROFILE: u64 = 4 << 20;

/// The options that limit what a container may do.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "security_options")]
#[command(next_help_heading = "Security")]
pub struct Args {
    /// Add a capability, or ALL (NET_ADMIN, CAP_NET_ADMIN)
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<CapabilityArg>,

    /// Drop a capability, or ALL; --cap-add is applied after it
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<CapabilityArg>,

    /// Set seccomp=FILE|unconfined, no-new-privileges, apparmor=PROFILE
    ///
    /// By default, a seccomp filter allows the system calls that Podman allows, and
    /// files of /proc and /sys that reach the host are hidden or read-only
    /// (systempaths=unconfined shows them). label=disable changes nothing.
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<SecurityOpt>,

    /// Take nothing away: all capabilities and devices, no filter, no masks
    ///
    /// Root inside is then root on the host. What other options of this step take away
    /// stays away.
    #[arg(long)]
    privileged: bool,

    /// Set a resource limit (nofile=1024:2048; -1 for none)
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<Rlimit>,

    /// Set when it is killed if memory runs out: -1000 (last) to 1000 (first)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    oom_score_adj: Option<OomScoreAdj>,

    /// Set a kernel setting of its own namespaces (net.core.somaxconn=1024)
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<Sysctl>,

    /// Add a device of the host
    #[arg(long, value_name = "HOST[:PATH[:rwm]]")]
    device: Vec<DeviceArg>,

    /// Add a group of the root file system to those of the command (GID or NAME)
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<user::Group>,
}

/// The value of `--cap-add` and `--cap-drop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CapabilityArg {
    All,
    One(Capability),
}

impl std::str::FromStr for CapabilityArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.eq_ignore_ascii_case("all") {
            true => Ok(CapabilityArg::All),
            false => text.parse().map(CapabilityArg::One),
        }
    }
}

impl Args {
    /// Turns the options into a value.
    ///
    /// # Errors
    /// A usage error (exit code 2) when two options contradict each other; and when a
    /// profile or a device does not exist, or the kernel has no AppArmor.
    pub fn plan(&self) -> Result<Security> {
        refuse_duplicates(&self.ulimit)?;
        self.refuse_contradictions()?;
        let set = self.capabilities();
        let apparmor = self.apparmor();
        apparmor.as_ref().map_or(Ok(()), AppArmorProfile::check)?;
        let is_open = self.privileged || self.has(&SecurityOpt::SystemPathsUnconfined);
        let no_new_privs = match self.has(&SecurityOpt::NoNewPrivileges(true)) {
            true => NoNewPrivs::Set,
            false => NoNewPrivs::Unset,
        };
        let confinement = Confinement {
            capabilities: Capabilities::of_root(set),
            no_new_privs,
            filter: self.filter(set)?,
        };
        Ok(Security {
            confinement,
            attributes: ProcessAttributes {
                apparmor,
                selinux: None,
                rlimits: self.ulimit.clone(),
                oom_score_adj: self.oom_score_adj,
            },
            sysctls: self.sysctl.clone(),
            devices: self.devices()?,
            device_access: match self.privileged {
                true => DeviceAccessRule::All,
                false => DeviceAccessRule::Listed,
            },
            masked_paths: if is_open { Vec::new() } else { default_masked_paths() },
            readonly_paths: if is_open { Vec::new() } else { default_readonly_paths() },
            sysfs: match self.privileged {
                true => SysfsAccess::ReadWrite,
                false => SysfsAccess::ReadOnly,
            },
        })
    }

    /// The groups that `--group-add` names.
    pub fn groups(&self) -> &[user::Group] {
        &self.group_add
    }

    /// Returns the capabilities of root, by Docker's rules. With `--privileged`, those
    /// of `--cap-drop` are dropped all the same, as in Podman.
    fn capabilities(&self) -> CapabilitySet {
        let named = |args: &[CapabilityArg]| -> CapabilitySet {
            let one = |arg: &CapabilityArg| match arg {
                CapabilityArg::One(capability) => Some(*capability),
                CapabilityArg::All => None,
            };
            args.iter().filter_map(one).collect()
        };
        let (added, dropped) = (named(&self.cap_add), named(&self.cap_drop));
        let [adds_all, drops_all] = [&self.cap_add, &self.cap_drop]
            .map(|args| args.contains(&CapabilityArg::All));
        if self.privileged && drops_all {
            return added;
        }
        if self.privileged || adds_all {
            return CapabilitySet::of_kernel().difference(dropped);
        }
        if drops_all {
            return added;
        }
        default_capabilities().difference(dropped) | added
    }

    fn has(&self, wanted: &SecurityOpt) -> bool {
        self.security_opt.contains(wanted)
    }

    fn refuse_contradictions(&self) -> Result<()> {
        let mut names: Vec<_> =
            self.security_opt.iter().map(SecurityOpt::name).collect();
        names.sort_unstable();
        let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) else {
            return Ok(());
        };
        let what = format!("--security-opt {}: given twice", pair[0]);
        let failure = Failure::new(what).with_kind(FailureKind::Usage);
        Err(failure.hint("give it once").with_exit_code(2).into())
    }

    fn apparmor(&self) -> Option<AppArmorProfile> {
        self.security_opt.iter().find_map(|option| match option {
            SecurityOpt::AppArmor(profile) => profile.clone(),
            _ => None,
        })
    }

    /// Returns the filter of system calls. Docker's default allows more to a container
    /// with more capabilities.
    fn filter(&self, set: CapabilitySet) -> Result<Option<Filter>> {
        let chosen = self.security_opt.iter().find_map(|option| match option {
            SecurityOpt::Seccomp(choice) => Some(choice),
            _ => None,
        });
        let profile = match chosen {
            None if self.privileged => return Ok(None),
            Some(SeccompChoice::Unconfined) => return Ok(None),
            None | Some(SeccompChoice::Builtin) => {
                seccomp::default_profile(&Host::this(set)?)
            }
            Some(SeccompChoice::File(path)) => read_profile(path, set)?,
        };
        seccomp::compile(&profile).map(Some)
    }

    fn devices(&self) -> Result<Vec<HostDevice>> {
        let mut devices = if self.privileged { all_devices()? } else { Vec::new() };
        for DeviceArg { source, path, access } in &self.device {
            devices.extend(HostDevice::find(source, path, *access)?);
        }
        Ok(devices)
    }
}

fn read_profile(path: &Path, set: CapabilitySet) -> Result<seccomp::Profile> {
    let named = || format!("--security-opt seccomp={}", path.display());
    let text = kit::read_document(path, LONGEST_PROFILE).with_context(named)?;
    let profile = seccomp::parse(&text, &Host::this(set)?).with_context(named)?;
    if profile.listener.is_some() || profile.notifies() {
        let failure = Failure::new(format_args!("{}: it needs a listener", named()));
        let hint = "SCMP_ACT_NOTIFY needs the OCI runtime of step 10";
        return Err(failure.with_kind(FailureKind::Usage).hint(hint).into());
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command, FromArgMatches};

    fn args(line: &str) -> Args {
        let words = std::iter::once("09-security").chain(line.split_whitespace());
        let command = Args::augment_args(Command::new("09-security"));
        Args::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    fn set(line: &str) -> String {
        args(line).capabilities().to_string()
    }

    #[test]
    fn capabilities_are_added_and_dropped_as_docker_does() {
        let default = CapabilitySet::from_bits(0xa804_25fb);
        assert_eq!(args("").capabilities(), default);
        assert_eq!(set("--cap-drop ALL"), "none");
        assert_eq!(
            set("--cap-drop all --cap-add CAP_CHOWN --cap-add kill"),
            "CHOWN|KILL"
        );
        assert_eq!(set("--cap-add ALL"), CapabilitySet::of_kernel().to_string());
        assert_eq!(set("--cap-add ALL --cap-drop sys_admin"), "all but SYS_ADMIN");
        let mknod: CapabilitySet = ["mknod".parse().unwrap()].into_iter().collect();
        let without = args("--cap-drop MKNOD").capabilities();
        assert_eq!(without, default.difference(mknod));
        assert_eq!(args("--cap-drop MKNOD --cap-add MKNOD").capabilities(), default);
        assert_eq!(set("--privileged"), CapabilitySet::of_kernel().to_string());
        assert_eq!(set("--privileged --cap-drop SYS_ADMIN"), "all but SYS_ADMIN");
        assert_eq!(set("--privileged --cap-drop ALL --cap-add KILL"), "KILL");
    }

    #[test]
    fn an_option_that_is_given_twice_is_a_usage_error() {
        for line in [
            "--security-opt seccomp=unconfined --security-opt seccomp=builtin",
            "--security-opt no-new-privileges --security-opt no-new-privileges:false",
        ] {
            let error = args(line).plan().unwrap_err();
            assert_eq!(
                error.downcast_ref::<Failure>().unwrap().exit_code(),
                2,
                "{line}"
            );
        }
    }

    #[test]
    fn privileged_takes_nothing_away() {
        let security = args("--privileged").plan().unwrap();
        assert!(security.confinement.filter.is_none());
        assert_eq!(
            (security.masked_paths.len(), security.readonly_paths.len()),
            (0, 0)
        );
        assert!(
            security.devices.iter().any(|it| it.node.path == Path::new("/dev/null"))
        );
        let security =
            args("--privileged --security-opt seccomp=builtin").plan().unwrap();
        assert!(security.confinement.filter.is_some());
    }
}
