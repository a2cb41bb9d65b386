//! `--explain` narrates the whole start.

use std::path::Path;

use kiste_tests::explain;

use crate::any_user;

/// Everything up to the mounts, for an ordinary user without subordinate ids.
const BEGIN: &str = "
    parent  clone3
    child   prctl setsid mount open_tree setresgid setresuid prctl unshare sethostname
    child   mount_setattr move_mount
    child   fsmount move_mount fsmount open_tree mount_setattr move_mount
    child   fsmount mknodat move_mount (open_tree move_mount)+ (fsmount move_mount)+
    child   fsmount mount_setattr move_mount
    child   fsmount move_mount open_tree open_tree open_tree fchdir umount2 fchdir
    child   (mount_setattr move_mount)+
";
/// The read-only paths, and the masked ones: the first is a directory, and the tmpfs
/// that covers it is then cloned, as /dev/null is.
const PROTECT: &str = "
    child   (open_tree mount_setattr move_mount)+
    child   fsmount move_mount (open_tree move_mount)+
    child   fchdir pivot_root umount2 chdir
";

/// The capabilities go in three steps: none may come back, then all but the command's
/// own, and at last the one that the filter needs.
#[test]
fn explain_narrates_how_the_rights_are_given_up() {
    let Some(mut user) = any_user() else { return };
    if !user.fixture().step().has(&["time-namespace"]) {
        return;
    }
    if !Path::new("/proc/acpi").is_dir() {
        kiste_tests::report_missing(
            "proc-acpi",
            "the first masked path is no directory",
        );
        return;
    }
    let (uid, gid) =
        (format!("--uid-map=0:{}:1", user.uid), format!("--gid-map=0:{}:1", user.gid));
    let rights = "
        child   prctl prctl capset
    ";
    let confine = "capset seccomp capset execve";
    for (options, end) in [
        (&[][..], format!("child close_range {confine}")),
        (
            &["--init"],
            format!(
                "child close_range clone3 capset seccomp capset
                 grandchild prctl close_range {confine}"
            ),
        ),
        (
            &["--security-opt", "no-new-privileges"],
            "child close_range prctl seccomp execve".into(),
        ),
    ] {
        let list = [BEGIN, PROTECT, rights, &end].concat();
        let own = ["--network", "host", "--read-only", &uid, &gid];
        explain::assert_narration_matches_strace_of(
            &mut user,
            &list,
            &[&own, options].concat(),
            &["true"],
        );
    }
}
