//! The checks of this step: overlayfs, as root or as root of a user namespace, and the
//! file system of the store.

use std::fs;
use std::path::Path;

use anyhow::Result;
use kit::doctor::Check;
use rustix::fs::statfs;
use rustix::process::geteuid;
use rustix::system::uname;
use user::Helpers;

use crate::args::default_store;
use crate::overlay::{self, Overlay};
use crate::store::open_directory;
use crate::unpack;

/// Returns the checks of this step. They mount an overlay of directories that they make
/// in `directory`.
pub fn checks(directory: &Path, helpers: &Helpers) -> Vec<Check> {
    let store = default_store().map(|store| store_check(&store));
    let idmapped = geteuid().is_root().then(idmapped_check);
    [Some(overlay_check(directory, helpers)), store.ok(), idmapped]
        .into_iter()
        .flatten()
        .collect()
}

/// OVERLAYFS_SUPER_MAGIC (linux/magic.h).
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// Checks the file system of the store, which need not exist yet. The directory to
/// which a container writes (upperdir) cannot be on an overlay itself.
fn store_check(store: &Path) -> Check {
    let existing = store.ancestors().find(|path| path.exists()).unwrap_or(store);
    let is_overlay =
        statfs(existing).is_ok_and(|it| it.f_type as u64 == OVERLAYFS_MAGIC);
    let place = store.display();
    match is_overlay {
        true => Check::missing(
            "store",
            format_args!(
                "{place} is on an overlay, as in a container: no other is mounted there"
            ),
            "--store DIR on another file system: ext4, xfs, btrfs or tmpfs",
        ),
        false => Check::ok("store", format_args!("{place} is on no overlay")),
    }
}

/// The first kernel whose overlays take layers with mapped owners.
const IDMAPPED_LAYERS: (u32, u32) = (5, 19);

/// Checks whether root can run an image with `--userns auto`.
fn idmapped_check() -> Check {
    let release = uname().release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= IDMAPPED_LAYERS {
        return Check::ok("overlay-idmapped", format_args!("Linux {release}"));
    }
    let found =
        format_args!("Linux {release}: no image runs with --userns auto as root");
    let fix = "a kernel from 5.19 on; or run it as an ordinary user";
    Check::missing("overlay-idmapped", found, fix)
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
            // This is another process, which answers by a file.
            fs::write(path("has-lowerdir-plus"), "")?;
        }
        Ok(())
    })?;
    Ok(match path("has-lowerdir-plus").exists() {
        true => "one was mounted, each layer by an option of its own (lowerdir+)",
        false => {
            "one was mounted, all layers by one option (lowerdir+ is from Linux 6.8 on)"
        }
    })
}
