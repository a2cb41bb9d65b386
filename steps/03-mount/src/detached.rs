//! Detached mounts. The mount calls of Linux 5.2 make a mount in steps: create or clone
//! it, set its attributes, and only then attach it, so that no process ever sees it
//! half made.

use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::attributes::{AttributeChange, Attributes, Recursion};
use crate::fs_context::FsContext;
use crate::sys;

/// A mount that is not attached anywhere yet.
#[derive(Debug)]
pub struct Detached {
    mount: OwnedFd,
    name: String,
}

impl Detached {
    /// Makes a mount of a new file system of this type.
    ///
    /// # Errors
    /// The kernel's, with the file system's own message about its options as the hint.
    #[track_caller]
    pub fn new(
        kind: &str,
        options: &[(&str, &str)],
        attributes: Attributes,
        why: &str,
    ) -> Result<Self> {
        let options_text: String =
            options.iter().map(|(key, value)| format!(", {key}={value}")).collect();
        let operands = format_args!("{kind}{options_text}");
        Detached::configured(kind, operands, attributes, why, |context| {
            context.set("source", kind)?;
            options.iter().try_for_each(|(key, value)| context.set(key, *value))
        })
    }

    /// Makes a mount of a new file system of this type, with the options that
    /// `configure` sets. `operands` and `why` are for the narration.
    ///
    /// # Errors
    /// As [`Detached::new`].
    #[track_caller]
    pub fn configured(
        kind: &str,
        operands: impl Display,
        attributes: Attributes,
        why: &str,
        configure: impl FnOnce(&FsContext) -> rustix::io::Result<()>,
    ) -> Result<Self> {
        let mut message = None;
        let mount = kit::call(why, "fsmount", operands, || {
            let context = FsContext::open(kind)?;
            configure(&context)
                .and_then(|()| context.mount(attributes))
                .inspect_err(|_| message = context.message())
        });
        let mount = match message {
            Some(message) => mount.hint(message),
            None => mount,
        }
        .hint_on(Errno::EPERM, HINT_EPERM)
        .hint_on(
            Errno::ENODEV,
            format_args!(
                "this kernel has no file system {kind:?}: try `modprobe {kind}`"
            ),
        )?;
        Ok(Detached { mount, name: kind.into() })
    }

    /// Wraps a mount that the caller has created with fsmount(2) itself.
    pub fn made(mount: OwnedFd, name: impl Display) -> Self {
        Detached { mount, name: name.to_string() }
    }

    /// Clones the mount at `source`, or makes one of the file or directory there:
    /// open_tree(2).
    ///
    /// # Errors
    /// When `source` does not exist, or cannot be looked up.
    #[track_caller]
    pub fn bind(source: &Path, recursion: Recursion) -> Result<Self> {
        let mount = kit::call(
            "a bind mount, not attached yet",
            "open_tree",
            source.display(),
            || open_tree(CWD, source, clone_flags(recursion)),
        )
        .hint_on(
            Errno::ENOENT,
            "the source of a bind mount must be there before it is mounted",
        )?;
        Ok(Detached { mount, name: source.display().to_string() })
    }

    /// Makes a bind mount of the file or directory that a descriptor refers to,
    /// whatever its path is by now.
    ///
    /// # Errors
    /// The kernel's, from open_tree(2).
    #[track_caller]
    pub fn bind_descriptor(
        source: BorrowedFd<'_>,
        name: impl Display,
        recursion: Recursion,
    ) -> Result<Self> {
        let flags = clone_flags(recursion) | OpenTreeFlags::AT_EMPTY_PATH;
        let mount =
            kit::call("a bind mount, not attached yet", "open_tree", &name, || {
                open_tree(source, "", flags)
            })?;
        Ok(Detached { mount, name: name.to_string() })
    }

    /// Changes the attributes of the mount, before any process can use it without them:
    /// mount_setattr(2).
    ///
    /// # Errors
    /// The kernel's, from mount_setattr(2).
    #[track_caller]
    pub fn set_attributes(
        &self,
        change: impl Into<AttributeChange>,
        recursion: Recursion,
    ) -> Result<()> {
        let change = change.into();
        if change == AttributeChange::NONE {
            return Ok(());
        }
        let operands = format_args!("{}, {change}", self.name);
        kit::call(
            "set its attributes before it is attached",
            "mount_setattr",
            operands,
            || sys::mount_setattr(self.mount.as_fd(), change, recursion),
        )
    }

    /// Takes the mount, and the mounts below it, out of their peer groups. Until then,
    /// a mount that the parent clones is in one peer group with the mount of the host.
    ///
    /// # Errors
    /// The kernel's, from mount_setattr(2).
    #[track_caller]
    pub fn make_private(&self) -> Result<()> {
        kit::call(
            "mounts made on it do not reach the host",
            "mount_setattr",
            format_args!("{}, MS_PRIVATE", self.name),
            || {
                let recursion = Recursion::Recursive;
                sys::set_propagation(self.mount.as_fd(), libc::MS_PRIVATE, recursion)
            },
        )
    }

    /// Makes the mount, and the mounts below it, slaves of those that they were cloned
    /// from: they receive later mounts of the host, and pass none on.
    ///
    /// # Errors
    /// The kernel's, from mount_setattr(2).
    #[track_caller]
    pub(crate) fn make_slave(&self) -> Result<()> {
        kit::call(
            "later mounts of the host appear on it",
            "mount_setattr",
            format_args!("{}, MS_SLAVE", self.name),
            || {
                let recursion = Recursion::Recursive;
                sys::set_propagation(self.mount.as_fd(), libc::MS_SLAVE, recursion)
            },
        )
    }

    /// Maps the owners of the mount's files by a user namespace: a file that uid 0 owns
    /// on the disk is owned by uid 0 of that namespace (mount_setattr(2),
    /// MOUNT_ATTR_IDMAP).
    ///
    /// # Errors
    /// EINVAL where the file system has no idmapped mounts, and EPERM without root on
    /// the host.
    #[track_caller]
    pub fn map_owners(
        &self,
        user_namespace: BorrowedFd<'_>,
        recursion: Recursion,
    ) -> Result<()> {
        let operands = format_args!("{}, IDMAP", self.name);
        kit::call(
            "map the owners of its files into the container",
            "mount_setattr",
            operands,
            || sys::idmap(self.mount.as_fd(), user_namespace, recursion),
        )
        .hint_on(
            Errno::EINVAL,
            "this file system cannot show its files with other owners (idmapped mounts)",
        )
        .hint_on(Errno::EPERM, "idmapped mounts need root on the host")
    }

    /// Attaches the mount to a target. The target is an open descriptor, so that a
    /// rename cannot move the mount elsewhere.
    ///
    /// # Errors
    /// When a directory is to be mounted on a file or the other way round, and the
    /// kernel's other errors of move_mount(2).
    #[track_caller]
    pub fn attach(&self, target: &OwnedFd, target_name: impl Display) -> Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
            | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        kit::call(
            "attach the mount to its target",
            "move_mount",
            format_args!("{}, {target_name}", self.name),
            || move_mount(&self.mount, "", target, "", flags),
        )
        .hint_on(
            Errno::EINVAL,
            "mount a directory on a directory, and a file on a file",
        )
    }
}

impl Detached {
    /// The name of the mount in errors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

impl From<Detached> for OwnedFd {
    fn from(detached: Detached) -> OwnedFd {
        detached.mount
    }
}

const HINT_EPERM: &str = "mounting needs root; inside another container the kernel also refuses a new /proc or \
                          /sys where the outer one has masked a part of its own";

fn clone_flags(recursion: Recursion) -> OpenTreeFlags {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match recursion {
        Recursion::Alone => clone,
        Recursion::Recursive => clone | OpenTreeFlags::AT_RECURSIVE,
    }
}
