//! A requested mount, by an option or by a document.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::Hint;

use crate::attributes::{AttributeChange, Attributes, Recursion};
use crate::detached::Detached;
use crate::inside::{self, TargetKind, Targets};
use crate::mount_point;

/// A mount that was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The file, directory or file system that is mounted.
    pub source: Source,
    /// The path that it is mounted on, as the container sees it.
    pub target: PathBuf,
    /// The attributes of the mount. A bind mount otherwise has its source's.
    pub attributes: AttributeChange,
}

/// The file, directory or file system that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host, alone or with the mounts below it.
    Bind(PathBuf, Recursion),
    /// A new file system.
    New {
        /// Its type, as in /proc/filesystems.
        kind: String,
        /// Its own options, as in tmpfs(5).
        options: Vec<(String, String)>,
    },
    /// Nothing yet: only an empty file is made, on which the runtime itself will mount
    /// (step 8).
    MountPoint,
}

impl Request {
    // ANCHOR: mount
    /// Makes this mount inside `root`.
    // Task 3.3: first the detached mount with all its attributes, then the target, and
    // last the mount is attached to the target.
    pub(crate) fn mount(&self, root: BorrowedFd<'_>, targets: Targets) -> Result<()> {
        let (mount, recursion, kind) = match &self.source {
            Source::Bind(path, recursion) => {
                (Detached::bind(path, *recursion)?, *recursion, kind_of(path)?)
            }
            Source::New { kind, options } => {
                (new(kind, options)?, Recursion::Alone, TargetKind::Directory)
            }
            Source::MountPoint => return Ok(()),
        };
        mount.set(self.attributes, recursion)?;
        let target = inside::target(root, &self.target, kind, targets)?;
        mount.attach(&target, self.target.display())
    }
    // ANCHOR_END: mount

    /// Makes the target if it does not exist. Call it while the root is writable.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_target(&self, root: BorrowedFd<'_>) -> Result<()> {
        let kind = match &self.source {
            Source::Bind(path, _) => kind_of(path)?,
            Source::New { .. } => TargetKind::Directory,
            Source::MountPoint => return mount_point::make(root, &self.target),
        };
        inside::make(root, &self.target, kind)
    }

    /// Requests a mount point for a file that the runtime mounts itself, later.
    pub fn mount_point(target: &str) -> Self {
        Request {
            source: Source::MountPoint,
            target: target.into(),
            attributes: AttributeChange::NONE,
        }
    }
}

/// Makes a detached mount of a new file system.
fn new(kind: &str, options: &[(String, String)]) -> Result<Detached> {
    let options: Vec<_> =
        options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let why = match kind {
        "tmpfs" => "a file system in memory",
        _ => "a new file system of this type",
    };
    Detached::new(kind, &options, Attributes::empty(), why)
}

/// Looks whether the source of a bind mount is a directory or a file.
fn kind_of(path: &Path) -> Result<TargetKind> {
    let metadata = kit::call(
        "is the source a directory or a file?",
        "stat",
        path.display(),
        || std::fs::metadata(path),
    );
    let metadata = metadata
        .hint("the source of a bind mount must be there before it is mounted")?;
    Ok(if metadata.is_dir() { TargetKind::Directory } else { TargetKind::File })
}
