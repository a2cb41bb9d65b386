//! The section `linux.seccomp`:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp>

use kit::{Context, Result};
use oci_spec::runtime::LinuxSeccomp;
use security::seccomp::{Arch, Filter, Listener, Profile, compile};

use crate::plan::invalid;

/// Compiles the filter, and returns the listener to which its descriptor is sent.
pub(crate) fn plan(
    section: Option<&LinuxSeccomp>,
) -> Result<(Option<Filter>, Option<Listener>)> {
    let Some(section) = section else { return Ok((None, None)) };
    let native = Arch::native().ok_or_else(|| {
        invalid("linux.seccomp: no system calls of this machine are known")
    })?;
    let profile = Profile::from_oci(section, native).context("linux.seccomp")?;
    let filter = compile(&profile).context("linux.seccomp")?;
    Ok((Some(filter), profile.listener))
}
