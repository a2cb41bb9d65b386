//! The library sets the attributes of a detached mount.

use std::os::fd::AsFd;

use mount::{AttributeChange, Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion};
use rustix::fs::{StatVfsMountFlags, fstatvfs};

use super::*;

#[test]
fn attributes_are_set_and_cleared_and_the_others_stay() {
    let Some(_bench) = fixture() else { return };
    let mount = Detached::new("tmpfs", &[], NOSUID_NODEV_NOEXEC, "a test").unwrap();
    let flags = || fstatvfs(mount.as_fd()).unwrap().f_flag;
    let before = StatVfsMountFlags::NOSUID
        | StatVfsMountFlags::NODEV
        | StatVfsMountFlags::NOEXEC;
    assert!(flags().contains(before) && !flags().contains(StatVfsMountFlags::RDONLY));

    let change = AttributeChange {
        set: Attributes::MOUNT_ATTR_RDONLY,
        clear: Attributes::MOUNT_ATTR_NOEXEC,
    };
    mount.set_attributes(change, Recursion::Alone).unwrap();
    let after = StatVfsMountFlags::NOSUID
        | StatVfsMountFlags::NODEV
        | StatVfsMountFlags::RDONLY;
    assert!(flags().contains(after) && !flags().contains(StatVfsMountFlags::NOEXEC));
}
