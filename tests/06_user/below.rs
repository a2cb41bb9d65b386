//! The features of the steps below also work without root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kiste_tests::{User, eventually, host};
use nix::sys::signal::Signal;

use crate::kernel::owner;
use crate::{any_user, with_ranges, without_ranges};

#[test]
fn every_option_of_the_steps_below_works_without_root() {
    let Some(user) = any_user() else { return };
    let source = user.dir().join("source");
    fs::create_dir(&source).unwrap();
    user.chown_to_user(&source);
    let volume = format!("{}:/volume", source.display());
    let pid_file = user.dir().join("pid");
    let options = [
        "-e",
        "A=1",
        "-w",
        "/usr",
        "--pid-file",
        pid_file.to_str().unwrap(),
        "--hostname",
        "crate",
        "--domainname",
        "example.org",
        "--init",
        "--propagation",
        "shared",
        "-v",
        &volume,
        "--mount",
        "type=tmpfs,dst=/mount",
        "--tmpfs",
        "/memory",
        "--read-only",
        "-t",
    ];
    let script = "echo $A $PWD; uname -n; cat /proc/sys/kernel/domainname; [ $$ = 1 ] || echo not PID 1; \
                  for at in volume mount memory; do touch /$at/new && grep -c \" /$at \" /proc/self/mountinfo; done; \
                  grep -q ' shared:' /proc/self/mountinfo && echo shared; \
                  touch /new 2>/dev/null || echo read-only; : </dev/tty";
    let ran = user.sh(&options, script);
    let lines = "1 /usr\ncrate\nexample.org\nnot PID 1\n1\n1\n1\nshared\nread-only\n";
    assert_eq!(ran.exits(0).out.replace("\r\n", "\n"), lines);
    assert_eq!(owner(&source.join("new")), (user.uid, user.gid));
}

#[test]
fn the_command_is_pid_1_in_its_own_namespaces() {
    let Some(user) = any_user() else { return };
    let running = user.start(&["--hostname", "crate"], &["sleep", "100"]);
    let own = host::own_namespaces(running.pid);
    assert_eq!(own, ["cgroup", "ipc", "mnt", "pid", "user", "uts"]);
    assert!(
        host::status_field(running.pid, "NSpid").ends_with("\t1"),
        "{}",
        host::status_field(running.pid, "NSpid")
    );
    drop(running);
    user.sh(&[], "echo $$ /proc/[0-9]*").assert_stdout("1 /proc/1");
}

#[test]
fn only_devices_and_a_read_only_sys_are_mounted_from_the_host() {
    let Some(user) = any_user() else { return };
    let running = user.start(&[], &["sleep", "100"]);
    let mounts = host::mounts_of(running.pid);
    for line in &mounts {
        let (point, options) =
            (host::mount_point(line), line.split(' ').nth(5).unwrap());
        let is_own = ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]
            .contains(&point);
        let devices = ["null", "zero", "full", "random", "urandom", "tty"];
        let is_device =
            point.strip_prefix("/dev/").is_some_and(|name| devices.contains(&name));
        let is_sys = point == "/sys" || point.starts_with("/sys/");
        assert!(is_own || is_device || is_sys, "{line}");
        assert!(!is_sys || options.split(',').any(|option| option == "ro"), "{line}");
    }
    let root = host::mount_at(running.pid, "/").unwrap();
    assert!(root.split(' ').nth(3).unwrap().ends_with("/rootfs"), "{root}");
}

#[test]
fn the_devices_work() {
    let Some(user) = any_user() else { return };
    let script = "echo gone > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; \
                  head -c 3 /dev/random | wc -c; cat /dev/null; { echo to stdout > /dev/stdout; } | cat; \
                  { echo to stderr > /dev/stderr; } 2>&1 | cat; ls /dev/fd/0; stat -c %t:%T /dev/null /dev/tty; \
                  echo shared > /dev/shm/x; dd if=/dev/zero of=/dev/full bs=1 count=1";
    let ran = user.sh(&[], script);
    ran.assert_stderr_contains("No space left on device");
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words, "3 3 3 to stdout to stderr /dev/fd/0 1:3 5:0");
}

#[test]
fn every_user_can_use_the_devices() {
    let Some(user) = with_ranges() else { return };
    let script = "echo gone > /dev/null && head -c 3 /dev/zero | wc -c && echo > /dev/shm/x && ls /dev/shm";
    user.sh(&["-u", "nobody"], script).assert_stdout("3\nx");
    let ran = user
        .sh(&["-u", "nobody"], "rm /dev/null || rm -r /proc/1/x || echo > /dev/made");
    assert_ne!(ran.code, 0);
    let ran = user.sh(&[], "mknod /dev/disk b 8 0 || mknod /disk b 8 0");
    assert_ne!(ran.code, 0);
}

#[test]
fn sys_can_be_read_and_not_written() {
    let Some(user) = any_user() else { return };
    let ran = user
        .sh(&[], "ls /sys/kernel > /dev/null && echo read; mkdir /sys/fs/x; echo 1 > /sys/kernel/profiling");
    assert_eq!((ran.out.as_str(), ran.code == 0), ("read\n", false));
    ran.assert_stderr_contains("Read-only file system");
}

#[test]
fn a_volume_can_be_read_only_if_its_mount_is_nosuid_or_nodev() {
    let Some(user) = any_user() else { return };
    // The host's mount is nosuid and nodev. A bind mount in a user namespace must keep
    // both.
    let ran = user.sh(&["-v", "/dev/shm:/mnt:ro"], "touch /mnt/new || echo refused");
    assert_eq!(ran.exits(0).out, "refused\n");
    let ran =
        user.sh(&["-v", "/proc/version:/mnt/version:ro"], "cut -d' ' -f1 /mnt/version");
    assert_eq!(ran.exits(0).out, "Linux\n");
}

#[test]
fn run_exits_with_the_status_of_the_command() {
    let Some(user) = any_user() else { return };
    for init in [&[][..], &["--init"]] {
        user.sh(init, "exit 7").exits(7);
        user.run(init, &["nosuch"]).exits(127).assert_stderr_contains("nosuch");
        user.run(init, &["/etc/passwd"])
            .exits(126)
            .assert_stderr_contains("/etc/passwd");
    }
    user.sh(&["--init"], "kill -9 $$").exits(137);
    user.run(&["--rootfs", "/nonexistent"], &["true"])
        .exits(125)
        .assert_stderr_contains("/nonexistent");
    user.run(&["-v", "/nonexistent:/mnt"], &["true"])
        .exits(125)
        .assert_stderr_contains("/nonexistent");
    user.run(&["-w", "/nonexistent/.."], &["true"])
        .exits(125)
        .assert_stderr_contains("/nonexistent");
    user.run(&["-w", "/new/dir"], &["pwd"]).assert_stdout("/new/dir");
    assert!(!user.fixture().run_dirs().exists(), "no run directory is left");
}

#[test]
fn signals_reach_the_command() {
    let Some(user) = with_ranges() else { return };
    for options in [&[][..], &["-u", "bin"], &["-u", "bin", "--init"]] {
        let handle = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
        let mut running = user.start(options, &["sh", "-c", handle]);
        running.wait_for("ready");
        running.signal(Signal::SIGTERM);
        running.end().exits(9);
    }
}

/// A change of ids clears PDEATHSIG, so the child sets it again after the last change.
#[test]
fn when_the_runtime_is_killed_all_processes_die() {
    let Some(user) = with_ranges() else { return };
    for options in [
        &[][..],
        &["-u", "bin"],
        &["-u", "bin", "--init"],
        &["--userns", "keep-id"],
        &["--userns=keep-id", "-u=0"],
    ] {
        let script =
            "setsid sleep 100 </dev/null >/dev/null 2>&1 & echo ready; exec sleep 100";
        let mut running = user.start(options, &["sh", "-c", script]);
        running.wait_for("ready");
        let namespace = host::namespace(running.pid, "pid");
        running.kill_runtime();
        let all_have_died =
            || host::processes_in("pid", &namespace).is_empty().then_some(());
        eventually(all_have_died)
            .unwrap_or_else(|| panic!("{options:?}: all die with the runtime"));
        let ran =
            user.call(["gc", "--run-dir", user.fixture().run_dirs().to_str().unwrap()]);
        assert_eq!(ran.exits(0).out.lines().count(), 1, "{ran:?}");
        assert!(!user.fixture().run_dirs().exists());
    }
}

#[test]
fn as_root_when_the_runtime_is_killed_the_users_processes_die() {
    let Some(fixture) = crate::root_with_idmapped_mounts() else { return };
    for options in
        [&["-u", "bin"][..], &["--userns", "auto"], &["--userns", "auto", "-u", "bin"]]
    {
        let running = fixture.start(options, &["sleep", "100"]);
        let pid = running.pid;
        running.kill_runtime();
        host::assert_exits(pid);
        fixture
            .call(["gc", "--run-dir", fixture.run_dirs().to_str().unwrap()])
            .exits(0);
    }
}

/// Runs a script in a container, without the option --run-dir. The script sees the
/// user's directory as /host.
fn run_without_run_dir_option(
    user: &mut User,
    env: &[&str],
    script: &str,
) -> kiste_tests::Ran {
    user.user_prefix = [&["env", "-u", "XDG_RUNTIME_DIR"], env]
        .concat()
        .into_iter()
        .map(String::from)
        .collect();
    let volume = format!("{}:/host", user.dir().display());
    let rootfs = user.rootfs().to_str().unwrap().to_owned();
    user.call(["run", "--rootfs", &rootfs, "-v", &volume, "sh", "-c", script])
}

#[test]
fn the_run_directory_belongs_to_the_user() {
    let Some(mut user) = without_ranges() else { return };
    let dir = user.dir().to_path_buf();
    let (xdg, tmp) = (
        format!("XDG_RUNTIME_DIR={}", dir.display()),
        format!("TMPDIR={}", dir.display()),
    );
    for (env, name) in [
        (&[&*xdg, "TMPDIR=/nonexistent"][..], "kiste".to_owned()),
        (&[&*tmp], format!("kiste-run-{}", user.uid)),
        (&[&*tmp, "XDG_RUNTIME_DIR="], format!("kiste-run-{}", user.uid)),
    ] {
        let script = format!(
            "[ \"$(ls /host/{name})\" = \"$(hostname)\" ] && echo there; stat -c %a /host/{name}"
        );
        let ran = run_without_run_dir_option(&mut user, env, &script);
        assert_eq!(ran.exits(0).out, "there\n1700\n", "{env:?}");
        assert!(!dir.join(name).exists(), "{env:?}: no run directory is left");
    }
}

/// Every user can make a directory in /tmp. `gc` must not kill or remove containers
/// because another user's directory lists them.
#[test]
fn a_run_directory_of_another_user_is_refused() {
    let Some(mut user) = without_ranges() else { return };
    let tmp = format!("TMPDIR={}", user.dir().display());
    let run_dir = user.dir().join(format!("kiste-run-{}", user.uid));
    fs::create_dir(&run_dir).unwrap();
    for (mode, uid, what) in [
        (0o700, 59_712, "Permission denied"),
        (0o777, 59_712, "belongs to uid 59712"),
        (0o755, 0, ""),
    ] {
        std::os::unix::fs::chown(&run_dir, Some(uid), None).unwrap();
        fs::set_permissions(&run_dir, fs::Permissions::from_mode(mode)).unwrap();
        let ran = run_without_run_dir_option(&mut user, &[&tmp], "echo it runs");
        ran.exits(125)
            .assert_stderr_contains(what)
            .assert_stderr_contains("kiste-run-");
        assert!(ran.out.is_empty() && !ran.err.contains("sudo") || uid == 0, "{ran:?}");
        // Kiste then uses a directory in the user's home, where no other user can
        // create files.
        let home = user.dir().join("home");
        let _ = fs::create_dir(&home);
        user.chown_to_user(&home);
        let env = [&*tmp, &format!("HOME={}", home.display())];
        let script = "[ \"$(ls /host/home/.local/state/kiste)\" = \"$(hostname)\" ] && stat -c %a /host/home/.local /host/home/.local/state/kiste";
        run_without_run_dir_option(&mut user, &env, script).assert_stdout("700\n1700");
        assert!(!home.join(".local/state/kiste").exists(), "nothing is left");
    }
    user.chown_to_user(&run_dir);
    fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o777)).unwrap();
    let ran = run_without_run_dir_option(&mut user, &[&tmp], "echo it runs");
    ran.exits(125).assert_stderr_contains("others can write to");
    assert_eq!(fs::read_dir(&run_dir).unwrap().count(), 0);
}

#[test]
fn a_directory_that_the_user_cannot_write_to_is_named() {
    let Some(user) = without_ranges() else { return };
    let theirs = user.dir().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o555)).unwrap();
    let run_dir = theirs.join("nowhere");
    let run_dir = run_dir.to_str().unwrap();
    user.call(["run", "--run-dir", run_dir, "--rootfs", "rootfs", "true"])
        .exits(125)
        .assert_stderr_contains(run_dir)
        .assert_stderr_contains("EACCES");
    assert!(!Path::new(run_dir).exists());
}
