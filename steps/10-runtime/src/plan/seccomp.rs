//! The section `linux.seccomp`:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp>

use kit::{Context, Result};
use oci_spec::runtime::LinuxSeccomp;
use security::seccomp::{Arch, Filter, Listener, Profile, compile};

use crate::plan::invalid;

/// The compiled filter, and the listener to which its descriptor is sent.
#[derive(Clone, Debug)]
pub(crate) struct Seccomp {
    pub filter: Filter,
    pub listener: Option<Listener>,
}

pub(crate) fn plan(section: Option<&LinuxSeccomp>) -> Result<Option<Seccomp>> {
    let Some(section) = section else { return Ok(None) };
    let native = Arch::native().ok_or_else(|| {
        invalid("linux.seccomp: no system calls of this machine are known")
    })?;
    let profile = Profile::from_oci(section, native).context("linux.seccomp")?;
    let filter = compile(&profile).context("linux.seccomp")?;
    Ok(Some(Seccomp { filter, listener: profile.listener }))
}
