//! `--explain` tells the whole start, of root and of one who is not root.

use kiste_tests::explain;

use crate::kernel::is_v2;
use crate::{alone, root, root_with_other_ids, with_ranges};

/// What is made inside where a new sysfs and device nodes are refused: up to /dev.
const BORROWED: &str = "
    child   fsmount move_mount fsmount open_tree mount_setattr move_mount
    child   fsmount mknodat move_mount (open_tree move_mount)+ (fsmount move_mount)+
";
/// Nothing of cgroups is delegated: an empty place.
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
fn started_by_anybody_it_is_what_happens() {
    let Some(mut user) = alone() else { return };
    let list = "
        parent  clone3
        child   prctl setsid setresgid setresuid prctl unshare sethostname mount open_tree mount_setattr move_mount
    ";
    let list = [list, BORROWED, NO_CGROUP, ENTER, COMMAND].concat();
    // Typed, so that nothing is to be noted.
    let (uid, gid) =
        (format!("--uid-map=0:{}:1", user.uid), format!("--gid-map=0:{}:1", user.gid));
    explain::is_true_of(&mut user, &list, &["--read-only", &uid, &gid], &["true"]);
}

#[test]
fn with_ranges_and_a_user_it_is_what_happens() {
    let Some(mut user) = with_ranges() else { return };
    let list = "
        parent  clone3
        child   prctl setsid setgroups setresgid setresuid prctl unshare sethostname mount open_tree move_mount
    ";
    let console = "
        child   open_tree move_mount
    ";
    let list = [list, BORROWED, NO_CGROUP, console, ENTER, BECOME, COMMAND].concat();
    explain::is_true_of(&mut user, &list, &["-u", "bin", "-t"], &["true"]);
}

#[test]
fn with_ids_of_its_own_it_is_what_happens() {
    let Some(bench) = root_with_other_ids() else { return };
    let list = "
        parent  open_tree mount_setattr clone3 mount_setattr
        child   prctl setsid setgroups setresgid setresuid prctl unshare sethostname mount move_mount
    ";
    let cgroup = if is_v2() { CGROUP_V2 } else { CGROUP_V1 };
    let list = [list, BORROWED, cgroup, ENTER, BECOME, COMMAND].concat();
    explain::is_true(&bench, &list, &["--userns", "auto", "-u", "bin"], &["true"]);
}

#[test]
fn with_the_hosts_ids_it_is_what_happens() {
    let Some(bench) = root() else { return };
    let list = "
        parent  clone3
        child   prctl setsid setgroups setresgid setresuid prctl unshare sethostname mount open_tree move_mount
        child   fsmount move_mount fsmount move_mount fsmount (mknodat)+ move_mount (fsmount move_mount)+
    ";
    let cgroup = if is_v2() { CGROUP_V2 } else { CGROUP_V1 };
    let list = [list, cgroup, ENTER, BECOME, COMMAND].concat();
    explain::is_true(&bench, &list, &["-u", "bin"], &["true"]);
}
