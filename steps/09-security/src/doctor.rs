//! The checks of this step.

use std::path::Path;

use kit::doctor::Check;
use rustix::io::Errno;
use rustix::thread;

use crate::apparmor;
use crate::capability_set::CapabilitySet;
use crate::seccomp;

/// The checks of this step.
pub fn checks() -> Vec<Check> {
    vec![capabilities(), no_new_privs(), filter(), modules(), time_namespace()]
}

/// Containers get no more than the caller has.
fn capabilities() -> Check {
    let all = CapabilitySet::of_kernel();
    let last = all.iter().last().map_or_else(String::new, |it| it.name());
    let own = thread::capabilities(None)
        .map_or(CapabilitySet::EMPTY, |sets| CapabilitySet::from_raw(sets.permitted));
    let lacking = all.difference(own);
    if nix::unistd::geteuid().is_root() && !lacking.is_empty() {
        return Check::missing(
            "capabilities",
            format_args!("the caller is root without {lacking}"),
            "no container can get these here; use root of the host",
        );
    }
    Check::ok(
        "capabilities",
        format_args!("{} of them, up to {last}", all.iter().count()),
    )
}

fn no_new_privs() -> Check {
    match thread::no_new_privs() {
        Ok(false) => {
            Check::ok("no-new-privs", "the kernel has it, and we are not under it")
        }
        Ok(true) => Check::missing(
            "no-new-privs",
            "this program is itself under no_new_privs, and so is every container",
            "start it from a shell that is not",
        ),
        Err(error) => Check::fails("no-new-privs", error, "boot a newer kernel"),
    }
}

/// seccomp(2), SECCOMP_GET_ACTION_AVAIL is listed in a file, too.
fn filter() -> Check {
    let path = "/proc/sys/kernel/seccomp/actions_avail";
    let without = "run containers without a filter: `--security-opt seccomp=unconfined`, or no linux.seccomp in config.json";
    let fix = format!("boot a kernel with CONFIG_SECCOMP_FILTER, or {without}");
    match kit::read_kernel_file(path) {
        Err(error) => Check::missing("seccomp", format_args!("{path}: {error}"), fix),
        Ok(actions) => match seccomp::Arch::native() {
            Some(_) => Check::ok("seccomp", actions.trim()),
            None => Check::missing(
                "seccomp",
                format_args!("no table of system calls for {}", std::env::consts::ARCH),
                without,
            ),
        },
    }
}

/// The security modules decide in addition to everything here. `run` gives a profile of
/// AppArmor, and no label of SELinux.
fn modules() -> Check {
    let is_selinux = Path::new("/sys/fs/selinux/enforce").exists();
    match (apparmor::is_enabled(), is_selinux) {
        (true, _) => Check::ok("apparmor", "enabled: containers can have a profile"),
        (false, true) => Check::missing(
            "apparmor",
            "SELinux is active: containers run with the label of the caller, unless config.json has one",
            "not needed",
        ),
        (false, false) => Check::missing(
            "apparmor",
            "neither AppArmor nor SELinux is enabled in this kernel",
            "not needed; boot with apparmor=1 to give containers a profile",
        ),
    }
}

fn time_namespace() -> Check {
    match crate::time_namespace().is_empty() {
        false => {
            Check::ok("time-namespace", "containers have a time namespace of their own")
        }
        true => Check::missing(
            "time-namespace",
            format_args!(
                "this kernel has none ({:?}): containers share the host's clocks",
                Errno::NOENT
            ),
            "boot a kernel with CONFIG_TIME_NS",
        ),
    }
}
