//! The source of a bind mount. The caller looks it up, before any namespace is entered:
//! the caller named it, and may reach files that the container's first process may not.
//! A mount of it is made in the child, because the kernel clones only the mounts of the
//! own mount namespace (open_tree(2)).

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
    /// The file that the caller found at the path.
    found: Option<Identity>,
    /// The mount, once there is one.
    mount: Arc<Mutex<Option<Detached>>>,
}

/// The properties by which a file is known again. The time of its creation is among
/// them because a number is used again once its file is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
    kind: FileType,
    created: Option<SystemTime>,
}

impl BindSource {
    /// Notes which file is there.
    pub(crate) fn find(&mut self) -> Result<()> {
        self.found = Some(self.look()?);
        Ok(())
    }

    fn look(&self) -> Result<Identity> {
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

    /// The kind of target that it can be mounted on.
    pub(crate) fn kind(&self) -> Result<TargetKind> {
        let found = self.found.map_or_else(|| self.look(), Ok)?;
        Ok(match found.kind.is_dir() {
            true => TargetKind::Directory,
            false => TargetKind::File,
        })
    }

    /// The mount of it. It is made now, unless [`crate::bind_sources`] has made it.
    pub(crate) fn bind(&self, recursion: Recursion) -> Result<Detached> {
        self.take().map_or_else(|| self.bind_here(recursion), Ok)
    }

    /// Makes a mount of it in the mount namespace of this process.
    pub(crate) fn bind_here(&self, recursion: Recursion) -> Result<Detached> {
        let mount = Detached::bind(&self.path, recursion)?;
        let bound = mount.as_fd().try_clone_to_owned().map(File::from);
        let bound = bound
            .and_then(|file| file.metadata())
            .with_context(|| format!("stat {}", self.path.display()))?;
        match self.found {
            Some(found) if found != Identity::of(&bound) => {
                let failure = Failure::new(format_args!(
                    "{}: another file is there than before the container was made",
                    self.path.display()
                ));
                Err(failure.kind(FailureKind::Conflict).into())
            }
            _ => Ok(mount),
        }
    }

    /// The mount that was kept.
    pub(crate) fn take(&self) -> Option<Detached> {
        self.mount.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps a mount of it for [`BindSource::bind`].
    pub(crate) fn keep(&self, mount: Detached) {
        *self.mount.lock().unwrap_or_else(PoisonError::into_inner) = Some(mount);
    }
}

impl<P: AsRef<Path>> From<P> for BindSource {
    fn from(path: P) -> Self {
        BindSource { path: path.as_ref().into(), found: None, mount: Arc::default() }
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
            number: found.ino(),
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
    fn a_file_is_known_again_and_another_at_its_path_is_not_the_same() {
        let root = TestRoot::new("identity");
        let path = root.path().join("source");
        fs::create_dir(&path).unwrap();
        let mut source = BindSource::from(&path);
        source.find().unwrap();
        assert_eq!(source.look().unwrap(), source.found.unwrap());
        fs::rename(&path, root.path().join("moved")).unwrap();
        fs::create_dir(&path).unwrap();
        assert_ne!(source.look().unwrap(), source.found.unwrap());
    }
}
