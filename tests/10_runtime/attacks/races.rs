//! CVE-2021-30465 and CVE-2024-45310: another container exchanges a directory of a
//! shared volume for a link while the runtime makes mount points and mounts there.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use kiste_tests::exchange::{Exchange, OTHER_USER};

use super::canary::Canary;
use crate::conformance::bundle::Bundle;

/// How often the attack is tried.
const ROUNDS: u32 = 25;

/// Makes a bundle with a shared volume, in which `target` is a directory and `link` a
/// link to `to`. The other container may exchange the two.
fn with_volume(to: &Path) -> Option<Bundle> {
    let mut bundle = Bundle::new()?;
    bundle.assert_works();
    let volume = bundle.dir().join("volume");
    fs::create_dir_all(volume.join("target")).unwrap();
    symlink(to, volume.join("link")).unwrap();
    chown(&volume, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    bundle.add_mount("/volume", "none", "volume", &["rbind"]);
    Some(bundle)
}

fn start_exchange(bundle: &Bundle) -> Exchange {
    use std::os::unix::fs::PermissionsExt;
    let volume = bundle.dir().join("volume");
    let reachable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bundle.dir(), reachable).unwrap();
    Exchange::start(&volume.join("target"), &volume.join("link"))
}

#[test]
fn a_mount_below_an_exchanged_directory_stays_in_the_root() {
    let Some(mut bundle) = with_volume(Path::new("/")) else { return };
    fs::write(bundle.rootfs().join("of-the-container"), "").unwrap();
    bundle.add_mount("/volume/target", "tmpfs", "tmpfs", &[]);
    bundle.set_script(
        "ls /of-the-container /volume > /dev/null && grep -c . /proc/self/mountinfo",
    );
    let _exchange = start_exchange(&bundle);
    let mut counts = Vec::new();
    for _ in 0..ROUNDS {
        let ran = bundle.run();
        if ran.code == 0 {
            counts.push(ran.out.trim().parse::<u32>().unwrap());
        } else {
            assert!(
                !ran.err.contains("of-the-container"),
                "the root is another: {ran:?}"
            );
        }
    }
    // If the mount had covered something else, more of the host would be seen.
    counts.sort_unstable();
    counts.dedup();
    assert!(counts.len() <= 2, "{counts:?}");
}

#[test]
fn mount_points_below_an_exchanged_directory_are_not_made_on_the_host() {
    let Some(plain) = Bundle::new() else { return };
    let canary = Canary::new(&plain);
    let Some(mut bundle) = with_volume(canary.path()) else { return };
    bundle.add_mount("/volume/target/new/directory", "tmpfs", "tmpfs", &[]);
    bundle.add_mount("/volume/target/file", "none", "config.json", &["bind"]);
    bundle.config["process"]["cwd"] = serde_json::json!("/volume/target/cwd");
    bundle.set_script("true");
    let _exchange = start_exchange(&bundle);
    for _ in 0..ROUNDS {
        let _ = bundle.run();
        canary.assert_unchanged();
    }
}

#[test]
fn masks_and_devices_below_an_exchanged_directory_stay_in_the_root() {
    let Some(plain) = Bundle::new() else { return };
    let canary = Canary::new(&plain);
    let Some(mut bundle) = with_volume(canary.path()) else { return };
    fs::write(bundle.dir().join("volume/target/file"), "x").unwrap();
    bundle.add("/linux/maskedPaths", serde_json::json!("/volume/target/file"));
    bundle.add("/linux/readonlyPaths", serde_json::json!("/volume/target"));
    bundle.add(
        "/linux/devices",
        serde_json::json!({ "path": "/volume/target/device", "type": "c", "major": 1, "minor": 3 }),
    );
    bundle.set_script("true");
    let _exchange = start_exchange(&bundle);
    for _ in 0..ROUNDS {
        let _ = bundle.run();
        canary.assert_unchanged();
    }
}
