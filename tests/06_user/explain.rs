//! `--explain` narrates the whole start, for root and for an ordinary user.

use kiste_tests::explain;

use crate::kernel::is_v2;
use crate::{root, root_with_idmapped_mounts, with_ranges, without_ranges};

/// The calls that mount /, /proc, /sys and /dev. In a user namespace the kernel refuses
/// a new sysfs and new device nodes.
const MOUNTS_WITHOUT_ROOT: &str = "
    child   fsmount move_mount fsmount open_tree mount_setattr move_mount
    child   fsmount mknodat move_mount (open_tree move_mount)+ (fsmount move_mount)+
";
/// The calls that mount an empty /sys/fs/cgroup, for a container without its own
/// cgroup.
const NO_CGROUP: &str = "
    child   fsmount mount_setattr move_mount
";
const CGROUP_V1: &str = "
    child   fsmount mount_setattr move_mount (open_tree mount_setattr move_mount)+
";
const CGROUP_V2: &str = "
    child   open_tree mount_setattr move_mount
";
const ENTER_ROOT: &str = "
    child   fchdir pivot_root umount2 chdir
";
const BECOME_USER: &str = "
    child   setgroups setresgid setresuid prctl
";
const COMMAND: &str = "
    child   close_range execve
";

#[test]
fn explain_narrates_the_calls_for_an_ordinary_user() {
    let Some(mut user) = without_ranges() else { return };
    let list = "
        parent  clone3
        child   prctl setsid mount open_tree setresgid setresuid prctl unshare sethostname mount_setattr move_mount
    ";
    let list = [list, MOUNTS_WITHOUT_ROOT, NO_CGROUP, ENTER_ROOT, COMMAND].concat();
    // With maps in the options, there is no note.
    let (uid, gid) =
        (format!("--uid-map=0:{}:1", user.uid), format!("--gid-map=0:{}:1", user.gid));
    explain::assert_narration_matches_strace_of(
        &mut user,
        &list,
        &["--read-only", &uid, &gid],
        &["true"],
    );
}

#[test]
fn explain_narrates_the_calls_with_subordinate_ids_and_a_user() {
    let Some(mut user) = with_ranges() else { return };
    let list = "
        parent  clone3
        child   prctl setsid mount open_tree setgroups setresgid setresuid prctl unshare sethostname move_mount
    ";
    let console = "
        child   open_tree move_mount
    ";
    let list = [
        list,
        MOUNTS_WITHOUT_ROOT,
        NO_CGROUP,
        console,
        ENTER_ROOT,
        BECOME_USER,
        COMMAND,
    ]
    .concat();
    explain::assert_narration_matches_strace_of(
        &mut user,
        &list,
        &["-u", "bin", "-t"],
        &["true"],
    );
}

#[test]
fn explain_narrates_the_calls_with_userns_auto() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let list = "
        parent  open_tree mount_setattr mount_setattr clone3 mount_setattr
        child   prctl setsid mount setgroups setresgid setresuid prctl unshare sethostname move_mount
    ";
    let cgroup = if is_v2() { CGROUP_V2 } else { CGROUP_V1 };
    let list =
        [list, MOUNTS_WITHOUT_ROOT, cgroup, ENTER_ROOT, BECOME_USER, COMMAND].concat();
    explain::assert_narration_matches_strace(
        &fixture,
        &list,
        &["--userns", "auto", "-u", "bin"],
        &["true"],
    );
}

#[test]
fn explain_narrates_the_calls_with_the_hosts_ids() {
    let Some(fixture) = root() else { return };
    let list = "
        parent  clone3
        child   prctl setsid mount setgroups setresgid setresuid prctl unshare sethostname open_tree move_mount
        child   fsmount move_mount fsmount move_mount fsmount (mknodat)+ move_mount (fsmount move_mount)+
    ";
    let cgroup = if is_v2() { CGROUP_V2 } else { CGROUP_V1 };
    let list = [list, cgroup, ENTER_ROOT, BECOME_USER, COMMAND].concat();
    explain::assert_narration_matches_strace(
        &fixture,
        &list,
        &["-u", "bin"],
        &["true"],
    );
}
