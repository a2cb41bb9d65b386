//! What `-v`, `--mount` and `--tmpfs` ask for: parsed before anything is made, then
//! mounted.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::Hint;

use crate::detached::{Attributes, Detached, NOSUID_NODEV_NOEXEC, Recursion};
use crate::inside::{self, TargetKind, Targets};
use crate::place;

/// One mount that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is mounted.
    pub source: Source,
    /// Where, inside the root.
    pub target: PathBuf,
    /// How.
    pub attributes: Attributes,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host.
    Bind(PathBuf, Recursion),
    /// A new tmpfs with these options (tmpfs(5)).
    Tmpfs(Vec<(String, String)>),
    /// A file that the runtime mounts itself (step 8): here only its place is made.
    Later,
}

impl Request {
    // ANCHOR: mount
    /// Makes this mount inside `root`.
    // Task 3.3: first the mount with all its attributes, then the target, then both
    // together.
    pub(crate) fn mount(&self, root: BorrowedFd<'_>, targets: Targets) -> Result<()> {
        let (mount, recursion, kind) = match &self.source {
            Source::Bind(path, recursion) => {
                (Detached::bind(path, *recursion)?, *recursion, kind_of(path)?)
            }
            Source::Tmpfs(options) => {
                (tmpfs(options)?, Recursion::Alone, TargetKind::Directory)
            }
            Source::Later => return Ok(()),
        };
        mount.set(self.attributes, recursion)?;
        let target = inside::target(root, &self.target, kind, targets)?;
        mount.attach(&target, self.target.display())
    }
    // ANCHOR_END: mount

    /// Makes the target where it is missing, while the root can still be written.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_target(&self, root: BorrowedFd<'_>) -> Result<()> {
        let kind = match &self.source {
            Source::Bind(path, _) => kind_of(path)?,
            Source::Tmpfs(_) => TargetKind::Directory,
            Source::Later => return place::make(root, &self.target),
        };
        inside::make(root, &self.target, kind)
    }

    /// A place for a file that the runtime mounts itself, later.
    pub fn later(target: &str) -> Self {
        Request {
            source: Source::Later,
            target: target.into(),
            attributes: Attributes::empty(),
        }
    }

    /// Parses `SRC:DST[:OPTIONS]`, as `-v` takes it.
    pub(crate) fn volume(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (source, target, options) = (parts.next(), parts.next(), parts.next());
        let (Some(source), Some(target), None) = (source, target, parts.next()) else {
            return Err(
                "a volume is SRC:DST[:OPTIONS]; for a path with a colon use --mount"
                    .into(),
            );
        };
        let mut request = Request::bind(source, target)?;
        options
            .unwrap_or_default()
            .split(',')
            .filter(|word| !word.is_empty())
            .try_for_each(|word| request.set(word))?;
        Ok(request)
    }

    /// Parses `DST[:OPTIONS]`, as `--tmpfs` takes it.
    pub(crate) fn tmpfs(text: &str) -> Result<Self, String> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut request = Request::new_tmpfs(target)?;
        options
            .split(',')
            .filter(|word| !word.is_empty())
            .try_for_each(|word| request.set(word))?;
        Ok(request)
    }

    /// Parses `type=bind|tmpfs,src=…,dst=…[,OPTIONS]`, as `--mount` takes it.
    pub(crate) fn mount_option(text: &str) -> Result<Self, String> {
        let (mut kind, mut source, mut target, mut rest) =
            ("bind", None, None, Vec::new());
        for word in text.split(',') {
            match word.split_once('=') {
                Some(("type", value)) => kind = value,
                Some(("src" | "source", value)) => source = Some(value),
                Some(("dst" | "destination" | "target", value)) => target = Some(value),
                _ => rest.push(word),
            }
        }
        let target = target.ok_or("--mount needs dst=PATH")?;
        let mut request = match (kind, source) {
            ("bind", Some(source)) => Request::bind(source, target)?,
            ("bind", None) => return Err("a bind mount needs src=PATH".into()),
            ("tmpfs", None) => Request::new_tmpfs(target)?,
            ("tmpfs", Some(_)) => return Err("a tmpfs has no src".into()),
            _ => {
                return Err(format!(
                    "{kind:?} is no type of mount that we make: bind or tmpfs"
                ));
            }
        };
        rest.into_iter().try_for_each(|word| request.set(word))?;
        Ok(request)
    }

    fn bind(source: &str, target: &str) -> Result<Self, String> {
        if !source.contains('/') && source != "." && source != ".." {
            return Err(format!(
                "{source:?} is no path; a directory here is ./{source}"
            ));
        }
        let source = Source::Bind(source.into(), Recursion::Recursive);
        Ok(Request {
            source,
            target: absolute(target)?,
            attributes: Attributes::empty(),
        })
    }

    fn new_tmpfs(target: &str) -> Result<Self, String> {
        let (source, attributes) = (Source::Tmpfs(Vec::new()), NOSUID_NODEV_NOEXEC);
        Ok(Request { source, target: absolute(target)?, attributes })
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        let flag = |flag| (flag, word.starts_with("no"));
        let (flag, on) = match word {
            "ro" | "readonly" | "ro=true" | "readonly=true" => {
                (Attributes::MOUNT_ATTR_RDONLY, true)
            }
            "rw" | "ro=false" | "readonly=false" => {
                (Attributes::MOUNT_ATTR_RDONLY, false)
            }
            "nosuid" | "suid" => flag(Attributes::MOUNT_ATTR_NOSUID),
            "nodev" | "dev" => flag(Attributes::MOUNT_ATTR_NODEV),
            "noexec" | "exec" => flag(Attributes::MOUNT_ATTR_NOEXEC),
            _ => return self.set_own(word),
        };
        self.attributes.set(flag, on);
        Ok(())
    }

    /// Options that only one kind of mount has.
    fn set_own(&mut self, word: &str) -> Result<(), String> {
        let word_and_value =
            word.strip_prefix("tmpfs-").unwrap_or(word).split_once('=');
        match (&mut self.source, word, word_and_value) {
            (Source::Bind(_, recursion), "bind" | "bind-nonrecursive", _) => {
                *recursion = Recursion::Alone
            }
            (Source::Bind(_, recursion), "rbind", _) => {
                *recursion = Recursion::Recursive
            }
            (Source::Bind(..), "private" | "rprivate", _) => {}
            (
                Source::Tmpfs(options),
                _,
                Some((key @ ("size" | "mode" | "uid" | "gid" | "nr_inodes"), value)),
            ) => {
                options.push((key.into(), value.into()));
            }
            (Source::Bind(..), ..) => {
                return Err(format!(
                    "{word:?} is no option of a bind mount: ro, rw, bind, rbind, private, \
                                    nosuid, nodev, noexec"
                ));
            }
            (Source::Tmpfs(_) | Source::Later, ..) => {
                return Err(format!(
                    "{word:?} is no option of a tmpfs: size=, mode=, uid=, gid=, nr_inodes=, ro, \
                                    exec, suid, dev"
                ));
            }
        }
        Ok(())
    }
}

fn tmpfs(options: &[(String, String)]) -> Result<Detached> {
    let options: Vec<_> =
        options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Detached::new("tmpfs", &options, Attributes::empty(), "a file system in memory")
}

fn kind_of(path: &Path) -> Result<TargetKind> {
    let metadata = kit::call(
        "the target must be of the same kind",
        "stat",
        path.display(),
        || std::fs::metadata(path),
    );
    let metadata = metadata
        .hint("the source of a bind mount must be there before it is mounted")?;
    Ok(if metadata.is_dir() { TargetKind::Directory } else { TargetKind::File })
}

fn absolute(target: &str) -> Result<PathBuf, String> {
    match target {
        "/" => Err("the root itself cannot be mounted over".into()),
        _ if Path::new(target).starts_with("/proc") => {
            Err("what is in /proc cannot be mounted over".into())
        }
        _ if target.starts_with('/') => Ok(target.into()),
        _ => Err(format!(
            "the target {target:?} must be an absolute path, as the container sees it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_read_as_docker_reads_it() {
        let request = Request::volume("./src:/dst:ro,nosuid").unwrap();
        assert_eq!(request.source, Source::Bind("./src".into(), Recursion::Recursive));
        assert_eq!(
            request.attributes,
            Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOSUID
        );
        assert_eq!(
            Request::mount_option("type=bind,src=./src,dst=/dst,ro,nosuid").unwrap(),
            request
        );
    }

    #[test]
    fn a_tmpfs_has_a_size_and_is_careful_by_default() {
        let request = Request::tmpfs("/t:size=1m,mode=700,exec").unwrap();
        assert_eq!(
            request.source,
            Source::Tmpfs(vec![
                ("size".into(), "1m".into()),
                ("mode".into(), "700".into())
            ])
        );
        assert_eq!(
            request.attributes,
            Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "/a",
            "/a:/b:bogus",
            "/a:b",
            "name:/b",
            "/a:/",
            "/a:/proc",
            "/a:/proc/x",
            "/a:/b:ro:x",
            "/a:/b:size=1m",
        ] {
            assert!(Request::volume(text).is_err(), "{text}");
        }
        for text in
            ["dst=/b", "src=/a", "type=nfs,src=/a,dst=/b", "type=tmpfs,src=/a,dst=/b"]
        {
            assert!(Request::mount_option(text).is_err(), "{text}");
        }
        for text in ["t", "/t:size", "/t:rbind"] {
            assert!(Request::tmpfs(text).is_err(), "{text}");
        }
    }
}
