//! The texts of `-v`, `--mount` and `--tmpfs`, spelled as Docker spells them.

use std::path::PathBuf;

use crate::attributes::{AttributeChange, Attributes, NOSUID_NODEV_NOEXEC, Recursion};
use crate::csv::csv_fields;
use crate::request::{Request, Source, check_target};
use crate::source::BindPropagation;

impl Request {
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
        let fields = csv_fields(text)?;
        let (mut kind, mut source, mut target, mut rest) =
            ("bind", None, None, Vec::new());
        for word in fields.iter().map(String::as_str) {
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
                return Err(format!("unknown mount type {kind:?}: use bind or tmpfs"));
            }
        };
        rest.into_iter().try_for_each(|word| request.set(word))?;
        Ok(request)
    }

    fn bind(source: &str, target: &str) -> Result<Self, String> {
        if !source.contains('/') && source != "." && source != ".." {
            return Err(format!(
                "{source:?} is not a path; a directory here is ./{source}"
            ));
        }
        let source = Source::Bind(source.into(), Recursion::Recursive);
        Ok(Request {
            source,
            target: checked_target(target)?,
            attributes: AttributeChange::NONE,
        })
    }

    fn new_tmpfs(target: &str) -> Result<Self, String> {
        let source = Source::New { kind: "tmpfs".into(), options: Vec::new() };
        let attributes = NOSUID_NODEV_NOEXEC.into();
        Ok(Request { source, target: checked_target(target)?, attributes })
    }

    /// Sets an option.
    fn set(&mut self, word: &str) -> Result<(), String> {
        let flag = |flag| (flag, word.starts_with("no"));
        let (flag, on) = match word {
            "ro" | "readonly" | "ro=true" | "readonly=true" | "ro=1" | "readonly=1" => {
                (Attributes::MOUNT_ATTR_RDONLY, true)
            }
            "rw" | "ro=false" | "readonly=false" | "ro=0" | "readonly=0" => {
                (Attributes::MOUNT_ATTR_RDONLY, false)
            }
            "nosuid" | "suid" => flag(Attributes::MOUNT_ATTR_NOSUID),
            "nodev" | "dev" => flag(Attributes::MOUNT_ATTR_NODEV),
            "noexec" | "exec" => flag(Attributes::MOUNT_ATTR_NOEXEC),
            _ => return self.set_type_option(word),
        };
        self.attributes.set.set(flag, on);
        Ok(())
    }

    /// Sets an option that only bind mounts or only a tmpfs have.
    fn set_type_option(&mut self, word: &str) -> Result<(), String> {
        if let (Source::Bind(source, _), Some(propagation)) =
            (&mut self.source, propagation(word))
        {
            source.set_propagation(propagation);
            return Ok(());
        }
        match &mut self.source {
            Source::Bind(_, recursion) => match word {
                "bind"
                | "bind-nonrecursive"
                | "bind-nonrecursive=true"
                | "bind-recursive=disabled" => *recursion = Recursion::Alone,
                "rbind" | "bind-nonrecursive=false" | "bind-recursive=enabled" => {
                    *recursion = Recursion::Recursive
                }
                _ if has_no_effect(word) => {}
                _ => return Err(not_an_option_of(word, BIND_OPTIONS)),
            },
            Source::New { options, .. } => {
                match word.strip_prefix("tmpfs-").unwrap_or(word).split_once('=') {
                    Some((
                        key @ ("size" | "mode" | "uid" | "gid" | "nr_inodes"),
                        value,
                    )) => options.push((key.into(), value.into())),
                    _ => return Err(not_an_option_of(word, TMPFS_OPTIONS)),
                }
            }
            Source::Directory | Source::MountPoint => {}
        }
        Ok(())
    }
}

const BIND_OPTIONS: &str = "a bind mount: ro, rw, bind, rbind, rprivate, rslave, rshared, nosuid, nodev, noexec";
const TMPFS_OPTIONS: &str =
    "a tmpfs: size=, mode=, uid=, gid=, nr_inodes=, ro, exec, suid, dev";

fn not_an_option_of(word: &str, options: &str) -> String {
    format!("{word:?} is not an option of {options}")
}

/// Tells whether an option is for SELinux, which Kiste does not use, or for Docker on
/// other systems.
fn has_no_effect(word: &str) -> bool {
    ["z", "Z", "cached", "consistent", "delegated"].contains(&word)
        || word.starts_with("consistency=")
}

/// Parses the propagation of a bind mount: `rslave`, or `bind-propagation=rslave`. The
/// mounts below it have the same propagation.
fn propagation(word: &str) -> Option<BindPropagation> {
    Some(match word.strip_prefix("bind-propagation=").unwrap_or(word) {
        "private" | "rprivate" => BindPropagation::Private,
        "slave" | "rslave" => BindPropagation::Slave,
        "shared" | "rshared" => BindPropagation::Shared,
        _ => return None,
    })
}

fn checked_target(target: &str) -> Result<PathBuf, String> {
    check_target(target.as_ref())?;
    Ok(target.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_parsed_as_docker_parses_it() {
        let request = Request::volume("./src:/dst:ro,nosuid").unwrap();
        assert_eq!(request.source, Source::Bind("./src".into(), Recursion::Recursive));
        assert_eq!(
            request.attributes,
            (Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOSUID).into()
        );
        assert_eq!(
            Request::mount_option("type=bind,src=./src,dst=/dst,ro,nosuid").unwrap(),
            request
        );
    }

    #[test]
    fn the_longer_forms_of_an_option_mean_the_same() {
        let parse = |options: &str| {
            let text = format!("src=./src,dst=/dst{options}");
            Request::mount_option(&text).unwrap()
        };
        for (longer, short) in [
            (",readonly=1", ",ro"),
            (",ro=true", ",ro"),
            (",ro,readonly=0", ""),
            (",bind-recursive=disabled", ",bind"),
            (",bind-nonrecursive=true", ",bind"),
            (",bind-recursive=enabled", ""),
            (",consistency=cached", ""),
        ] {
            assert_eq!(parse(longer), parse(short), "{longer}");
        }
        let writable = "src=./src,dst=/dst,ro,bind-recursive=writable";
        assert!(Request::mount_option(writable).is_err(), "ro is always recursive");
    }

    #[test]
    fn a_tmpfs_has_the_requested_size_and_by_default_nosuid_nodev_noexec() {
        let request = Request::tmpfs("/t:size=1m,mode=700,exec").unwrap();
        assert_eq!(
            request.source,
            Source::New {
                kind: "tmpfs".into(),
                options: vec![
                    ("size".into(), "1m".into()),
                    ("mode".into(), "700".into())
                ],
            }
        );
        assert_eq!(
            request.attributes,
            (Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV).into()
        );
    }

    #[test]
    fn a_text_that_is_not_understood_is_refused() {
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
        for text in ["t", "/t:size", "/t:rbind", "/t:z", "/t:rslave"] {
            assert!(Request::tmpfs(text).is_err(), "{text}");
        }
    }
}
