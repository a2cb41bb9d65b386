//! The section `linux.seccomp`:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp>

use kit::{Context, Result};
use oci_spec::runtime::LinuxSeccomp;
use security::seccomp::{Action, Arch, Filter, Listener, Profile, Rule, compile};

use crate::invalid::invalid;

/// Compiles the filter, and returns the listener to which its descriptor is sent.
pub(crate) fn plan(
    section: Option<&LinuxSeccomp>,
) -> Result<(Option<Filter>, Option<Listener>)> {
    let Some(section) = section else { return Ok((None, None)) };
    let native = Arch::native().ok_or_else(|| {
        invalid("linux.seccomp: no system calls of this machine are known")
    })?;
    let profile = Profile::from_oci(section, native).context("linux.seccomp")?;
    check_listener(section, &profile)?;
    if section.syscalls().iter().flatten().any(|rule| rule.names().is_empty()) {
        return Err(invalid("linux.seccomp: a rule names no system call"));
    }
    let filter = compile(&profile).context("linux.seccomp")?;
    // Nobody asks a listener that no rule names.
    let listener = profile.notifies().then_some(profile.listener).flatten();
    Ok((Some(filter), listener))
}

/// Refuses what the listener, or the runtime that sends it the filter, could not do.
fn check_listener(section: &LinuxSeccomp, profile: &Profile) -> Result<()> {
    let metadata = section.listener_metadata().as_deref().unwrap_or_default();
    if section.listener_path().is_none() && !metadata.is_empty() {
        return Err(invalid("linux.seccomp: listenerMetadata without a listenerPath"));
    }
    let sends = |rule: &&Rule| rule.names.iter().any(|name| name == "sendmsg");
    let asks_for_send =
        profile.rules.iter().filter(sends).any(|rule| rule.action == Action::Notify);
    match asks_for_send {
        true => Err(invalid(
            "linux.seccomp: SCMP_ACT_NOTIFY for sendmsg, by which the listener gets the filter",
        )),
        false => Ok(()),
    }
}
