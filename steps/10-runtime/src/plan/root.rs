//! `root`, `linux.rootfsPropagation` and `linux.mountLabel` of config.json:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#root>

use std::path::Path;

use anyhow::Result;
use oci_spec::runtime::Linux;
use pivot_root::{Access, RootPropagation, Rootfs};

use crate::config;
use crate::invalid::invalid;

/// Plans the root file system. A relative path counts from the bundle.
///
/// # Errors
/// When config.json names none, or none that is a directory.
pub(crate) fn rootfs(root: &config::Root, bundle: &Path) -> Result<Rootfs> {
    if root.path.as_os_str().is_empty() {
        return Err(invalid("config.json: root.path is missing"));
    }
    let path = bundle.join(&root.path);
    if !path.is_dir() {
        let path = path.display();
        return Err(invalid(format_args!(
            "config.json: root.path: {path} is no directory"
        )));
    }
    let access = match root.readonly {
        Some(true) => Access::ReadOnly,
        _ => Access::ReadWrite,
    };
    Ok(Rootfs { path, access })
}

/// Plans the mount propagation of the root.
///
/// # Errors
/// When the word is none of the specification's.
pub(crate) fn propagation(linux: &Linux) -> Result<RootPropagation> {
    match linux.rootfs_propagation().as_deref() {
        None | Some("") => Ok(RootPropagation::default()),
        Some(word) => word.parse().map_err(|why| {
            invalid(format_args!("config.json: rootfsPropagation: {why}"))
        }),
    }
}

/// Checks the label of SELinux for the mounts. Without SELinux in the kernel it has no
/// effect, as in runc.
///
/// # Errors
/// When the host has SELinux, which Kiste does not set labels for.
pub(crate) fn check_mount_label(linux: &Linux) -> Result<()> {
    let has_label = linux.mount_label().as_deref().is_some_and(|it| !it.is_empty());
    if has_label && Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(invalid(
            "config.json: mountLabel: labels of SELinux are not supported",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_root_counts_from_the_bundle_and_must_be_a_directory() {
        let bundle = tempfile::tempdir().unwrap();
        std::fs::create_dir(bundle.path().join("rootfs")).unwrap();
        std::fs::write(bundle.path().join("file"), "").unwrap();
        let planned =
            |root: &str| rootfs(&serde_json::from_str(root).unwrap(), bundle.path());
        let expected =
            Rootfs { path: bundle.path().join("rootfs"), access: Access::ReadOnly };
        let root = r#"{"path": "rootfs", "readonly": true}"#;
        assert_eq!(planned(root).unwrap(), expected);
        let absolute = format!(r#"{{"path": "{}"}}"#, expected.path.display());
        assert_eq!(planned(&absolute).unwrap().access, Access::ReadWrite);
        for root in [r#"{"path": "file"}"#, r#"{"path": "missing"}"#, r#"{"path": ""}"#]
        {
            let error = planned(root).unwrap_err().to_string();
            assert!(error.contains("root.path"), "{root}: {error}");
        }
    }

    #[test]
    fn an_unknown_propagation_is_refused() {
        let planned = |word: &str| {
            let json = format!(r#"{{"rootfsPropagation": "{word}"}}"#);
            propagation(&serde_json::from_str(&json).unwrap())
        };
        assert_eq!(planned("").unwrap(), RootPropagation::default());
        assert_ne!(planned("rshared").unwrap(), RootPropagation::default());
        assert!(planned("both").unwrap_err().to_string().contains("rootfsPropagation"));
    }
}
