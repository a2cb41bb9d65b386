//! /proc, /sys and /dev.

use std::os::unix::fs::FileTypeExt;

use super::*;

/// Returns the options of a mount in the container, the type of its file system, and
/// the options of the file system: `rw,nosuid tmpfs size=64k`.
fn describe_mount(pid: i32, point: &str) -> String {
    let line =
        host::mount_at(pid, point).unwrap_or_else(|| panic!("{point} is mounted"));
    let (mount, file_system) = line.split_once(" - ").unwrap();
    let words: Vec<&str> = file_system.split(' ').collect();
    format!(
        "{} {} {}",
        mount.split(' ').nth(5).unwrap(),
        words[0],
        words[2].trim_end_matches(",inode64")
    )
}

#[test]
fn proc_shows_only_the_processes_of_the_container() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&[], "echo /proc/[0-9]*").assert_stdout("/proc/1");
}

#[test]
fn each_default_mount_has_its_attributes() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "100"]);
    for (point, mount) in [
        ("/proc", "rw,nosuid,nodev,noexec,relatime proc rw"),
        ("/sys", "ro,nosuid,nodev,noexec,relatime sysfs rw"),
        ("/dev", "rw,nosuid,noexec,relatime tmpfs rw,size=64k,mode=755"),
        ("/dev/pts", "rw,nosuid,noexec,relatime devpts rw,gid=5,mode=620,ptmxmode=666"),
        ("/dev/shm", "rw,nosuid,nodev,noexec,relatime tmpfs rw,size=65536k"),
        ("/dev/mqueue", "rw,nosuid,nodev,noexec,relatime mqueue rw"),
    ] {
        assert_eq!(describe_mount(running.pid, point), mount, "{point}");
    }
}

#[test]
fn sys_can_be_read_and_not_written() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&[], "ls /sys").exits(0);
    let ran = fixture.sh(&[], "echo 1 > /sys/kernel/profiling; mkdir /sys/fs/x");
    ran.assert_stderr_contains("Read-only file system");
    assert_ne!(ran.code, 0);
}

#[test]
fn dev_has_these_devices_and_links_and_nothing_else() {
    let Some(fixture) = fixture() else { return };
    // The caller's umask must make no difference.
    let (mut runtime, pid) = {
        let pid_file = fixture.dir().join("pid");
        let arguments = fixture
            .arguments(&["--pid-file", pid_file.to_str().unwrap()], &["sleep", "100"]);
        let child = std::process::Command::new("sh")
            .args(["-c", "umask 077; exec \"$@\"", "sh"])
            .arg(fixture.exe())
            .args(arguments)
            .spawn()
            .unwrap();
        let pid: Option<i32> =
            eventually(|| fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
        (child, pid.expect("the container runs"))
    };
    let dev = PathBuf::from(format!("/proc/{pid}/root/dev"));
    let describe = |path: PathBuf| {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let (mode, number) = (metadata.mode() & 0o7777, metadata.rdev());
        match fs::read_link(&path) {
            Ok(link) => format!("-> {}", link.display()),
            _ if metadata.is_dir() => format!("dir {mode:o}"),
            _ => {
                assert!(metadata.file_type().is_char_device(), "{}", path.display());
                format!(
                    "c {}:{} {mode:o} {}:{}",
                    number >> 8,
                    number & 0xff,
                    metadata.uid(),
                    metadata.gid()
                )
            }
        }
    };
    let name =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut found: Vec<String> = fs::read_dir(dev)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| format!("{} {}", name(&path), describe(path.clone())))
        .collect();
    found.sort();
    runtime.kill().unwrap();
    runtime.wait().unwrap();
    let expected = [
        "fd -> /proc/self/fd",
        "full c 1:7 666 0:0",
        "mqueue dir 1777",
        "null c 1:3 666 0:0",
        "ptmx -> pts/ptmx",
        "pts dir 755",
        "random c 1:8 666 0:0",
        "shm dir 1777",
        "stderr -> /proc/self/fd/2",
        "stdin -> /proc/self/fd/0",
        "stdout -> /proc/self/fd/1",
        "tty c 5:0 666 0:0",
        "urandom c 1:9 666 0:0",
        "zero c 1:5 666 0:0",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_devices_work() {
    let Some(fixture) = fixture() else { return };
    let script = "echo gone > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; \
                  cat /dev/null; echo to stdout > /dev/stdout; echo to stderr > /dev/stderr; ls /dev/fd/0; \
                  dd if=/dev/zero of=/dev/full bs=1 count=1";
    let ran = fixture.sh(&[], script);
    ran.assert_stderr_contains("to stderr")
        .assert_stderr_contains("No space left on device");
    assert_eq!(
        ran.out.split_whitespace().collect::<Vec<_>>(),
        ["3", "3", "to", "stdout", "/dev/fd/0"]
    );
}

#[test]
fn dev_shm_is_not_the_hosts_and_has_64_mib() {
    let Some(fixture) = fixture() else { return };
    fixture
        .sh(&[], "head -c 67000000 /dev/zero > /dev/shm/x && ls /dev/shm")
        .assert_stdout("x");
    fixture
        .sh(&[], "head -c 68000000 /dev/zero > /dev/shm/x; wc -c < /dev/shm/x")
        .assert_stdout("67108864");
    fixture.sh(&[], "ls /dev/shm").assert_stdout("");
}

#[test]
fn dev_shm_has_the_requested_size() {
    let Some(fixture) = fixture() else { return };
    for (size, bytes) in [("1m", 1 << 20), ("8192", 8192), ("1Mi", 1 << 20)] {
        let script = "cat /dev/zero > /dev/shm/x; wc -c < /dev/shm/x";
        fixture
            .sh(&["--shm-size", size], script)
            .assert_stdout(&bytes.to_string())
            .assert_stderr_contains("No space left on device");
    }
    for (size, why) in [("0", "greater than 0"), ("big", "a size is a number")] {
        fixture
            .run(&["--shm-size", size], &["true"])
            .exits(2)
            .assert_stderr_contains(why);
    }
}

#[test]
fn each_container_has_its_own_instance_of_devpts() {
    let Some(fixture) = fixture() else { return };
    let first = fixture.start(&[], &["sleep", "100"]);
    let second = fixture.start(&[], &["sleep", "100"]);
    let device = |root: &str| fs::metadata(format!("{root}/dev/pts")).unwrap().dev();
    let (first, second) =
        (format!("/proc/{}/root", first.pid), format!("/proc/{}/root", second.pid));
    assert_ne!(device(&first), device(""));
    assert_ne!(device(&first), device(&second));
    let names: Vec<_> = fs::read_dir(format!("{first}/dev/pts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["ptmx"], "there is no terminal unless one was requested");
}

#[test]
fn any_user_inside_can_open_a_terminal() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&[], "exec 3<>/dev/ptmx; ls /dev/pts").assert_stdout("0\nptmx");
}

#[test]
fn without_a_terminal_there_is_no_console_and_no_controlling_terminal() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.sh(&[], "ls /dev/console; : < /dev/tty");
    ran.assert_stderr_contains("/dev/console").assert_stderr_contains("/dev/tty");
    assert_ne!(ran.code, 0);
}
