//! What this step needs: overlayfs, as root or as root of a user namespace.

use std::fs;

use anyhow::Result;
use kit::doctor::Check;

use crate::overlay::{self, Overlay};
use crate::store::open_directory;
use crate::unpack;

/// The checks of this step.
pub fn checks() -> Vec<Check> {
    vec![overlay_check()]
}

/// Tries it, where the temporary files are.
fn overlay_check() -> Check {
    let mend =
        "modprobe overlay as root; or a kernel from 5.14 on with CONFIG_OVERLAY_FS";
    match trial() {
        Ok(Layers::OneByOne) => Check::ok(
            "overlay",
            "one was mounted, each layer by an option of its own (lowerdir+)",
        ),
        Ok(Layers::AllAtOnce) => Check::ok(
            "overlay",
            "one was mounted, all layers by one option (lowerdir+ is from Linux 6.8 on)",
        ),
        Err(error) => Check::fails("overlay", format_args!("{error:#}"), mend),
    }
}

/// How overlayfs takes its layers.
enum Layers {
    OneByOne,
    AllAtOnce,
}

fn trial() -> Result<Layers> {
    let place = tempfile::Builder::new().prefix("kiste-doctor-").tempdir()?;
    let path = |name: &str| place.path().join(name);
    for name in ["a", "b", "c"] {
        fs::create_dir(path(name))?;
    }
    user::in_mount_namespace(|| {
        overlay::make_upper(&path("c"), &path("a"))?;
        let layers = vec!["a".into(), "b".into()];
        Overlay { base: place.path().into(), layers, upper: Some("c".into()) }
            .mount()?;
        // What overlayfs makes for itself, only root of this namespace can remove.
        unpack::remove(&open_directory(place.path())?, "c".as_ref())?;
        if overlay::has_lowerdir_plus()? {
            fs::write(path("one-by-one"), "")?; // who asks is another process
        }
        Ok(())
    })?;
    Ok(if path("one-by-one").exists() { Layers::OneByOne } else { Layers::AllAtOnce })
}
