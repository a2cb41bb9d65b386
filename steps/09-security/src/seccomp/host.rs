//! The host and the container for which a profile in Docker's format is resolved.

use kit::{Failure, Result};
use rustix::system::uname;

use super::arch::Arch;
use crate::capability_set::{Capability, CapabilitySet};

/// The facts on which a profile in Docker's format depends.
#[derive(Clone, Debug)]
pub struct Host {
    /// The architecture of the machine.
    pub arch: Arch,
    /// The version of the kernel: 6 and 18.
    pub kernel: KernelVersion,
    /// The capabilities that the container can have: its bounding set.
    pub capabilities: CapabilitySet,
}

/// The first two numbers of a kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u32, pub u32);

impl Host {
    /// Returns this machine, and a container with these capabilities.
    ///
    /// # Errors
    /// If there is no table of system calls for this machine.
    pub fn this(capabilities: CapabilitySet) -> Result<Host> {
        let arch = Arch::native().ok_or_else(|| {
            Failure::new(format_args!(
                "seccomp: no table of system calls for {}",
                std::env::consts::ARCH
            ))
            .hint("`seccomp=unconfined` runs without a filter")
        })?;
        let release = uname().release().to_string_lossy().into_owned();
        // A release that cannot be read is taken for an old kernel.
        let kernel = KernelVersion::parse(&release).unwrap_or(KernelVersion(0, 0));
        Ok(Host { arch, kernel, capabilities })
    }

    /// Returns whether the container can have this capability: `CAP_SYS_ADMIN`.
    pub fn has(&self, capability: &str) -> bool {
        capability.parse().is_ok_and(|it: Capability| self.capabilities.contains(it))
    }
}

impl KernelVersion {
    /// Reads `6.18` or `6.18.3-amd64`.
    pub fn parse(text: &str) -> Option<KernelVersion> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(KernelVersion(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_numbers_and_a_capability_by_its_name() {
        let parse = |text| KernelVersion::parse(text);
        assert_eq!(parse("6.18.3-cloud"), Some(KernelVersion(6, 18)));
        assert!(parse("4.8") < parse("4.18"));
        assert_eq!(parse("six"), None);
        let host = Host::this([Capability::SYS_ADMIN].into_iter().collect()).unwrap();
        assert!(host.has("CAP_SYS_ADMIN") && !host.has("CAP_CHOWN"));
        assert!(!host.has("CAP_NO_SUCH"));
    }
}
