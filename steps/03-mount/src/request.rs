//! A mount that an option or a configuration file requests.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::{Failure, FailureKind};

use crate::attributes::{AttributeChange, Attributes, Recursion};
use crate::detached::Detached;
use crate::inside::{self, MissingTarget, TargetKind};
use crate::mount_point;
use crate::source::BindSource;

/// A mount that was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The file, directory or file system that is mounted.
    pub source: Source,
    /// The path that it is mounted on, as the container sees it: absolute, and neither
    /// `/` nor in /proc. The path is checked when the source is mounted, and when the
    /// target is made.
    pub target: PathBuf,
    /// The attributes to set and to clear. A bind mount has all others from its source.
    pub attributes: AttributeChange,
}

/// The file, directory or file system that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host, alone or with the mounts below it.
    Bind(BindSource, Recursion),
    /// A new file system.
    New {
        /// Its type, as in /proc/filesystems.
        kind: String,
        /// The options of the file system, as in tmpfs(5).
        options: Vec<(String, String)>,
    },
    /// Nothing: only the directory is made, unless it exists.
    Directory,
    /// Nothing yet: only an empty file is made, on which the runtime itself will mount
    /// (step 8).
    MountPoint,
}

impl Request {
    // ANCHOR: mount
    /// Makes this mount inside `root`.
    // Task 3.3: first the detached mount with all its attributes, then the target, and
    // last the mount is attached to the target.
    pub(crate) fn mount(
        &self,
        root: BorrowedFd<'_>,
        missing: MissingTarget,
    ) -> Result<()> {
        self.check()?;
        let (mount, recursion, kind) = match &self.source {
            Source::Bind(source, recursion) => {
                (source.bind(*recursion)?, *recursion, source.kind()?)
            }
            Source::New { kind, options } => {
                (new(kind, options)?, Recursion::Alone, TargetKind::Directory)
            }
            Source::Directory => return inside::make_missing(root, &self.target),
            Source::MountPoint => return Ok(()),
        };
        mount.set_attributes(self.attributes, recursion)?;
        let target = inside::target(root, &self.target, kind, missing)?;
        mount.attach(&target, self.target.display())
    }
    // ANCHOR_END: mount

    /// Makes the target if it does not exist. Call it while the root is writable.
    ///
    /// # Errors
    /// When nothing may be mounted on the target, or it cannot be made.
    pub fn make_target(&self, root: BorrowedFd<'_>) -> Result<()> {
        self.check()?;
        let kind = match &self.source {
            Source::Bind(source, _) => source.kind()?,
            Source::New { .. } | Source::Directory => TargetKind::Directory,
            Source::MountPoint => return mount_point::make(root, &self.target),
        };
        inside::make(root, &self.target, kind)
    }

    fn check(&self) -> Result<()> {
        check_target(&self.target).map_err(|why| {
            let target = self.target.display();
            let failure = Failure::new(format_args!("mount on {target}: {why}"));
            failure.with_kind(FailureKind::Usage).into()
        })
    }

    /// Requests a directory: it is made in the root, and where a mount hides it, on
    /// that mount.
    pub fn directory(target: &Path) -> Self {
        let attributes = AttributeChange::NONE;
        Request { source: Source::Directory, target: target.into(), attributes }
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

/// Checks that a target is an absolute path, and neither `/` nor in /proc. Links and
/// `..` are not resolved yet: [`inside::target`] checks the file that they lead to.
pub(crate) fn check_target(target: &Path) -> Result<(), String> {
    if target.as_os_str() == "/" {
        Err("the root itself cannot be mounted over".into())
    } else if target.starts_with("/proc") {
        Err("what is in /proc cannot be mounted over".into())
    } else if target.is_absolute() {
        Ok(())
    } else {
        Err(format!(
            "the target {target:?} must be an absolute path, as the container sees it"
        ))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;
    use crate::test_root::TestRoot;

    #[test]
    fn a_request_with_an_invalid_target_is_refused_and_makes_no_file() {
        let root = TestRoot::new("request");
        let sources = [
            Source::New { kind: "tmpfs".into(), options: Vec::new() },
            Source::Bind("/".into(), Recursion::Alone),
        ];
        for (target, why) in [
            ("x", "must be an absolute path"),
            ("", "must be an absolute path"),
            ("../x", "must be an absolute path"),
            ("proc/x", "must be an absolute path"),
            ("/", "the root itself"),
            ("//proc/./x", "what is in /proc"),
        ] {
            for source in sources.clone() {
                let attributes = AttributeChange::NONE;
                let request = Request { source, target: target.into(), attributes };
                let error = request.make_target(root.as_fd()).unwrap_err().to_string();
                assert!(error.contains(why), "{target}: {error}");
                let error =
                    request.mount(root.as_fd(), MissingTarget::Create).unwrap_err();
                let kind = error.downcast_ref::<Failure>().unwrap().kind();
                assert_eq!(kind, FailureKind::Usage, "{target}: {error}");
            }
            let request = Request::mount_point(target);
            assert!(request.make_target(root.as_fd()).is_err(), "{target}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
