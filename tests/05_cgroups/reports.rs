//! Reports: usage and OOM kills at the end of a run, errors without root, and doctor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use kiste_tests::require_tool;

use crate::fixture;
use crate::gc::gc;
use crate::kernel::{self, is_vm};

/// Returns the value in a line of `--stats`: `memory  16MiB at most`.
fn stat<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no line for {name}:\n{text}")).trim()
}

fn seconds(text: &str) -> f64 {
    text.split('s')
        .next()
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("seconds: {text}"))
}

fn mebibytes(text: &str) -> f64 {
    text.split("MiB")
        .next()
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("mebibytes: {text}"))
}

#[test]
fn stats_print_the_used_resources_and_the_exit_code_stays() {
    let Some(fixture) = fixture() else { return };
    let script = "dd if=/dev/zero of=/dev/shm/file bs=1M count=20 2>/dev/null; sleep 0.5 & sleep 0.5; exit 7";
    let ran = fixture.sh(&["--stats"], script);
    ran.exits(7);
    let (wall, cpu) = (seconds(stat(&ran.err, "wall")), stat(&ran.err, "cpu"));
    assert!((0.5..if is_vm() { 60.0 } else { 10.0 }).contains(&wall), "{}", ran.err);
    assert!((0.001..wall * 2.0).contains(&seconds(cpu)), "{}", ran.err);
    let [user, system] =
        ["user ", "system "].map(|kind| seconds(cpu.split(kind).nth(1).unwrap()));
    assert!(user + system <= seconds(cpu) + 0.1, "{}", ran.err);
    let memory = mebibytes(stat(&ran.err, "memory"));
    assert!((20.0..60.0).contains(&memory), "20 MiB and a little: {}", ran.err);
    // Since Linux 6.1 the kernel keeps the highest number of processes: here the shell
    // and one or two children.
    let pids = stat(&ran.err, "pids");
    assert!(
        ["2 at most", "3 at most", "not counted by this kernel here"].contains(&pids),
        "{pids}"
    );
}

/// The kernel does not count block I/O on version 1 without an I/O limit. A report of 0
/// bytes would be wrong there.
#[test]
fn stats_print_the_block_io_or_that_the_kernel_does_not_count_it() {
    let Some(fixture) = fixture() else { return };
    let write = "dd if=/dev/zero of=/file bs=1M count=4 oflag=direct 2>/dev/null && echo written";
    let ran = fixture.sh(&["--stats"], write);
    let io = stat(&ran.err, "io");
    let counted = io.split(" read, ").nth(1).is_some_and(|it| it.ends_with("written"));
    assert!(counted || io == "not counted by this kernel here", "{io}");
    // A tmpfs has no block device, and no O_DIRECT before Linux 6.6.
    let on_disk = fs::read_to_string("/proc/mounts").unwrap().lines().any(|line| {
        let mut fields = line.split(' ');
        fields.next().is_some_and(|device| device.starts_with("/dev/"))
            && fields.next() == Some("/")
    });
    let in_tmp = kiste_tests::host::mounts()
        .iter()
        .any(|line| line.split(' ').nth(4) == Some("/tmp"));
    if ran.out.contains("written") && on_disk && !in_tmp {
        assert!(!io.contains("0B written"), "4 MiB were written past the cache: {io}");
    }
}

#[test]
fn without_stats_nothing_is_printed() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.run(&[], &["true"]).err, "");
}

/// In raw mode a line feed does not return to the first column, so the lines would form
/// a staircase.
#[test]
fn the_report_comes_after_the_terminal_settings_are_restored() {
    let Some(fixture) = fixture() else { return };
    let hog = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
    let mut terminal = fixture.at_terminal(&["-t", "-m", "32m", "--stats"], &hog);
    let before = terminal.settings();
    let (code, shown) = terminal.wait_for_exit();
    assert_eq!(code, 137, "{shown}");
    assert!(shown.contains("killed: out of memory (limit 32MiB"), "{shown}");
    assert!(shown.contains("memory  ") && shown.contains("wall  "), "{shown}");
    assert_eq!(
        shown.matches('\n').count(),
        shown.matches("\r\n").count(),
        "raw: {shown:?}"
    );
    assert_eq!(terminal.settings(), before);
}

#[test]
fn without_root_the_error_is_one_clear_sentence() {
    let Some(fixture) = fixture() else { return };
    // Every user can run this copy of the program. Only rights to cgroups are missing.
    let exe = fixture.dir().join("program");
    kiste_tests::host::copy_program(fixture.exe(), &exe);
    fs::set_permissions(fixture.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let writable = fixture.dir().join("anybody's");
    fs::create_dir(&writable).unwrap();
    fs::set_permissions(&writable, fs::Permissions::from_mode(0o1777)).unwrap();
    for (run_dir, reason) in [
        (fixture.dir().join("roots"), "Permission denied"),
        (writable.join("run"), "not delegated to you"),
    ] {
        let exec_program = format!("exec {} \"$@\"", exe.display());
        let as_nobody = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "sh",
            "-c",
            &exec_program,
        ];
        let run_dir = run_dir.to_str().unwrap();
        let run = [
            "run",
            "--run-dir",
            run_dir,
            "--cgroup-parent",
            fixture.cgroup_parent(),
            "-m",
            "64m",
        ];
        let ran = fixture.call_under(&as_nobody, [&run[..], &["true"]].concat());
        ran.exits(125).assert_stderr_contains(reason).assert_stderr_contains("sudo");
        assert!(
            !ran.err.contains("panic") && ran.err.lines().count() == 2,
            "{}",
            ran.err
        );
    }
    fs::remove_dir_all(writable).unwrap();
}

/// The run exits with the command's code, even if it cannot remove the cgroup.
#[test]
fn a_run_that_cannot_remove_its_cgroup_warns_and_leaves_it_to_gc() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let unshare = ["unshare", "--mount", "--propagation=private"];
    let running =
        fixture.start_under(&unshare, &[], &["sh", "-c", "read line; exit 7"]);
    let id = kernel::id(&running);
    let namespace = format!("--mount=/proc/{}/ns/mnt", running.runtime());
    for mount in kiste_tests::host::cgroup_mounts() {
        let remount = ["mount", "-o", "remount,bind,ro", mount.to_str().unwrap()];
        let done = Command::new("nsenter").arg(&namespace).args(remount).status();
        assert!(done.expect("run nsenter, of util-linux").success());
    }
    let ran = running.end();
    ran.exits(7)
        .assert_stderr_contains("warning: ")
        .assert_stderr_contains("its cgroup stays")
        .assert_stderr_contains("EROFS")
        .assert_stderr_contains("hint: ");
    assert!(
        ran.err.contains("gc") && fixture.run_dirs().join(&id).exists(),
        "{}",
        ran.err
    );
    gc(&fixture).assert_stdout(&id);
}

/// Steps 01 to 05 need root. A script can use doctor to find out whether it is root.
#[test]
fn doctor_fails_without_root() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.call_as_nobody(["doctor"]);
    assert!(
        ran.exits(1).out.lines().any(|line| line.starts_with("FAILS   root")),
        "{}",
        ran.out
    );
}

#[test]
fn doctor_has_the_checks_of_cgroups_in_json() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.call(["doctor", "--format", "json"]);
    ran.exits(0);
    for check in [
        "v2",
        "v1",
        "memory",
        "cpu",
        "pids",
        "cpuset",
        "swap",
        "blkio-weight",
        "freeze",
        "kill",
    ] {
        assert!(
            ran.out.contains(&format!("\"cgroup-{check}\"")),
            "{check}:\n{}",
            ran.out
        );
    }
}
