//! The caller names the volumes and the root file system, so Kiste opens them with the
//! caller's rights, even where the container's root may not go.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Output;

use kiste_tests::user::{GIDS, UIDS};
use kiste_tests::{Distribution, Ran, User, host, rootfs};

use crate::{root_with_idmapped_mounts, with_ranges, without_ranges};

/// A group that only some tests' callers are in.
const GROUP: u32 = 59_911;

/// Makes `above/tmp/file`; only `owner` may enter `above`. The host has another
/// directory at the relative path `./tmp`, as seen from its root.
fn closed_directory(above: &Path, owner: (u32, u32), mode: u32) -> PathBuf {
    let source = above.join("tmp");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("file"), "ours").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    chown(above, Some(owner.0), Some(owner.1)).unwrap();
    fs::set_permissions(above, fs::Permissions::from_mode(mode)).unwrap();
    source
}

fn volume(source: impl AsRef<Path>) -> String {
    format!("{}:/mnt", source.as_ref().display())
}

const SHOW: [&str; 2] = ["cat", "/mnt/file"];

#[test]
fn with_userns_auto_volumes_that_only_the_hosts_root_can_reach_are_mounted() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    for (name, owner) in [("of-root", (0, 0)), ("of-another", (59_711, 59_811))] {
        let above = fixture.dir().join(name);
        let source = closed_directory(&above, owner, 0o700);
        let run = |volume: &str| {
            let starter = ["env", "--chdir", above.to_str().unwrap()];
            fixture.run_under(&starter, &["--userns", "auto", "-v", volume], &SHOW)
        };
        run(&volume(&source)).assert_stdout("ours");
        run("./tmp:/mnt").assert_stdout("ours");
        run("../tmp/../of-root/tmp/file:/mnt/file")
            .exits(125)
            .assert_stderr_contains("ENOENT");
        let file = volume(source.join("file")) + "/file";
        run(&file).assert_stdout("ours");
    }
}

#[test]
fn no_mount_made_in_a_container_with_such_a_volume_reaches_the_host() {
    if !rootfs::has_program("mount") {
        return;
    }
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let host = Distribution::start();
    let above = fixture.dir().join("of-another");
    let source = closed_directory(&above, (59_711, 59_811), 0o700);
    fs::create_dir(source.join("below")).unwrap();
    let before = host.mounts();
    let options = ["--userns", "auto", "-v", &volume(&source)];
    let script = "mount -t tmpfs x /mnt/below && mount -t tmpfs x /tmp && echo mounted; exec sleep 100";
    let running = host.start_in(&fixture, &options, &["sh", "-c", script]);
    kiste_tests::eventually(|| host::mount_at(running.pid, "/tmp")).unwrap();
    assert!(host::mount_at(running.pid, "/mnt/below").is_some());
    assert_eq!(host.mounts(), before);
}

#[test]
fn an_ordinary_user_reaches_volumes_below_a_directory_of_its_own() {
    for mode in ["auto", "keep-id"] {
        let Some(mut user) = with_ranges() else { return };
        let above = user.dir().join("private");
        let source = closed_directory(&above, (user.uid, user.gid), 0o700);
        let options = ["--userns", mode, "-u", "1000:1001", "-v"];
        let run = |user: &User, volume: &str| {
            user.run(&[&options[..], &[volume]].concat(), &SHOW)
        };
        run(&user, &volume(&source)).assert_stdout("ours");
        user.user_prefix =
            ["env".into(), "--chdir".into(), above.display().to_string()].into();
        run(&user, "./tmp:/mnt").assert_stdout("ours");
    }
}

/// The command does not have the caller's supplementary groups, so the volume is opened
/// before they are given up.
#[test]
fn an_ordinary_user_reaches_volumes_through_a_supplementary_group() {
    let Some(user) = with_ranges() else { return };
    let above = user.dir().join("of-group");
    let source = closed_directory(&above, (0, GROUP), 0o750);
    let options = ["-v", &volume(&source)];
    let as_member = in_groups(&user, &format!("--groups={GROUP}"), &options, &SHOW);
    assert_eq!(String::from_utf8_lossy(&as_member.stdout), "ours", "{as_member:?}");
    let as_other = in_groups(&user, "--clear-groups", &options, &SHOW);
    let stderr = String::from_utf8_lossy(&as_other.stderr);
    assert!(
        as_other.status.code() == Some(125) && stderr.contains("EACCES"),
        "{stderr}"
    );
}

/// Returns the output of a run by the user. `groups` is an option of setpriv(1).
fn in_groups(user: &User, groups: &str, options: &[&str], command: &[&str]) -> Output {
    let mut setpriv = user.beside("setpriv");
    let (uid, gid) = (format!("--reuid={}", user.uid), format!("--regid={}", user.gid));
    setpriv.args([&uid, &gid, groups]).arg(user.exe());
    setpriv.args(user.fixture().arguments(options, command)).output().unwrap()
}

#[test]
fn an_ordinary_user_reaches_a_root_file_system_as_it_reaches_volumes() {
    let Some(user) = with_ranges() else { return };
    let above = user.dir().join("of-group");
    closed_directory(&above, (0, GROUP), 0o750);
    let root = above.join("root");
    fs::rename(user.rootfs(), &root).unwrap();
    let group = format!("--groups={GROUP}");
    let uids = format!("--uid-map=0:{UIDS}:10");
    let gids = format!("--gid-map=0:{GIDS}:10");
    for options in
        [&[][..], &["--read-only"], &["--userns", "keep-id"], &[&uids, &gids]]
    {
        let rootfs = ["--rootfs", root.to_str().unwrap()];
        let options = [&rootfs[..], options].concat();
        let ran = in_groups(&user, &group, &options, &["echo", "it runs"]);
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "it runs\n", "{ran:?}");
    }
    fs::rename(&root, user.rootfs()).unwrap();
}

#[test]
fn a_missing_volume_is_reported_before_anything_is_created() {
    let assert_reported = |ran: &Ran, run_dirs: &Path| {
        ran.exits(125)
            .assert_stderr_contains("ENOENT")
            .assert_stderr_contains("must be there");
        assert!(!ran.err.contains("clone3"), "{}", ran.err);
        assert!(!run_dirs.exists());
    };
    let options = ["--explain=json", "-v", "./missing:/mnt"];
    if let Some(fixture) = root_with_idmapped_mounts() {
        let _ = fs::remove_dir(fixture.run_dirs());
        let options = [&["--userns", "auto"], &options[..]].concat();
        assert_reported(&fixture.run(&options, &SHOW), &fixture.run_dirs());
    }
    let Some(user) = without_ranges() else { return };
    let options = [&["--uid-map", "0:59711:1", "--gid-map", "0:59811:1"], &options[..]];
    assert_reported(&user.run(&options.concat(), &SHOW), &user.fixture().run_dirs());
}
