//! A mount as fstab(5) and config.json describe it: a type, a source, a target and
//! options. It may cover what the options of a command line may not, such as /dev.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;

use crate::attributes::{AttributeChange, Attributes, Recursion};
use crate::copy_up;
use crate::detached::Detached;
use crate::entry_target::{Cover, open_target};
use crate::inside;
use crate::make::TargetKind;
use crate::mount_options::MountOptions;
use crate::new_file_system::NewFileSystem;
use crate::remount;
use crate::source::BindSource;

/// A mount of a container, in the words of fstab(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file, directory or file system that is mounted.
    pub source: EntrySource,
    /// The path that it is mounted on, from the root of the container.
    pub target: PathBuf,
    /// The options.
    pub options: MountOptions,
}

/// The file, directory or file system that an entry mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntrySource {
    /// A file or directory of the host, alone or with the mounts below it.
    Bind(BindSource, Recursion),
    /// A new file system.
    New(NewFileSystem),
    /// The cgroup of the container, which the caller of [`mount_entries`] mounts.
    Cgroup,
    /// Nothing: the mount that is at the target already is changed.
    Existing,
}

/// Makes the mounts inside `root`, in this order. `others` makes a mount that only a
/// higher step can make, and returns whether it did: the cgroup always; a file system
/// that the container's namespaces do not allow, if there is another way.
///
/// # Errors
/// When a source or a target is missing or of the wrong kind, a target must not be
/// covered, or the kernel refuses.
pub fn mount_entries(
    root: BorrowedFd<'_>,
    entries: &[Entry],
    mut others: impl FnMut(&Entry) -> Result<MadeBy>,
) -> Result<ReadOnlyLater> {
    let mut later = ReadOnlyLater::default();
    for entry in entries {
        if others(entry)? == MadeBy::Nobody {
            later.0.extend(entry.mount(root)?);
        }
    }
    Ok(later)
}

/// The process that makes a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// The caller of [`mount_entries`].
    Caller,
    /// Nobody yet: [`mount_entries`] makes it.
    Nobody,
}

/// Mounts that become read-only once everything in them is made: /dev and other file
/// systems in memory.
#[derive(Debug, Default)]
#[must_use = "these mounts are still writable"]
pub struct ReadOnlyLater(Vec<Detached>);

impl ReadOnlyLater {
    /// Makes the mounts read-only.
    ///
    /// # Errors
    /// The kernel's, from mount_setattr(2).
    pub fn make_read_only(self) -> Result<()> {
        let read_only = Attributes::MOUNT_ATTR_RDONLY;
        self.0
            .iter()
            .try_for_each(|mount| mount.set_attributes(read_only, Recursion::Alone))
    }
}

impl Entry {
    /// Makes this mount inside `root`. Returns it if it is to be read-only and is not
    /// yet.
    fn mount(&self, root: BorrowedFd<'_>) -> Result<Option<Detached>> {
        match &self.source {
            EntrySource::Bind(source, recursion) => {
                let mount = source.bind(*recursion)?;
                set_bind_attributes(&mount, self.options.attributes)?;
                self.protect_hosts_sysfs(&mount)?;
                self.attach(root, &mount, source.kind()?)?;
                Ok(None)
            }
            EntrySource::New(file_system) => self.mount_new(root, file_system),
            EntrySource::Existing => {
                let mount = inside::open(root, &self.target)?;
                let mount = Detached::made(mount, self.target.display());
                remount::change(&mount, &self.options)?;
                self.finish(&mount)?;
                Ok(None)
            }
            EntrySource::Cgroup => {
                let target = self.target.display();
                let failure =
                    Failure::new(format_args!("{target}: there is no cgroup"));
                Err(failure.with_kind(FailureKind::Usage).into())
            }
        }
    }

    /// Makes also the mounts below the host's /sys read-only if that is: cgroups among
    /// them, in which an unprivileged user's container could leave its own
    /// (CVE-2023-25809).
    fn protect_hosts_sysfs(&self, mount: &Detached) -> Result<()> {
        match self.options.is_read_only() && Cover::of(mount)? == Cover::Kernel {
            true => mount
                .set_attributes(Attributes::MOUNT_ATTR_RDONLY, Recursion::Recursive),
            false => Ok(()),
        }
    }

    fn mount_new(
        &self,
        root: BorrowedFd<'_>,
        file_system: &NewFileSystem,
    ) -> Result<Option<Detached>> {
        let covered = inside::mode(root, &self.target);
        let target =
            self.open_target(root, file_system.cover(), TargetKind::Directory)?;
        let file_system = file_system.with_mode_of(covered, &self.options);
        if file_system.needs_old_call(&self.options) {
            file_system.mount_on(&target, &self.target, &self.options)?;
            let mount = inside::open(root, &self.target)?;
            let mount = Detached::made(mount, self.target.display());
            self.copy_up(&target, &mount)?;
            self.finish(&mount)?;
            return Ok(None);
        }
        let mount = file_system.mount(&self.options)?;
        self.copy_up(&target, &mount)?;
        mount.attach(&target, self.target.display())?;
        self.finish(&mount)?;
        Ok(file_system.is_read_only_later(&self.options).then_some(mount))
    }

    fn copy_up(&self, covered: &OwnedFd, mount: &Detached) -> Result<()> {
        match self.options.copy_up {
            true => copy_up::copy(covered.as_fd(), mount.as_fd(), &self.target),
            false => Ok(()),
        }
    }

    /// Attaches a mount that the caller has made to the target of this entry, with the
    /// entry's options for the mounts below it and for propagation.
    ///
    /// # Errors
    /// When the target must not be covered, or the kernel refuses.
    pub fn attach(
        &self,
        root: BorrowedFd<'_>,
        mount: &Detached,
        kind: TargetKind,
    ) -> Result<()> {
        let target = self.open_target(root, Cover::of(mount)?, kind)?;
        mount.attach(&target, self.target.display())?;
        self.finish(mount)
    }

    /// Opens the target inside `root`, and makes it first if it is missing.
    ///
    /// # Errors
    /// When the target must not be covered, or cannot be made.
    pub fn open_target(
        &self,
        root: BorrowedFd<'_>,
        cover: Cover,
        kind: TargetKind,
    ) -> Result<OwnedFd> {
        open_target(root, &self.target, kind, cover)
    }

    /// Sets the attributes of the mounts below it, too, and the propagation. Call it
    /// once the mount is attached: on a shared mount it would become shared.
    fn finish(&self, mount: &Detached) -> Result<()> {
        let all = self.options.recursive_attributes;
        mount.set_attributes(all, Recursion::Recursive)?;
        self.options
            .propagation
            .iter()
            .try_for_each(|(kind, recursion)| mount.set_propagation(*kind, *recursion))
    }
}

/// Sets the attributes of a bind mount. Attributes that a user namespace has locked stay
/// as they are, since none is cleared that no option names (mount_namespaces(7)). `rw`
/// is only a wish: the source may be read-only.
fn set_bind_attributes(mount: &Detached, change: AttributeChange) -> Result<()> {
    let read_only = Attributes::MOUNT_ATTR_RDONLY;
    match mount.set_attributes(change, Recursion::Alone) {
        Err(error)
            if kit::errno(&error) == Some(Errno::EPERM)
                && change.clear.contains(read_only) =>
        {
            let clear = change.clear - read_only;
            mount.set_attributes(AttributeChange { clear, ..change }, Recursion::Alone)
        }
        done => done,
    }
    .hint_on(
        Errno::EPERM,
        "a user namespace cannot clear an attribute that its source has from the host",
    )
}
