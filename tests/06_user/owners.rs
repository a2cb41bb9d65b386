//! The owners of the container's files on the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiste_tests::user::{GIDS, UIDS};

use crate::kernel::{files_of_host_root, ids, owner};
use crate::{any_user, with_ranges, without_ranges};

#[test]
fn files_of_root_inside_belong_to_the_caller() {
    let Some(user) = any_user() else { return };
    user.sh(
        &[],
        "touch /made; mkdir /directory; ln -s made /link; ls -n /made | cut -d' ' -f5",
    )
    .exits(0);
    for name in ["made", "directory", "link"] {
        assert_eq!(owner(&user.rootfs().join(name)), (user.uid, user.gid), "{name}");
    }
}

#[test]
fn files_of_another_user_inside_belong_to_the_mapped_id() {
    let Some(user) = with_ranges() else { return };
    fs::set_permissions(user.rootfs(), fs::Permissions::from_mode(0o777)).unwrap();
    user.sh(&["-u", "1000:1001"], "touch /made").exits(0);
    assert_eq!(owner(&user.rootfs().join("made")), (UIDS + 999, GIDS + 1000));
    user.sh(&[], "touch /given; chown 33:34 /given").exits(0);
    assert_eq!(owner(&user.rootfs().join("given")), (UIDS + 32, GIDS + 33));
    user.sh(&[], "stat -c %u:%g /made /given").assert_stdout("1000:1001\n33:34");
}

#[test]
fn without_subordinate_ids_chown_to_another_user_fails() {
    let Some(user) = without_ranges() else { return };
    let ran = user.sh(&[], "touch /made; chown 1 /made; chgrp 1 /made");
    assert_ne!(ran.code, 0);
    assert_eq!(owner(&user.rootfs().join("made")), (user.uid, user.gid));
}

#[test]
fn no_run_leaves_a_file_that_belongs_to_the_hosts_root() {
    let Some(user) = with_ranges() else { return };
    let source = user.dir().join("source");
    fs::create_dir(&source).unwrap();
    user.chown_to_user(&source);
    let volume = format!("{}:/new/place", source.display());
    fs::remove_dir_all(user.rootfs().join("dev")).unwrap();
    fs::remove_dir_all(user.rootfs().join("sys")).unwrap();
    for options in [
        &[][..],
        &["--init"],
        &["-t"],
        &["--read-only", "--tmpfs", "/tmp"],
        &["-v", &volume, "--mount", "type=tmpfs,dst=/another/place"],
        &["-u", "nobody"],
        &["--userns", "keep-id"],
        &["--uid-map", "0:200000:100", "--gid-map", "0:300000:100"],
    ] {
        user.sh(options, "touch /made /new/place/made; mkdir -p /d/e; exit 0").exits(0);
        user.run(options, &["nosuch"]).exits(127);
    }
    let running = user.start(&[], &["sleep", "100"]);
    for tree in [user.rootfs(), &user.fixture().run_dirs(), &source] {
        assert_eq!(files_of_host_root(tree), Vec::<PathBuf>::new());
    }
    drop(running);
}

/// A set-user-ID program of root runs as root inside. Root inside is an ordinary user
/// outside.
#[test]
fn a_set_user_id_program_does_not_become_root_on_the_host() {
    let Some(user) = with_ranges() else { return };
    user.install(Path::new("/bin/sleep"), "set-user-id");
    fs::set_permissions(
        user.rootfs().join("set-user-id"),
        fs::Permissions::from_mode(0o6755),
    )
    .unwrap();
    let running = user.start(&["-u", "1000:1001"], &["/set-user-id", "100"]);
    let (real, effective) = (UIDS + 999, user.uid);
    assert_eq!(
        ids(running.pid, "Uid"),
        [real, effective, effective, effective],
        "root inside is the caller"
    );
    let (real, effective) = (GIDS + 1000, user.gid);
    assert_eq!(ids(running.pid, "Gid"), [real, effective, effective, effective]);
}

/// The host's root is not mapped, so a set-user-ID program that belongs to it has no
/// effect. Only the host's root can put such a file into a root file system.
#[test]
fn a_set_user_id_program_of_the_hosts_root_has_no_effect() {
    let Some(user) = without_ranges() else { return };
    user.install(Path::new("/bin/sleep"), "set-user-id");
    let program = user.rootfs().join("set-user-id");
    std::os::unix::fs::chown(&program, Some(0), Some(0)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    for mode in ["auto", "keep-id"] {
        let running = user.start(&["--userns", mode], &["/set-user-id", "100"]);
        assert_eq!(ids(running.pid, "Uid"), [user.uid; 4]);
        assert_eq!(ids(running.pid, "Gid"), [user.gid; 4]);
    }
}
