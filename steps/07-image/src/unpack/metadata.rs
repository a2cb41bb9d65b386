//! Owner, extended attributes, mode and times of unpacked files.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fsetxattr, fstat, futimens, lsetxattr, utimensat,
};
use rustix::io::Errno;

use super::Unpacker;
use crate::archive::{Entry, EntryKind, shown};
use crate::attributes;

/// chown(2): EINVAL for an id that is not mapped into the user namespace.
pub(super) const NOT_MAPPED: Errno = Errno::INVAL;

impl Unpacker<'_> {
    /// Applies owner, attributes, mode and times, in this order: chown(2) removes file
    /// capabilities and set-user-ID bits.
    pub(super) fn apply_metadata(&mut self, name: &OsStr, entry: &Entry) -> Result<()> {
        match chown_at(self.parent(), name, entry.uid, entry.gid) {
            Err(NOT_MAPPED) => self.unpacked.left_out.owners.add(|| {
                format!("{} of {}:{}", shown(&entry.path), entry.uid, entry.gid)
            }),
            done => done.context("fchownat")?,
        }
        for (attribute, value) in &entry.attributes {
            self.set_attribute(name, entry, attribute, value)?;
        }
        let parent = self.parent();
        if !matches!(entry.kind, EntryKind::SymbolicLink(_)) {
            chmodat(parent, name, Mode::from(entry.mode), AtFlags::empty())
                .context("fchmodat")?;
        }
        let (seconds, nanoseconds) = entry.mtime;
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).context("utimensat")
    }

    fn set_attribute(
        &mut self,
        name: &OsStr,
        entry: &Entry,
        attribute: &[u8],
        value: &[u8],
    ) -> Result<()> {
        // proc(5): there is no call that takes a directory's descriptor and a name.
        let parent = format!("/proc/self/fd/{}/", self.parent().as_raw_fd());
        let path = [parent.as_ref(), name].join(OsStr::new(""));
        let attribute_name = OsStr::from_bytes(attribute);
        // Overlayfs would act on its own attributes.
        let set = if attributes::is_overlayfs(attribute) {
            Err(Errno::PERM)
        } else {
            lsetxattr(&path, attribute_name, value, XattrFlags::empty())
        };
        match set {
            // xattr(7): it needs root, or this file system has no such attributes.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => {
                let what = || format!("{} of {}", shown(attribute), shown(&entry.path));
                self.unpacked.left_out.attributes.add(what);
                Ok(())
            }
            done => {
                done.with_context(|| format!("setxattr({})", attribute_name.display()))
            }
        }
    }
}

/// Changes the owner of a file, or of a symbolic link itself.
pub(super) fn chown_at(
    parent: &OwnedFd,
    name: &OsStr,
    uid: u32,
    gid: u32,
) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// Returns the times of access and modification, as utimensat(2) takes them.
pub(super) fn times_of(found: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.cast_signed(),
    };
    Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec),
        last_modification: time(found.st_mtime, found.st_mtime_nsec),
    }
}

/// Copies owner, mode, times and attributes of a directory, except overlayfs's own
/// attributes.
pub(crate) fn copy_metadata(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let found = fstat(from).context("fstat(a directory)")?;
    let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    fchown(to, Some(uid), Some(gid)).context("fchown(a directory)")?;
    for (name, value) in attributes::of_directory(from.as_fd())? {
        fsetxattr(to, OsStr::from_bytes(&name), &value, XattrFlags::empty())
            .context("fsetxattr(a directory)")?;
    }
    fchmod(to, Mode::from_raw_mode(found.st_mode & 0o7777))
        .context("fchmod(a directory)")?;
    futimens(to, &times_of(&found)).context("utimensat(a directory)")
}
