//! The container's `/`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

#[test]
fn the_command_says_hello() {
    let Some(fixture) = fixture() else { return };
    fixture.run(&[], &["/bin/echo", "Hello Docker"]).assert_stdout("Hello Docker");
    fixture.sh(&[], "echo $$; id -u").assert_stdout("1\n0");
}

#[test]
fn the_root_of_the_container_is_the_root_file_system() {
    let Some(fixture) = fixture() else { return };
    fs::write(fixture.rootfs().join("mark"), "of this root").unwrap();
    let mut names: Vec<_> = fs::read_dir(fixture.rootfs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    fixture
        .sh(&[], "cat /mark; echo; LC_ALL=C ls /")
        .assert_stdout(&format!("of this root\n{}", names.join("\n")));
}

#[test]
fn the_container_has_its_own_namespaces() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "100"]);
    for kind in ["mnt", "uts", "ipc", "pid"] {
        assert_ne!(host::namespace(running.pid, kind), host::namespace("self", kind));
    }
}

#[test]
fn the_container_has_its_own_mounts_and_no_others() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&["--tmpfs", "/tmp"], &["sleep", "100"]);
    let lines = host::mounts_of(running.pid);
    let mut points: Vec<_> = lines.iter().map(|line| host::mount_point(line)).collect();
    points.sort_unstable();
    assert_eq!(
        points,
        ["/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/proc", "/sys", "/tmp"]
    );
    let root = host::mount_at(running.pid, "/").unwrap();
    assert!(root.split(' ').nth(3).unwrap().ends_with("/rootfs"), "{root}");
}

#[test]
fn the_callers_working_directory_makes_no_difference() {
    let Some(fixture) = fixture() else { return };
    fs::write(fixture.rootfs().join("mark"), "of this root").unwrap();
    let run = |directory: &Path, rootfs: &str| {
        let starter = ["env", "-C", directory.to_str().unwrap()];
        fixture.call_under(&starter, ["run", "--rootfs", rootfs, "cat", "/mark"])
    };
    let link = fixture.dir().join("link");
    symlink(fixture.rootfs(), &link).unwrap();
    let elsewhere = fixture.dir().join("else/where");
    fs::create_dir_all(&elsewhere).unwrap();

    run(fixture.dir(), "./rootfs").assert_stdout("of this root");
    run(fixture.dir(), "rootfs/").assert_stdout("of this root");
    run(fixture.rootfs(), ".").assert_stdout("of this root");
    run(&elsewhere, "../../rootfs").assert_stdout("of this root");
    run(Path::new("/"), fixture.rootfs().to_str().unwrap())
        .assert_stdout("of this root");
    run(&elsewhere, link.to_str().unwrap()).assert_stdout("of this root");
    fixture.call(["run", "cat", "/mark"]).assert_stdout("of this root");
}

#[test]
fn without_a_root_file_system_no_command_runs() {
    let Some(fixture) = fixture() else { return };
    let marker = fixture.dir().join("ran");
    let touch = format!("touch {}", marker.display());
    fs::write(fixture.dir().join("file"), "").unwrap();
    for (rootfs, reason, hint) in [
        (
            "/nonexistent",
            "ENOENT",
            "hint: ./rootfs-fetch.sh fetches a root file system",
        ),
        ("./nonexistent", "ENOENT", "hint: ./rootfs-fetch.sh"),
        ("./file", "ENOTDIR", "hint: --rootfs names a directory"),
    ] {
        let ran = fixture.call(["run", "--rootfs", rootfs, "sh", "-c", &touch]);
        ran.exits(125).assert_stderr_contains(reason).assert_stderr_contains(hint);
    }
    assert!(!marker.exists(), "the command ran on the host's own files");
}

#[test]
fn without_the_capability_to_mount_no_command_runs() {
    let Some(fixture) = fixture() else { return };
    let starter = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    let ran = fixture.run_under(&starter, &[], &["echo", "it runs"]);
    ran.exits(125).assert_stderr_contains("EPERM").assert_stderr_contains("hint:");
    assert_eq!(ran.out, "");
}

#[test]
fn the_hosts_root_can_be_the_rootfs_and_keeps_its_mounts() {
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let before = host.mounts();
    let script = "echo /proc/[0-9]*; ls /dev/pts; readlink /dev/ptmx";
    let ran = host.run(&fixture, &["--rootfs", "/"], &["sh", "-c", script]);
    ran.assert_stdout("/proc/1\nptmx\npts/ptmx");
    assert_eq!(host.mounts(), before);
}

#[test]
fn no_mount_reaches_the_host_with_any_propagation() {
    if !rootfs::has_program("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let before = host.mounts();
    for propagation in ["private", "slave", "shared"] {
        let options = ["--propagation", propagation, "--tmpfs", "/mnt"];
        let script = "mkdir /mnt/own; mount -t tmpfs own /mnt/own && echo mounted; exec sleep 100";
        let mut running = host.start_in(&fixture, &options, &["sh", "-c", script]);
        running.wait_for("mounted");
        assert!(host::mount_at(running.pid, "/mnt/own").is_some());
        assert_eq!(
            host.mounts(),
            before,
            "while the container runs, --propagation {propagation}"
        );
        running.signal(Signal::SIGKILL);
        host::assert_exits(running.pid);
        assert_eq!(host.mounts(), before, "after kill -9, --propagation {propagation}");
    }
}

#[test]
fn later_mounts_of_the_host_in_the_rootfs_appear_inside_only_with_slave() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let point = fixture.rootfs().join("mnt");
    for (propagation, appears) in
        [("private", false), ("slave", true), ("shared", false)]
    {
        let running =
            host.start_in(&fixture, &["--propagation", propagation], &["sleep", "100"]);
        host.sh(&format!("mount -t tmpfs later {}", point.display()));
        assert_eq!(
            host::mount_at(running.pid, "/mnt").is_some(),
            appears,
            "--propagation {propagation}"
        );
        drop(running);
        host.sh(&format!("umount {}", point.display()));
    }
}

#[test]
fn twenty_containers_start_at_once_on_one_rootfs() {
    let Some(fixture) = fixture() else { return };
    let before = listing(fixture.rootfs());
    let script = "echo $$; grep -c . /proc/self/mountinfo; cat /new/file";
    fs::write(fixture.dir().join("file"), "shared").unwrap();
    let volume = format!("{}/file:/new/file", fixture.dir().display());
    let arguments = fixture.arguments(&["-v", &volume], &["sh", "-c", script]);
    let start = |_| {
        let mut command = std::process::Command::new(fixture.exe());
        command.args(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<_> = (0..20).map(start).collect();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n8\nshared");
    }
    let mut after = listing(fixture.rootfs());
    after.retain(|path, _| !path.starts_with(fixture.rootfs().join("new")));
    assert_eq!(after, before, "only the mount point is left");
    assert_eq!(fs::metadata(fixture.rootfs().join("new/file")).unwrap().len(), 0);
}

#[test]
fn files_that_the_container_writes_stay_in_the_rootfs() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&[], "echo first > /written").exits(0);
    fixture.sh(&[], "cat /written").assert_stdout("first");
    assert_eq!(
        fs::read_to_string(fixture.rootfs().join("written")).unwrap(),
        "first\n"
    );
}

#[test]
fn background_processes_end_with_the_container() {
    let Some(fixture) = fixture() else { return };
    let mut running = fixture
        .start(&[], &["sh", "-c", "cd /proc; sleep 1000 & echo started; read wait"]);
    running.wait_for("started");
    let namespace = host::namespace(running.pid, "pid");
    running.type_in("go\n");
    running.end().exits(0);
    let count_processes = || {
        let all = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let pids = all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let is_in_namespace = |pid: &String| {
            fs::read_link(format!("/proc/{pid}/ns/pid"))
                .is_ok_and(|link| link.to_str() == Some(&namespace))
        };
        pids.filter(is_in_namespace).count()
    };
    eventually(|| (count_processes() == 0).then_some(()))
        .expect("all processes of the container have ended");
}

#[test]
fn doctor_checks_the_rootfs_and_whether_pivot_root_is_possible() {
    let Some(fixture) = fixture() else { return };
    let doctor = || fixture.call(["doctor"]).exits(0).out.clone();
    let before = doctor();
    assert!(before.contains("pivot-root  / is "), "{before}");
    assert!(
        before.contains("missing rootfs") && before.contains("fix: ./rootfs-fetch.sh"),
        "{before}"
    );
    fixture.rootfs();
    assert!(doctor().contains("ok      rootfs      ./rootfs is there"), "{}", doctor());
}

#[test]
fn a_container_that_is_stopped_does_not_stop_a_runtime_without_a_terminal() {
    let Some(fixture) = fixture() else { return };
    for options in [&[][..], &["-t"]] {
        let mut options = options.to_vec();
        options.push("--init");
        let running = fixture.start_under(&["setsid"], &options, &["sleep", "300"]);
        let command = host::children(running.pid)[0];
        kill(Pid::from_raw(command), Signal::SIGSTOP).unwrap();
        let is_stopped =
            || host::status_field(command, "State").starts_with('T').then_some(());
        eventually(is_stopped).expect("it is stopped");
        running.signal(Signal::SIGTERM);
        running.end().exits(143);
    }
}

#[test]
fn the_callers_umask_does_not_change_the_modes_of_targets_that_are_made() {
    let Some(fixture) = fixture() else { return };
    let data = fixture.dir().join("data");
    fs::write(&data, "").unwrap();
    let volume = format!("{}:/made/for/file", data.display());
    fixture
        .run_under(
            &["sh", "-c", "umask 077; exec \"$0\" \"$@\""],
            &["-v", &volume, "--tmpfs", "/made/dir"],
            &["sh", "-c", "umask"],
        )
        .assert_stdout("0022");
    let mode = |path: &str| {
        let metadata = fs::metadata(fixture.rootfs().join(path)).unwrap();
        metadata.mode() & 0o7777
    };
    assert_eq!(["made", "made/for", "made/dir"].map(mode), [0o755; 3]);
    assert_eq!(mode("made/for/file"), 0o644);
}
