//! `mounts` of config.json:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#mounts>

use std::path::{Path, PathBuf};

use anyhow::Result;
use mount::{
    BindPropagation, BindSource, Entry, EntrySource, MountOptions, NewFileSystem,
    Recursion, find_sources,
};
use oci_spec::runtime::Mount;

use crate::invalid::invalid;

/// Plans the mounts, in the order of config.json, and looks up the sources of the bind
/// mounts. `propagation` is that of the container's root, which the sources have as
/// well. A relative source counts from the bundle.
///
/// # Errors
/// When a mount has no type and no source, or its source is missing or out of the
/// caller's reach.
pub(crate) fn mounts(
    mounts: &[Mount],
    bundle: &Path,
    propagation: BindPropagation,
) -> Result<Vec<Entry>> {
    let entry = |mount| entry(mount, bundle, propagation);
    let mut entries: Vec<_> = mounts.iter().map(entry).collect::<Result<_>>()?;
    find_sources(&mut entries)?;
    Ok(entries)
}

fn entry(mount: &Mount, bundle: &Path, propagation: BindPropagation) -> Result<Entry> {
    let words = mount.options().as_deref().unwrap_or_default();
    let options = MountOptions::new(words.iter().map(String::as_str));
    let kind = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().as_deref().filter(|path| !path.as_os_str().is_empty());
    // The options say whether it is a bind mount. The type `bind` alone does, too.
    let bind = options.bind.or((kind == "bind").then_some(Recursion::Alone));
    let source = match (bind, source, kind) {
        _ if options.is_remount => EntrySource::Existing,
        (Some(recursion), Some(path), _) => {
            let mut source = BindSource::from(bundle.join(path));
            source.set_propagation(propagation);
            EntrySource::Bind(source, recursion)
        }
        (Some(_), None, _) => return Err(refused(mount, "a bind mount has a source")),
        (None, _, "cgroup") => EntrySource::Cgroup,
        (None, None, "" | "none") if !options.propagation.is_empty() => {
            EntrySource::Existing
        }
        (None, _, "" | "none") => {
            return Err(refused(
                mount,
                "a mount has a type, or the option bind or rbind",
            ));
        }
        (None, source, kind) => {
            let source = source.map(|path| path.to_string_lossy());
            EntrySource::New(NewFileSystem::new(kind, source.as_deref()))
        }
    };
    // A relative destination counts from `/`: runtime-spec 1.0 allowed it.
    let target: PathBuf = Path::new("/").join(mount.destination());
    Ok(Entry { source, target, options })
}

fn refused(mount: &Mount, why: &str) -> anyhow::Error {
    let target = mount.destination().display();
    invalid(format_args!("config.json: mount on {target}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> Result<Entry> {
        let mount: Mount = serde_json::from_str(json).unwrap();
        entry(&mount, Path::new("/bundle"), BindPropagation::Slave)
    }

    #[test]
    fn the_options_decide_whether_it_is_a_bind_mount() {
        for (kind, options, recursion) in [
            ("none", r#"["bind"]"#, Recursion::Alone),
            ("tmpfs", r#"["rbind", "ro"]"#, Recursion::Recursive),
            ("bind", r#"["ro"]"#, Recursion::Alone),
        ] {
            let json = format!(
                r#"{{"destination": "data", "type": "{kind}", "source": "dir", "options": {options}}}"#
            );
            let entry = planned(&json).unwrap();
            assert_eq!(entry.target, Path::new("/data"));
            let source = EntrySource::Bind("/bundle/dir".into(), recursion);
            assert_eq!(entry.source, source, "{json}");
        }
    }

    #[test]
    fn a_mount_without_a_source_may_only_change_a_propagation() {
        let json = r#"{"destination": "/data", "options": ["rslave"]}"#;
        assert_eq!(planned(json).unwrap().source, EntrySource::Existing);
        for json in [
            r#"{"destination": "/data", "options": ["ro"]}"#,
            r#"{"destination": "/data", "type": "none", "source": "x"}"#,
            r#"{"destination": "/data", "type": "bind"}"#,
        ] {
            assert!(planned(json).unwrap_err().to_string().contains("/data"), "{json}");
        }
    }

    #[test]
    fn the_source_of_a_new_file_system_is_its_type_unless_it_is_given() {
        let json =
            r#"{"destination": "/tmp", "type": "tmpfs", "options": ["size=1m"]}"#;
        let entry = planned(json).unwrap();
        assert_eq!(entry.source, EntrySource::New(NewFileSystem::new("tmpfs", None)));
        assert_eq!(entry.options.data, ["size=1m"]);
        let json = r#"{"destination": "/x", "type": "ext4", "source": "/dev/loop0"}"#;
        let file_system = NewFileSystem::new("ext4", Some("/dev/loop0"));
        assert_eq!(planned(json).unwrap().source, EntrySource::New(file_system));
    }
}
