//! Mounts that are nowhere yet. The mount calls of Linux 5.2 make a mount in steps:
//! create or clone it, give it its attributes, and only then attach it, so that nobody
//! ever sees it half made.

use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::sys;

/// Attributes of a mount: mount_setattr(2), MOUNT_ATTR_*.
pub use rustix::mount::MountAttrFlags as Attributes;

/// What suits a mount that only holds data: no set-user-ID program, device or program
/// on it works as one (mount(8)).
pub const NOSUID_NODEV_NOEXEC: Attributes = Attributes::MOUNT_ATTR_NOSUID
    .union(Attributes::MOUNT_ATTR_NODEV)
    .union(Attributes::MOUNT_ATTR_NOEXEC);

/// Whether a mount comes with the mounts below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recursion {
    /// This mount alone.
    Alone,
    /// It and all mounts below it.
    Recursive,
}

impl Recursion {
    fn cloned(self) -> OpenTreeFlags {
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        match self {
            Recursion::Alone => clone,
            Recursion::Recursive => clone | OpenTreeFlags::AT_RECURSIVE,
        }
    }
}

/// A mount that is nowhere yet.
#[derive(Debug)]
pub struct Detached {
    mount: OwnedFd,
    what: String,
}

impl Detached {
    /// A new file system of this type: fsopen(2), fsconfig(2), fsmount(2).
    ///
    /// # Errors
    /// What the kernel says, and what the file system says of its options.
    #[track_caller]
    pub fn new(
        kind: &str,
        options: &[(&str, &str)],
        attributes: Attributes,
        why: &str,
    ) -> Result<Self> {
        let options_text: String =
            options.iter().map(|(key, value)| format!(", {key}={value}")).collect();
        let mut said = String::new();
        let mount =
            kit::call(why, "fsmount", format_args!("{kind}{options_text}"), || {
                let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
                configure(&context, kind, options)
                    .inspect_err(|_| said = complaint(&context))?;
                fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            });
        let mount = if said.is_empty() { mount } else { mount.hint(said) }
            .hint_on(Errno::EPERM, HINT_EPERM)
            .hint_on(
                Errno::ENODEV,
                format_args!("this kernel has no file system {kind:?}"),
            )?;
        Ok(Detached { mount, what: kind.into() })
    }

    /// One that a file system of its own way was mounted as: fsmount(2).
    pub fn made(mount: OwnedFd, what: impl Display) -> Self {
        Detached { mount, what: what.to_string() }
    }

    /// A copy of what is mounted at `source`, or of the file or directory there:
    /// open_tree(2).
    ///
    /// # Errors
    /// When `source` is not there, or cannot be looked up.
    #[track_caller]
    pub fn bind(source: &Path, recursion: Recursion) -> Result<Self> {
        let mount = kit::call(
            "a copy of this mount, attached nowhere yet",
            "open_tree",
            source.display(),
            || open_tree(CWD, source, recursion.cloned()),
        )
        .hint_on(
            Errno::ENOENT,
            "the source of a bind mount must be there before it is mounted",
        )?;
        Ok(Detached { mount, what: source.display().to_string() })
    }

    /// A copy of what an open descriptor stands for, whatever its name is by now.
    ///
    /// # Errors
    /// What the kernel says of open_tree(2).
    #[track_caller]
    pub fn bind_descriptor(
        source: BorrowedFd<'_>,
        what: impl Display,
        recursion: Recursion,
    ) -> Result<Self> {
        let flags = recursion.cloned() | OpenTreeFlags::AT_EMPTY_PATH;
        let mount = kit::call(
            "a copy of this mount, attached nowhere yet",
            "open_tree",
            &what,
            || open_tree(source, "", flags),
        )?;
        Ok(Detached { mount, what: what.to_string() })
    }

    /// Gives it attributes, before anybody can use it without them: mount_setattr(2).
    ///
    /// # Errors
    /// What the kernel says.
    #[track_caller]
    pub fn set(&self, attributes: Attributes, recursion: Recursion) -> Result<()> {
        if attributes.is_empty() {
            return Ok(());
        }
        let operands = format_args!("{}, {}", self.what, names(attributes));
        kit::call(
            "before anybody can use it without",
            "mount_setattr",
            operands,
            || sys::mount_setattr(self.mount.as_fd(), attributes, recursion),
        )
    }

    /// Shows its files with the owners that this user namespace has for them: what root
    /// owns on the disk is owned by root there (mount_setattr(2), MOUNT_ATTR_IDMAP).
    ///
    /// # Errors
    /// EINVAL where the file system cannot do that, and EPERM without root on the host.
    #[track_caller]
    pub fn map_owners(&self, user_namespace: BorrowedFd<'_>) -> Result<()> {
        let operands = format_args!("{}, IDMAP", self.what);
        kit::call("show its files with owners of the container", "mount_setattr", operands, || {
            sys::idmap(self.mount.as_fd(), user_namespace)
        })
        .hint_on(Errno::EINVAL, "this file system cannot show its files with other owners (idmapped mounts)")
    }

    /// Attaches it to a target that is held open, so that no rename can move it
    /// elsewhere.
    ///
    /// # Errors
    /// When a directory is to be mounted on a file or the other way round, and whatever
    /// else the kernel says of move_mount(2).
    #[track_caller]
    pub fn attach(&self, target: &OwnedFd, target_name: impl Display) -> Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
            | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        kit::call(
            "from now on it is there",
            "move_mount",
            format_args!("{}, {target_name}", self.what),
            || move_mount(&self.mount, "", target, "", flags),
        )
        .hint_on(
            Errno::EINVAL,
            "mount a directory on a directory, and a file on a file",
        )
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

const HINT_EPERM: &str = "mounting needs root; inside another container the kernel also refuses a new /proc or \
                          /sys where the outer one has masked a part of its own";

fn configure(
    context: &OwnedFd,
    kind: &str,
    options: &[(&str, &str)],
) -> rustix::io::Result<()> {
    // what mountinfo and df show first
    fsconfig_set_string(context.as_fd(), "source", kind)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())
}

/// What the file system says in words, if it does: fsopen(2), "Message retrieval
/// interface".
pub fn complaint(context: &OwnedFd) -> String {
    let mut text = [0; 256];
    let length = rustix::io::read(context, &mut text).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    // "e tmpfs: Bad value for 'size'": the letter says how bad it is.
    text.trim_end().trim_start_matches("e ").into()
}

fn names(attributes: Attributes) -> String {
    attributes
        .iter_names()
        .map(|(name, _)| name.trim_start_matches("MOUNT_ATTR_"))
        .collect::<Vec<_>>()
        .join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_named_as_in_the_man_page_but_for_what_all_begin_with() {
        assert_eq!(names(Attributes::MOUNT_ATTR_RDONLY), "RDONLY");
        assert_eq!(names(NOSUID_NODEV_NOEXEC), "NOSUID|NODEV|NOEXEC");
    }
}
