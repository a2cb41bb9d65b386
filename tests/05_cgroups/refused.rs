//! A limit that cannot be set is an error. The command never runs without its limit.

use std::fs;
use std::path::Path;

use kiste_tests::{Fixture, Ran, host, require_tool};

use crate::kernel::{self, HostCgroup, by_version};
use crate::{fixture, fixture_with};

const COMMAND: [&str; 2] = ["touch", "/ran"];

/// Asserts that Kiste failed with one line and a hint, and that the command did not
/// run.
#[track_caller]
fn assert_refused<'a>(fixture: &Fixture, ran: &'a Ran) -> &'a Ran {
    ran.exits(125).assert_stderr_contains("error: ").assert_stderr_contains("hint: ");
    assert!(
        !fixture.rootfs().join("ran").exists(),
        "the command ran without its limit"
    );
    assert!(!ran.err.contains("panic"), "{}", ran.err);
    assert!(ran.err.lines().count() <= 2, "one line and a hint:\n{}", ran.err);
    ran
}

/// Runs the command in a new mount namespace, after the script `prepare` has changed
/// the mounts there.
fn run_after(fixture: &Fixture, prepare: &str, options: &[&str]) -> Ran {
    let script = format!("set -e; {prepare}\nexec \"$@\"");
    fixture.run_under(
        &["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"],
        options,
        &COMMAND,
    )
}

#[test]
fn cpus_that_the_host_does_not_have_are_refused() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.run(&["--cpuset-cpus", "0,8000"], &COMMAND);
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("CPU set 0,8000")
        .assert_stderr_contains("the cgroup above has only CPUs 0")
        .assert_stderr_contains("lscpu");
}

#[test]
fn cpus_that_the_cgroup_above_does_not_have_are_refused() {
    let Some(fixture) = fixture() else { return };
    let cpus = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    // On a host with one CPU, CPU 1 does not exist at all.
    let (above, requested) = if cpus.trim() == "0" { ("0", "1") } else { ("1", "0") };
    let _above =
        HostCgroup::make(&fixture, &[("cpuset.cpus", above), ("cpuset.mems", "0")]);
    let ran = fixture.run(&["--cpuset-cpus", requested], &COMMAND);
    assert_refused(&fixture, &ran)
        .assert_stderr_contains(&format!("has only CPUs {above}"));
}

/// Only version 1 refuses this. On version 2 each level has its own limit, and the
/// lowest counts.
#[test]
fn more_cpu_time_than_the_cgroup_above_has_is_refused() {
    let Some(fixture) = fixture_with(&["cgroup-v1"]) else { return };
    let _above = HostCgroup::make(&fixture, &[("cpu.cfs_quota_us", "10000")]);
    let ran = fixture.run(&["--cpus", "0.5"], &COMMAND);
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("cpu.cfs_quota_us, 50000")
        .assert_stderr_contains("EINVAL")
        .assert_stderr_contains("above may allow less");
}

/// Only leaves may have processes.
#[test]
fn a_parent_cgroup_with_processes_cannot_enable_controllers() {
    let Some(fixture) = fixture_with(&["cgroup-v2"]) else { return };
    let above = HostCgroup::make(&fixture, &[]);
    let mut process = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    fs::write(above.paths()[0].join("cgroup.procs"), process.id().to_string()).unwrap();
    let ran = fixture.run(&["-m", "64m"], &COMMAND);
    let kind = fs::read_to_string(above.paths()[0].join("cgroup.type")).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("cgroup.subtree_control")
        .assert_stderr_contains("mkdir")
        .assert_stderr_contains("--cgroup-parent");
    assert_eq!(kind.trim(), "domain", "the cgroup above was not made threaded");
}

#[test]
fn below_a_threaded_cgroup_the_command_does_not_run() {
    let Some(fixture) = fixture_with(&["cgroup-v2"]) else { return };
    let _above = HostCgroup::make(&fixture, &[("cgroup.type", "threaded")]);
    for options in [&["-m", "64m"][..], &["--pids-limit", "9"], &["--stats"]] {
        let ran = fixture.run(options, &COMMAND);
        assert_refused(&fixture, &ran)
            .assert_stderr_contains("threaded")
            .assert_stderr_contains("--cgroup-parent");
    }
}

/// The unified hierarchy has cgroup.max.descendants, also on a hybrid host.
#[test]
fn if_no_cgroup_can_be_made_the_command_does_not_run_and_nothing_is_left() {
    let Some(fixture) = fixture() else { return };
    let _full = HostCgroup::make(&fixture, &[("cgroup.max.descendants", "0")]);
    let ran = fixture.run(&["-m", "64m"], &COMMAND);
    ran.exits(125)
        .assert_stderr_contains("mkdir(/sys/fs/cgroup")
        .assert_stderr_contains("EAGAIN");
    assert!(!fixture.rootfs().join("ran").exists());
}

#[test]
fn the_error_for_read_only_cgroups_has_their_path_and_a_hint() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let read_only =
        |mount: &Path| format!("mount -o remount,bind,ro {}", mount.display());
    let all: Vec<_> =
        host::cgroup_mounts().iter().map(|mount| read_only(mount)).collect();
    let ran = run_after(&fixture, &all.join("\n"), &["-m", "64m"]);
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("mkdir(/sys/fs/cgroup")
        .assert_stderr_contains("EROFS")
        .assert_stderr_contains("read-only");
}

/// The fixture checks that the cgroups in the other hierarchies are removed again.
#[test]
fn a_read_only_hierarchy_fails_the_start_and_the_other_hierarchies_are_cleaned_up() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture_with(&["cgroup-v1"]) else { return };
    let memory = "mount -o remount,bind,ro /sys/fs/cgroup/memory";
    let ran = run_after(&fixture, memory, &["-m", "64m"]);
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("/memory/")
        .assert_stderr_contains("EROFS");
}

#[test]
fn the_error_for_a_controller_that_no_hierarchy_has_names_it_and_has_a_hint() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture_with(&["cgroup-v1"]) else { return };
    for (controller, limit) in [
        ("memory", ["-m", "64m"]),
        ("pids", ["--pids-limit", "9"]),
        ("cpu", ["--cpus", "1"]),
    ] {
        let unmount = format!("umount /sys/fs/cgroup/{controller}");
        let ran = run_after(&fixture, &unmount, &limit);
        assert_refused(&fixture, &ran)
            .assert_stderr_contains(&format!(
                "no hierarchy has the {controller} controller"
            ))
            .assert_stderr_contains("boot");
    }
    // Without a limit the controller is not needed.
    run_after(&fixture, "umount /sys/fs/cgroup/memory", &[]).exits(0);
}

#[test]
fn without_any_cgroup_file_system_a_limit_is_refused() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let ran = run_after(&fixture, "umount -R /sys/fs/cgroup", &["-m", "64m"]);
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("no cgroup file system is mounted")
        .assert_stderr_contains("mount -t cgroup2");
}

#[test]
fn the_error_for_a_file_that_this_kernel_does_not_have_names_its_controller() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture_with(&["cgroup-v1"]) else { return };
    // An empty tmpfs in place of the parent looks like a kernel without the file.
    let hierarchy = by_version("/sys/fs/cgroup", "/sys/fs/cgroup/memory");
    let hide = format!(
        "mkdir {hierarchy}/{0}; mount -t tmpfs none {hierarchy}/{0}",
        fixture.cgroup_parent()
    );
    let ran = run_after(&fixture, &hide, &["-m", "64m"]);
    let _ = fs::remove_dir(Path::new(hierarchy).join(fixture.cgroup_parent()));
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("memory limit: the memory controller")
        .assert_stderr_contains("memory.limit_in_bytes");
}

/// The limit can be set, but it is too low for the start.
#[test]
fn the_error_for_a_memory_limit_that_is_too_low_for_the_start_has_a_hint() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.run(&["-m", "4k"], &COMMAND);
    ran.exits(125)
        .assert_stderr_contains("out of memory (limit 4KiB")
        .assert_stderr_contains("raise the memory limit");
    assert!(!fixture.rootfs().join("ran").exists());
    assert_eq!(
        kernel::in_each(fixture.cgroup_parent()),
        Vec::<std::path::PathBuf>::new()
    );
}

/// Each missing level of the parent is noted with its whole path, for `gc`.
#[test]
fn a_parent_with_so_many_levels_that_gc_could_not_read_the_note_is_refused() {
    let Some(fixture) = fixture() else { return };
    let parent = format!("{}{}", fixture.cgroup_parent(), "/level".repeat(300));
    let ran = fixture.run(&["--cgroup-parent", &parent], &COMMAND);
    assert_refused(&fixture, &ran)
        .assert_stderr_contains("a note longer than 65536 bytes")
        .assert_stderr_contains("--cgroup-parent: fewer levels");
}
