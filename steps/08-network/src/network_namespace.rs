//! The identity of a network namespace.

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};

use crate::sys;

/// Identifies one network namespace of one boot of this host.
///
/// The kernel gives a cookie to one namespace only. The inode of `/proc/PID/ns/net` is
/// no identity: the kernel gives it to another namespace when the first is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceId {
    boot: String,
    /// `cookie:3`. Older versions wrote the inode, `net:[4026531833]`, which equals no
    /// cookie: their changes count as those of another namespace.
    namespace: String,
}

impl NamespaceId {
    /// Asks the kernel for the identity of this process's namespace.
    pub(crate) fn current() -> Result<Self> {
        let boot_id = "/proc/sys/kernel/random/boot_id";
        let boot = kit::read_kernel_file(boot_id)
            .with_context(|| format!("read {boot_id}"))?;
        let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)
            .context("socket(AF_UNIX)")?;
        let cookie =
            sys::namespace_cookie(&socket).context("getsockopt(SO_NETNS_COOKIE)")?;
        Ok(NamespaceId {
            boot: boot.trim().into(),
            namespace: format!("cookie:{cookie}"),
        })
    }

    /// Tells whether both namespaces belong to the same boot.
    pub(crate) fn is_same_boot(&self, other: &Self) -> bool {
        self.boot == other.boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_that_an_older_version_wrote_matches_no_namespace() {
        let current = NamespaceId::current().unwrap();
        let inode = std::fs::read_link("/proc/self/ns/net").unwrap();
        let noted = serde_json::json!({ "boot": current.boot, "namespace": inode });
        let noted: NamespaceId = serde_json::from_value(noted).unwrap();
        assert!(
            noted.is_same_boot(&current) && noted != current,
            "{noted:?} {current:?}"
        );
        assert_eq!(current, NamespaceId::current().unwrap());
    }
}
