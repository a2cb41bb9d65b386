//! Root's containers with ids of their own, whose root file system other users of the
//! host can reach.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use kiste_tests::Fixture;

use crate::root_with_idmapped_mounts;

const WARNING: &str = "rootfs: every user of this host can enter it";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a command at a terminal, and returns what the terminal shows.
fn on_terminal(fixture: &Fixture, options: &[&str], command: &[&str]) -> String {
    let (code, shown) = fixture.at_terminal(options, command).wait_for_exit();
    assert_eq!(code, 0, "{shown}");
    shown
}

/// Tells whether the user nobody of the host can execute a program. The shell does it:
/// setpriv(1) itself keeps root's capabilities until it executes the shell.
fn nobody_can_execute(program: &Path) -> bool {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let shell = ["sh", "-c", r#"exec "$0""#];
    let ran = Command::new("setpriv").args(nobody).args(shell).arg(program).output();
    ran.unwrap().status.success()
}

/// On a terminal, the warning comes exactly if a set-user-ID program that is made inside
/// is root's for other users.
#[test]
fn root_is_warned_that_other_users_can_reach_set_user_id_programs_made_inside() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    fixture.install("/usr/bin/id".as_ref(), "id");
    for (mode, is_exposed) in [(0o700, false), (0o755, true), (0o711, true)] {
        set_mode(fixture.dir(), mode);
        let make = ["sh", "-c", "cp /id /made; chmod 4755 /made"];
        let shown = on_terminal(&fixture, &["--userns", "auto"], &make);
        assert_eq!(shown.contains(WARNING), is_exposed, "{mode:o}: {shown}");
        let made = fixture.rootfs().join("made");
        let found = fs::metadata(&made).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o4755));
        assert_eq!(nobody_can_execute(&made), is_exposed, "{mode:o}");
        fs::remove_file(made).unwrap();
    }
    let shown = on_terminal(&fixture, &["--userns", "auto"], &["true"]);
    assert!(shown.contains("move it into a directory that only root can"), "{shown}");
    assert_eq!(fixture.run(&["--userns", "auto"], &["true"]).exits(0).err, "");
}

#[test]
fn root_is_not_warned_of_files_that_the_container_cannot_write() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    set_mode(fixture.dir(), 0o755);
    let options = ["--userns", "auto", "--read-only"];
    assert!(!on_terminal(&fixture, &options, &["true"]).contains(WARNING));
}
