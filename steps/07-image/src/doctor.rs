//! The check of this step: overlayfs, as root or as root of a user namespace.

use std::fs;
use std::path::Path;

use anyhow::Result;
use kit::doctor::Check;
use user::Helpers;

use crate::overlay::{self, Overlay};
use crate::store::open_directory;
use crate::unpack;

/// Returns the checks of this step, which mount an overlay of directories below this
/// one.
pub fn checks(directory: &Path, helpers: &Helpers) -> Vec<Check> {
    vec![overlay_check(directory, helpers)]
}

fn overlay_check(directory: &Path, helpers: &Helpers) -> Check {
    let fix =
        "modprobe overlay as root; or a kernel from 5.14 on with CONFIG_OVERLAY_FS";
    match mount_overlay(directory, helpers) {
        Ok(found) => Check::ok("overlay", found),
        Err(error) => Check::fails("overlay", kit::Failure::of(&error), fix),
    }
}

/// Mounts an overlay of two layers, and tells which mount options this kernel takes.
fn mount_overlay(directory: &Path, helpers: &Helpers) -> Result<&'static str> {
    let place =
        tempfile::Builder::new().prefix("kiste-doctor-").tempdir_in(directory)?;
    let path = |name: &str| place.path().join(name);
    for name in ["a", "b", "c"] {
        fs::create_dir(path(name))?;
    }
    user::in_mount_namespace(helpers, || {
        overlay::make_upper(&path("c"), &path("a"), helpers)?;
        let layers = vec!["a".into(), "b".into()];
        Overlay { base: place.path().into(), layers, upper: Some("c".into()) }
            .mount()?;
        // Only root of this namespace can remove the files that overlayfs has made.
        unpack::remove(&open_directory(place.path())?, "c".as_ref())?;
        if overlay::has_lowerdir_plus()? {
            // Another process asked, and a file is its answer.
            fs::write(path("one-each"), "")?;
        }
        Ok(())
    })?;
    Ok(match path("one-each").exists() {
        true => "one was mounted, each layer by an option of its own (lowerdir+)",
        false => {
            "one was mounted, all layers by one option (lowerdir+ is from Linux 6.8 on)"
        }
    })
}
