//! Images in which a link, or another file, stands where the runtime expects a
//! directory or a device.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::canary::Canary;
use crate::conformance::bundle::{Bundle, ID};
use crate::conformance::console::Socket;

/// Replaces a path of the root file system by a link.
fn replace(bundle: &Bundle, path: &str, target: &Path) {
    let path = bundle.rootfs().join(path);
    let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    symlink(target, path).unwrap();
}

/// Removes the mounts on /dev and below it, so that the image's own /dev is used.
fn without_dev(bundle: &mut Bundle) {
    let mounts = bundle.at("/mounts").as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
}

/// CVE-2019-19921, 2023-27561, 2023-28642, 2025-54867.
#[test]
fn proc_or_sys_that_is_a_link_is_refused() {
    let Some(bundle) =
        Bundle::of_script("cat /proc/self/status > /dev/null; ls /sys > /dev/null")
    else {
        return;
    };
    bundle.assert_works();
    let canary = Canary::new(&bundle);
    fs::create_dir_all(bundle.rootfs().join("fake/self")).unwrap();
    for path in ["proc", "sys"] {
        for target in ["/fake", "fake", "../../..", canary.path().to_str().unwrap()] {
            replace(&bundle, path, Path::new(target));
            let ran = bundle.run();
            assert_ne!(ran.code, 0, "{path} -> {target}: {ran:?}");
            bundle.assert_refused(&ran);
            canary.assert_unchanged();
        }
        fs::remove_file(bundle.rootfs().join(path)).unwrap();
        fs::create_dir(bundle.rootfs().join(path)).unwrap();
    }
}

#[test]
fn proc_that_is_a_file_is_refused() {
    let Some(bundle) = Bundle::of_script("true") else { return };
    bundle.assert_works();
    let proc = bundle.rootfs().join("proc");
    fs::remove_dir(&proc).unwrap();
    fs::write(&proc, "no directory").unwrap();
    bundle.assert_refused(&bundle.run());
}

/// CVE-2026-41579: runc removed ptmx and made links in the target.
#[test]
fn dev_that_is_a_link_changes_nothing_on_the_host() {
    let Some(mut bundle) = Bundle::of_script("true") else { return };
    bundle.assert_works();
    let canary = Canary::new(&bundle);
    fs::write(canary.path().join("ptmx"), "").unwrap();
    fs::remove_file(canary.path().join("ptmx")).unwrap();
    replace(&bundle, "dev", canary.path());
    let _ = bundle.run();
    canary.assert_unchanged();
    without_dev(&mut bundle);
    let _ = bundle.run();
    canary.assert_unchanged();
}

#[test]
fn directories_below_the_mounts_that_are_links_change_nothing_on_the_host() {
    for path in ["dev/pts", "dev/shm", "dev/mqueue", "dev/fd", "mnt", "etc"] {
        let Some(mut bundle) = Bundle::of_script("true") else { return };
        bundle.assert_works();
        let canary = Canary::new(&bundle);
        replace(&bundle, path, canary.path());
        let mounts = bundle.at("/mounts").as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/dev");
        bundle.add_mount(&format!("/{path}/made/by/runtime"), "tmpfs", "tmpfs", &[]);
        bundle.add("/linux/devices", json!({ "path": format!("/{path}/device"), "type": "c", "major": 1, "minor": 3 }));
        let _ = bundle.run();
        canary.assert_unchanged();
    }
}

/// CVE-2026-88265: crun took the image's /dev/null for the real one, reopened stdio on
/// it and changed its owner. CVE-2025-31133: runc masked paths with its target.
#[test]
fn dev_null_of_the_image_is_not_taken_for_the_real_one() {
    let script = "head -c 5 /proc/keys; head -c 5 /proc/kcore; stat -c %t:%T /dev/null";
    for is_link in [true, false] {
        let Some(mut bundle) = Bundle::of_script(script) else { return };
        bundle.assert_works();
        let canary = Canary::new(&bundle);
        without_dev(&mut bundle);
        match is_link {
            true => replace(&bundle, "dev/null", &canary.file()),
            false => {
                let _ = fs::remove_file(bundle.rootfs().join("dev/null"));
                fs::write(bundle.rootfs().join("dev/null"), "of the image").unwrap();
            }
        }
        bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        let ran = bundle.run();
        if ran.code == 0 {
            assert_eq!(ran.out, "1:3\n", "masked by the real one");
        }
        canary.assert_unchanged();
    }
}

/// CVE-2025-31133 again: the file that is masked with is a link to a file of /proc, so
/// that the "mask" is writable.
#[test]
fn a_mask_is_never_the_target_of_a_link_in_the_image() {
    let script = "readlink /dev/null; grep core_pattern /proc/self/mountinfo; :";
    let Some(mut bundle) = Bundle::of_script(script) else { return };
    bundle.assert_works();
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    without_dev(&mut bundle);
    replace(&bundle, "dev/null", Path::new("/proc/sys/kernel/core_pattern"));
    let ran = bundle.run();
    assert!(!ran.out.contains("core_pattern"), "{ran:?}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
}

/// CVE-2026-88264: crun followed /dev/console before pivot_root. CVE-2025-52565: what
/// was bound on the console was looked up by a path that the image controls.
#[test]
fn a_console_that_is_a_link_makes_no_file_on_the_host() {
    for exists in [true, false] {
        let Some(mut bundle) = Bundle::of_script("true") else { return };
        bundle.assert_works();
        let canary = Canary::new(&bundle);
        let target = if exists { canary.file() } else { canary.path().join("new") };
        without_dev(&mut bundle);
        replace(&bundle, "dev/console", &target);
        replace(&bundle, "dev/pts", canary.path());
        replace(&bundle, "dev/ptmx", &canary.file());
        bundle.config["process"]["terminal"] = json!(true);
        let path = bundle.dir().join("console");
        let socket = Socket::at(&path);
        let created = bundle.create_with(&["--console-socket", path.to_str().unwrap()]);
        canary.assert_unchanged();
        if created.code == 0 {
            let _terminal = socket.accept();
            let _ = bundle.call(&["start", ID]);
            canary.assert_unchanged();
        }
    }
}

/// A root file system whose very path is a link, or below one, is the user's choice;
/// what is inside is not.
#[test]
fn a_mount_point_that_climbs_out_of_the_root_stays_inside() {
    let Some(mut bundle) = Bundle::of_script("ls /canary /up 2> /dev/null; :") else {
        return;
    };
    bundle.assert_works();
    let canary = Canary::new(&bundle);
    replace(&bundle, "up", Path::new("../../../../../../.."));
    for to in ["/../canary/directory", "/up/../canary/directory", "../../canary/file"] {
        bundle.add_mount(to, "tmpfs", "tmpfs", &[]);
        let _ = bundle.run();
        canary.assert_unchanged();
        bundle.at("/mounts").as_array_mut().unwrap().pop();
    }
}
