//! A start without limits succeeds, whatever cgroups and other mounts the host has.

use std::path::Path;

use kiste_tests::{Bench, Ran, host, tool};

use crate::bench;

/// Runs the command in a new mount namespace, after the script `prepare` has changed
/// the mounts there.
fn run_after(bench: &Bench, prepare: &str, options: &[&str], command: &[&str]) -> Ran {
    let script = format!("set -e; {prepare}\nexec \"$@\"");
    let unshare = ["unshare", "-m", "--propagation", "private", "sh", "-c"];
    bench.run_by(&[&unshare[..], &[&script, "sh"]].concat(), options, command)
}

fn read_only(mount: &Path) -> String {
    format!("mount -o remount,bind,ro {}\n", mount.display())
}

#[test]
fn where_cgroups_are_read_only_a_container_without_limits_starts_with_a_warning() {
    let Some(bench) = bench().filter(|_| tool("mount")) else { return };
    let all: String =
        host::cgroup_mounts().iter().map(|mount| read_only(mount)).collect();
    for prepare in [&*all, "umount -R /sys/fs/cgroup"] {
        let ran = run_after(&bench, prepare, &["--stats"], &["echo", "it runs"]);
        ran.prints("it runs").complains("warning: no cgroups can be made here");
        let ran = run_after(&bench, prepare, &["-m", "64m"], &["echo", "it runs"]);
        ran.exits(125).complains("hint: ");
        assert!(!ran.err.contains("warning"), "{}", ran.err);
        let script = format!("{prepare}\n exec {} doctor", bench.exe().display());
        let unshare =
            ["unshare", "-m", "--propagation", "private", "sh", "-c", &script];
        let ran = bench.call_by(&unshare, std::iter::empty::<&str>());
        let checks = ran.out.lines().filter(|line| line.contains("cgroup-memory "));
        assert!(checks.clone().all(|it| it.starts_with("missing")), "{}", ran.out);
    }
}

/// The read-only hierarchy is one of several on version 1, and the only one on version
/// 2.
#[test]
fn a_read_only_hierarchy_fails_only_a_start_with_a_limit_that_needs_it() {
    let Some(bench) = bench().filter(|_| tool("mount")) else { return };
    let mounts = host::cgroup_mounts();
    let pids = mounts.iter().find(|mount| mount.ends_with("pids"));
    let hierarchy = pids.unwrap_or(&mounts[0]);
    let run = |options: &[&str]| {
        run_after(&bench, &read_only(hierarchy), options, &["echo", "it runs"])
    };
    run(&[]).prints("it runs");
    run(&["--pids-limit", "9"]).exits(125).complains("EROFS").complains("read-only");
}

/// The name is the byte 0xff, which UTF-8 never contains.
#[test]
fn a_mount_point_whose_name_is_not_utf_8_stops_neither_run_nor_doctor() {
    let Some(bench) = bench().filter(|_| tool("mount")) else { return };
    let dir = bench.dir().display();
    let prepare = format!(
        "cd {dir}; name=$(printf '\\377'); mkdir -p $name; mount -t tmpfs none $name"
    );
    for options in [&[][..], &["-m", "64m"]] {
        run_after(&bench, &prepare, options, &["echo", "it runs"]).prints("it runs");
    }
    let script = format!("{prepare}; exec {} doctor", bench.exe().display());
    let unshare = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script];
    let ran = bench.call_by(&unshare, std::iter::empty::<&str>());
    for check in ["pivot-root", "cgroup-memory"] {
        let line = ran.exits(0).out.lines().find(|line| line.contains(check));
        assert!(line.is_some_and(|line| line.starts_with("ok")), "{}", ran.out);
    }
}
