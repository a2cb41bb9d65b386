//! The check of this step: overlayfs, as root or as root of a user namespace.

use std::fs;
use std::path::Path;

use anyhow::Result;
use kit::doctor::Check;

use crate::overlay::{self, Overlay};
use crate::store::open_directory;
use crate::unpack;

/// Returns the checks of this step, which mount an overlay of directories below this
/// one.
pub fn checks(directory: &Path) -> Vec<Check> {
    vec![overlay_check(directory)]
}

fn overlay_check(directory: &Path) -> Check {
    let fix =
        "modprobe overlay as root; or a kernel from 5.14 on with CONFIG_OVERLAY_FS";
    match mount_overlay(directory) {
        Ok(LayerOptions::OneEach) => Check::ok(
            "overlay",
            "one was mounted, each layer by an option of its own (lowerdir+)",
        ),
        Ok(LayerOptions::OneForAll) => Check::ok(
            "overlay",
            "one was mounted, all layers by one option (lowerdir+ is from Linux 6.8 on)",
        ),
        Err(error) => Check::fails("overlay", format_args!("{error:#}"), fix),
    }
}

/// The mount options by which overlayfs takes its layers.
enum LayerOptions {
    OneEach,
    OneForAll,
}

/// Mounts an overlay of two layers, and tells which options this kernel takes.
fn mount_overlay(directory: &Path) -> Result<LayerOptions> {
    let place =
        tempfile::Builder::new().prefix("kiste-doctor-").tempdir_in(directory)?;
    let path = |name: &str| place.path().join(name);
    for name in ["a", "b", "c"] {
        fs::create_dir(path(name))?;
    }
    user::in_mount_namespace(|| {
        overlay::make_upper(&path("c"), &path("a"))?;
        let layers = vec!["a".into(), "b".into()];
        Overlay { base: place.path().into(), layers, upper: Some("c".into()) }
            .mount()?;
        // Only root of this namespace can remove the files that overlayfs has made.
        unpack::remove(&open_directory(place.path())?, "c".as_ref())?;
        if overlay::has_lowerdir_plus()? {
            // This is another process than the one that asks: a file is the answer.
            fs::write(path("one-each"), "")?;
        }
        Ok(())
    })?;
    Ok(match path("one-each").exists() {
        true => LayerOptions::OneEach,
        false => LayerOptions::OneForAll,
    })
}
