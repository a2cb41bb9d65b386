//! `--explain` narrates the whole start, for root and for an ordinary user.

use kiste_tests::explain;

use crate::kernel::is_v2;
use crate::{alone, root, root_with_other_ids, with_ranges};

/// The mounts up to /dev, where the kernel refuses a new sysfs and device nodes.
const BORROWED: &str = "
    child   fsmount move_mount fsmount open_tree mount_setattr move_mount
    child   fsmount mknodat move_mount (open_tree move_mount)+ (fsmount move_mount)+
";
/// The empty /sys/fs/cgroup of a container without a cgroup of its own.
const NO_CGROUP: &str = "
    child   fsmount mount_setattr move_mount
";
const CGROUP_V1: &str = "
    child   fsmount mount_setattr move_mount (open_tree mount_setattr move_mount)+
";
const CGROUP_V2: &str = "
    child   open_tree mount_setattr move_mount
";
const ENTER: &str = "
    child   fchdir pivot_root umount2 chdir
";
const BECOME: &str = "
    child   setgroups setresgid setresuid prctl
";
const COMMAND: &str = "
    child   close_range execve
";

#[test]
fn the_narration_is_what_happens_for_an_ordinary_user() {
    let Some(mut user) = alone() else { return };
    let list = "
        parent  clone3
        child   prctl setsid mount open_tree setresgid setresuid prctl unshare sethostname mount_setattr move_mount
    ";
    let list = [list, BORROWED, NO_CGROUP, ENTER, COMMAND].concat();
    // With maps in the options, there is no note.
    let (uid, gid) =
        (format!("--uid-map=0:{}:1", user.uid), format!("--gid-map=0:{}:1", user.gid));
    explain::is_true_of(&mut user, &list, &["--read-only", &uid, &gid], &["true"]);
}

#[test]
fn the_narration_is_what_happens_with_subordinate_ids_and_a_user() {
    let Some(mut user) = with_ranges() else { return };
    let list = "
        parent  clone3
        child   prctl setsid mount open_tree setgroups setresgid setresuid prctl unshare sethostname move_mount
    ";
    let console = "
        child   open_tree move_mount
    ";
    let list = [list, BORROWED, NO_CGROUP, console, ENTER, BECOME, COMMAND].concat();
    explain::is_true_of(&mut user, &list, &["-u", "bin", "-t"], &["true"]);
}

#[test]
fn the_narration_is_what_happens_with_ids_of_its_own() {
    let Some(bench) = root_with_other_ids() else { return };
    let list = "
        parent  open_tree mount_setattr mount_setattr clone3 mount_setattr
        child   prctl setsid mount setgroups setresgid setresuid prctl unshare sethostname move_mount
    ";
    let cgroup = if is_v2() { CGROUP_V2 } else { CGROUP_V1 };
    let list = [list, BORROWED, cgroup, ENTER, BECOME, COMMAND].concat();
    explain::is_true(&bench, &list, &["--userns", "auto", "-u", "bin"], &["true"]);
}

#[test]
fn the_narration_is_what_happens_with_the_hosts_ids() {
    let Some(bench) = root() else { return };
    let list = "
        parent  clone3
        child   prctl setsid mount setgroups setresgid setresuid prctl unshare sethostname open_tree move_mount
        child   fsmount move_mount fsmount move_mount fsmount (mknodat)+ move_mount (fsmount move_mount)+
    ";
    let cgroup = if is_v2() { CGROUP_V2 } else { CGROUP_V1 };
    let list = [list, cgroup, ENTER, BECOME, COMMAND].concat();
    explain::is_true(&bench, &list, &["-u", "bin"], &["true"]);
}
