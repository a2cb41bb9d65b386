//! A start without limits succeeds, whatever cgroups and other mounts the host has.

use std::path::Path;

use kiste_tests::{Fixture, Ran, host, require_tool};

use crate::fixture;

/// Runs the command in a new mount namespace, after the script `prepare` has changed
/// the mounts there.
fn run_after(
    fixture: &Fixture,
    prepare: &str,
    options: &[&str],
    command: &[&str],
) -> Ran {
    let script = format!("set -e; {prepare}\nexec \"$@\"");
    let unshare = ["unshare", "-m", "--propagation", "private", "sh", "-c"];
    fixture.run_under(&[&unshare[..], &[&script, "sh"]].concat(), options, command)
}

fn read_only(mount: &Path) -> String {
    format!("mount -o remount,bind,ro {}\n", mount.display())
}

#[test]
fn where_cgroups_are_read_only_a_container_without_limits_starts_with_a_warning() {
    let Some(fixture) = fixture().filter(|_| require_tool("mount")) else { return };
    let all: String =
        host::cgroup_mounts().iter().map(|mount| read_only(mount)).collect();
    for prepare in [&*all, "umount -R /sys/fs/cgroup"] {
        let ran = run_after(&fixture, prepare, &["--stats"], &["echo", "it runs"]);
        ran.assert_stdout("it runs")
            .assert_stderr_contains("warning: no cgroups can be made here");
        let ran = run_after(&fixture, prepare, &["-m", "64m"], &["echo", "it runs"]);
        ran.exits(125).assert_stderr_contains("hint: ");
        assert!(!ran.err.contains("warning"), "{}", ran.err);
        let script = format!("{prepare}\n exec {} doctor", fixture.exe().display());
        let unshare =
            ["unshare", "-m", "--propagation", "private", "sh", "-c", &script];
        let ran = fixture.call_under(&unshare, std::iter::empty::<&str>());
        let checks = ran.out.lines().filter(|line| line.contains("cgroup-memory "));
        assert!(checks.clone().all(|it| it.starts_with("missing")), "{}", ran.out);
    }
}

/// The read-only hierarchy is one of several on version 1, and the only one on version
/// 2.
#[test]
fn a_read_only_hierarchy_fails_only_a_start_with_a_limit_that_needs_it() {
    let Some(fixture) = fixture().filter(|_| require_tool("mount")) else { return };
    let mounts = host::cgroup_mounts();
    let pids = mounts.iter().find(|mount| mount.ends_with("pids"));
    let hierarchy = pids.unwrap_or(&mounts[0]);
    let run = |options: &[&str]| {
        run_after(&fixture, &read_only(hierarchy), options, &["echo", "it runs"])
    };
    run(&[]).assert_stdout("it runs");
    run(&["--pids-limit", "9"])
        .exits(125)
        .assert_stderr_contains("EROFS")
        .assert_stderr_contains("read-only");
}

/// The name is the byte 0xff, which UTF-8 never contains.
#[test]
fn a_mount_point_whose_name_is_not_utf_8_stops_neither_run_nor_doctor() {
    let Some(fixture) = fixture().filter(|_| require_tool("mount")) else { return };
    let dir = fixture.dir().display();
    let prepare = format!(
        "cd {dir}; name=$(printf '\\377'); mkdir -p $name; mount -t tmpfs none $name"
    );
    for options in [&[][..], &["-m", "64m"]] {
        run_after(&fixture, &prepare, options, &["echo", "it runs"])
            .assert_stdout("it runs");
    }
    let script = format!("{prepare}; exec {} doctor", fixture.exe().display());
    let unshare = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script];
    let ran = fixture.call_under(&unshare, std::iter::empty::<&str>());
    for check in ["pivot-root", "cgroup-memory"] {
        let line = ran.exits(0).out.lines().find(|line| line.contains(check));
        assert!(line.is_some_and(|line| line.starts_with("ok")), "{}", ran.out);
    }
}
