//! `--explain` narrates the start of a container of an image as strace(1) sees it.

use kiste_tests::explain;

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root, with_ranges};

/// The calls up to the mount of the overlay, which is the root file system. In step 6
/// the root file system is a directory.
const BEGIN: &str = "
    parent  clone3
    child   prctl setsid mount setgroups setresgid setresuid prctl unshare sethostname
    child   chdir fsmount fchdir move_mount
";
const ENTER: &str = "
    child   fchdir pivot_root umount2 chdir close_range execve
";

#[test]
fn explain_narrates_the_calls_for_root() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let defaults = "
        child   fsmount move_mount fsmount move_mount fsmount (mknodat)+ move_mount (fsmount move_mount)+
    ";
    let is_v2 = kiste_tests::host::cgroup_mounts().iter().any(|mount| {
        let controllers = std::fs::read_to_string(mount.join("cgroup.controllers"));
        controllers
            .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
    });
    let cgroup = match is_v2 {
        true => "child open_tree mount_setattr move_mount",
        false => {
            "child fsmount mount_setattr move_mount (open_tree mount_setattr move_mount)+"
        }
    };
    let list = [BEGIN, defaults, cgroup, ENTER].concat();
    explain::assert_narration_matches_strace(
        store.fixture(),
        &list,
        &["--image", "small:1"],
        &["true"],
    );
}

#[test]
fn explain_narrates_the_calls_for_a_user() {
    let Some(mut store) = with_ranges() else { return };
    store.import(minimal_layer(), "small:1");
    let TestStore::User(user) = &mut store else { unreachable!() };
    let defaults = "
        child   fsmount move_mount fsmount open_tree mount_setattr move_mount
        child   fsmount mknodat move_mount (open_tree move_mount)+ (fsmount move_mount)+
        child   fsmount mount_setattr move_mount
    ";
    let list = [BEGIN, defaults, ENTER].concat();
    explain::assert_narration_matches_strace_of(
        user,
        &list,
        &["--image", "small:1"],
        &["true"],
    );
}
