//! The source of a bind mount. The parent looks it up as the caller, before any
//! namespace is entered: the caller named the source, and may reach files that the
//! container's first process may not. The child makes the mount, because open_tree(2)
//! clones only mounts of the calling process's mount namespace.

use std::fs::{File, FileType, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result};
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;

use crate::attributes::Recursion;
use crate::detached::Detached;
use crate::make::TargetKind;

/// A file or directory of the host that is to be mounted.
#[derive(Clone, Debug)]
pub struct BindSource {
    path: PathBuf,
    /// The file that was at the path when the parent looked it up.
    found: Option<Identity>,
    propagation: Option<BindPropagation>,
    /// The mount, once it is made, until it is attached.
    mount: Arc<Mutex<Option<Detached>>>,
    /// Whether the parent makes the mount, and the child must not make another.
    is_made_by_parent: bool,
}

/// Whether mounts that are made later below the source of a bind mount appear below its
/// target, too. See "SHARED SUBTREES" in mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindPropagation {
    /// None does.
    Private,
    /// The host's mounts appear in the container.
    Slave,
    /// The host's appear in the container, and the container's on the host. In a user
    /// namespace the kernel makes it a slave.
    Shared,
}

/// The properties by which a file is recognized. The time of its creation is among them
/// because an inode number is used again once its file is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    kind: FileType,
    created: Option<SystemTime>,
}

impl BindSource {
    /// Records which file is at the path.
    pub(crate) fn find(&mut self) -> Result<()> {
        self.found = Some(self.identify()?);
        Ok(())
    }

    /// Sets the propagation. Without it, that of the container applies.
    pub fn set_propagation(&mut self, propagation: BindPropagation) {
        self.propagation = Some(propagation);
    }

    /// Tells whether mounts of the host are to appear below the target.
    pub(crate) fn propagates(&self) -> bool {
        self.propagation.is_some_and(|it| it != BindPropagation::Private)
    }

    /// Makes the parent's mount the only one: its owners are mapped, for which the child
    /// has no right.
    pub(crate) fn set_made_by_parent(&mut self) {
        self.is_made_by_parent = true;
    }

    /// Tells whether the child must use the mount that the parent has made.
    pub(crate) fn is_made_by_parent(&self) -> bool {
        self.is_made_by_parent
    }

    /// Works on the mount that is kept.
    pub(crate) fn with_kept(
        &self,
        work: impl FnOnce(&Detached) -> Result<()>,
    ) -> Result<()> {
        let kept = self.mount.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map_or(Ok(()), work)
    }

    fn identify(&self) -> Result<Identity> {
        let why = "is the source a directory or a file?";
        let found = kit::call(why, "stat", self.path.display(), || {
            std::fs::metadata(&self.path)
        });
        let found = found.hint_on(
            Errno::ENOENT,
            "the source of a bind mount must be there before it is mounted",
        )?;
        Ok(Identity::of(&found))
    }

    /// The kind of target that this source can be mounted on.
    pub(crate) fn kind(&self) -> Result<TargetKind> {
        let found = self.found.map_or_else(|| self.identify(), Ok)?;
        Ok(match found.kind.is_dir() {
            true => TargetKind::Directory,
            false => TargetKind::File,
        })
    }

    /// Returns the mount of this source. It is made now, unless [`crate::bind_sources`]
    /// has made it.
    pub(crate) fn bind(&self, recursion: Recursion) -> Result<Detached> {
        self.take().map_or_else(|| self.bind_here(recursion), Ok)
    }

    /// Makes a mount of this source in the mount namespace of the calling process.
    pub(crate) fn bind_here(&self, recursion: Recursion) -> Result<Detached> {
        let mount = Detached::bind(&self.path, recursion)?;
        let mounted = mount.as_fd().try_clone_to_owned().map(File::from);
        let mounted = mounted
            .and_then(|file| file.metadata())
            .with_context(|| format!("stat {}", self.path.display()))?;
        match self.found {
            Some(found) if found != Identity::of(&mounted) => {
                let failure = Failure::new(format_args!(
                    "{}: another file is there than before the container was made",
                    self.path.display()
                ));
                Err(failure.with_kind(FailureKind::Conflict).into())
            }
            _ => {
                match self.propagation {
                    Some(BindPropagation::Private) => mount.make_private()?,
                    Some(BindPropagation::Slave) => mount.make_slave()?,
                    // It is in the peer group of the host's mount, as it was cloned.
                    Some(BindPropagation::Shared) | None => {}
                }
                Ok(mount)
            }
        }
    }

    /// Takes out the mount that [`BindSource::keep`] has stored.
    pub(crate) fn take(&self) -> Option<Detached> {
        self.mount.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stores a mount of this source for [`BindSource::bind`].
    pub(crate) fn keep(&self, mount: Detached) {
        *self.mount.lock().unwrap_or_else(PoisonError::into_inner) = Some(mount);
    }
}

impl<P: AsRef<Path>> From<P> for BindSource {
    fn from(path: P) -> Self {
        let path = path.as_ref().into();
        BindSource {
            path,
            found: None,
            propagation: None,
            mount: Arc::default(),
            is_made_by_parent: false,
        }
    }
}

/// Two sources are equal when they name the same path.
impl PartialEq for BindSource {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for BindSource {}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Identity {
            device: found.dev(),
            inode: found.ino(),
            kind: found.file_type(),
            created: found.created().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_root::TestRoot;

    #[test]
    fn a_source_that_is_missing_is_an_error_when_it_is_looked_up() {
        let root = TestRoot::new("missing-source");
        let path = root.path().join("here");
        let mut source = BindSource::from(&path);
        assert_eq!(kit::errno(&source.find().unwrap_err()), Some(Errno::ENOENT));
        fs::write(&path, "").unwrap();
        source.find().unwrap();
        assert_eq!(source.kind().unwrap(), TargetKind::File);
    }

    #[test]
    fn a_file_is_recognized_and_another_file_at_its_path_is_not() {
        let root = TestRoot::new("identity");
        let path = root.path().join("source");
        fs::create_dir(&path).unwrap();
        let mut source = BindSource::from(&path);
        source.find().unwrap();
        assert_eq!(source.identify().unwrap(), source.found.unwrap());
        fs::rename(&path, root.path().join("moved")).unwrap();
        fs::create_dir(&path).unwrap();
        assert_ne!(source.identify().unwrap(), source.found.unwrap());
    }
}
