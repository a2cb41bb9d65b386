//! `--explain` tells the start of a container of an image, as strace(1) sees it.

use kiste_tests::explain;

use crate::shop::{Shop, root, with_ranges};
use crate::tiny::tiny;

/// From the names of the layers on: the overlay takes the place of the directory of
/// step 6.
const BEGIN: &str = "
    parent  clone3
    child   prctl setsid setgroups setresgid setresuid prctl unshare sethostname mount
    child   chdir fsmount fchdir move_mount
";
const ENTER: &str = "
    child   fchdir pivot_root umount2 chdir close_range execve
";

#[test]
fn of_root_it_is_what_happens() {
    let Some(shop) = root() else { return };
    shop.import(tiny(), "small:1");
    let furniture = "
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
    let list = [BEGIN, furniture, cgroup, ENTER].concat();
    explain::is_true(shop.bench(), &list, &["--image", "small:1"], &["true"]);
}

#[test]
fn of_a_user_it_is_what_happens() {
    let Some(mut shop) = with_ranges() else { return };
    shop.import(tiny(), "small:1");
    let Shop::User(user) = &mut shop else { unreachable!() };
    let furniture = "
        child   fsmount move_mount fsmount open_tree mount_setattr move_mount
        child   fsmount mknodat move_mount (open_tree move_mount)+ (fsmount move_mount)+
        child   fsmount mount_setattr move_mount
    ";
    let list = [BEGIN, furniture, ENTER].concat();
    explain::is_true_of(user, &list, &["--image", "small:1"], &["true"]);
}
