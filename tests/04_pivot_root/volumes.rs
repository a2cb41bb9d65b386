//! Mounts in the root, and a read-only root.

use super::*;

/// Makes a directory of the host with a file in it, and returns its path.
fn source(fixture: &Fixture, name: &str) -> String {
    let path = fixture.dir().join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), name).unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn a_missing_target_is_made_in_the_root_and_stays() {
    let Some(fixture) = fixture() else { return };
    let before = listing(fixture.rootfs());
    let dir = source(&fixture, "source");
    let (volume, file) =
        (format!("{dir}:/made/below"), format!("{dir}/file:/made/file"));
    let options = ["-v", &volume, "-v", &file, "--tmpfs", "/made/memory"];
    fixture
        .sh(&options, "cat /made/below/file /made/file")
        .assert_stdout("sourcesource");

    let mut after = listing(fixture.rootfs());
    after.retain(|path, _| !before.contains_key(path));
    let made: Vec<_> = after
        .keys()
        .map(|path| path.strip_prefix(fixture.rootfs()).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(made, ["made", "made/below", "made/file", "made/memory"]);
    assert_eq!(fs::metadata(fixture.rootfs().join("made/file")).unwrap().len(), 0);
}

#[test]
fn two_containers_mount_on_one_target_and_each_sees_its_own() {
    let Some(fixture) = fixture() else { return };
    let (one, two) = (
        format!("{}:/shared", source(&fixture, "one")),
        format!("{}:/shared", source(&fixture, "two")),
    );
    let script = ["sh", "-c", "echo ready; read go; cat /shared/file"];
    let mut first = fixture.start(&["-v", &one], &script);
    first.wait_for("ready");
    fixture.run(&["-v", &two], &["cat", "/shared/file"]).assert_stdout("two");
    first.type_in("go\n");
    assert!(
        first.end().exits(0).out.ends_with("one"),
        "the end of the second container has not detached the mount of the first"
    );
}

#[test]
fn a_read_only_root_includes_the_mounts_below() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let mnt = fixture.rootfs().join("mnt");
    host.sh(&format!(
        "mount -t tmpfs below {0} && mkdir {0}/deep && mount -t tmpfs deep {0}/deep",
        mnt.display()
    ));
    let script = "for dir in / /etc /mnt /mnt/deep /root; do (: > $dir/new) 2>&1 || echo no; done";
    let ran = host.run(&fixture, &["--read-only"], &["sh", "-c", script]);
    let lines: Vec<&str> = ran.exits(0).out.lines().collect();
    assert_eq!(
        lines.iter().filter(|line| line.contains("Read-only file system")).count(),
        5,
        "{lines:#?}"
    );

    let ran = host.run(&fixture, &[], &["sh", "-c", script]);
    ran.assert_stdout("");
    assert_eq!(
        host.sh(&format!("ls {0}/new {0}/deep/new", mnt.display())).lines().count(),
        2
    );
}

#[test]
fn mounts_on_a_read_only_root_can_be_written() {
    let Some(fixture) = fixture() else { return };
    let volume = format!("{}:/new/volume", source(&fixture, "source"));
    let options =
        ["--read-only", "-v", &volume, "--tmpfs", "/new/memory", "--tmpfs", "/tmp"];
    let script = "for dir in /new/volume /new/memory /tmp /dev /dev/shm; do : > $dir/x && echo written; done; : > /new/x";
    let ran = fixture.sh(&options, script);
    ran.assert_stderr_contains("Read-only file system");
    assert_eq!(ran.out.lines().count(), 5, "{ran:?}");
    assert!(fixture.dir().join("source/x").exists());
}

#[test]
fn targets_in_sys_and_dev_are_made_in_the_new_mounts_and_not_in_the_rootfs() {
    let Some(fixture) = fixture() else { return };
    let before = listing(fixture.rootfs());
    let file = format!("{}/file", source(&fixture, "source"));
    let (sys, dev) =
        (format!("{file}:/sys/kernel/uevent_seqnum"), format!("{file}:/dev/own"));
    fixture
        .sh(&["-v", &sys, "-v", &dev], "cat /sys/kernel/uevent_seqnum /dev/own")
        .assert_stdout("sourcesource");
    assert_eq!(listing(fixture.rootfs()), before);
}

#[test]
fn a_target_that_cannot_be_made_is_refused() {
    let Some(fixture) = fixture() else { return };
    let dir = source(&fixture, "source");
    fs::write(fixture.rootfs().join("plain"), "").unwrap();
    for (target, reason) in [
        ("/plain/below", "ENOTDIR"),
        ("/sys/made", "EROFS"),
        ("/a/../../b", "has no . or .."),
    ] {
        let ran =
            fixture.run(&["-v", &format!("{dir}:{target}")], &["echo", "it runs"]);
        ran.exits(125).assert_stderr_contains(reason);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_file_is_not_mounted_on_a_directory() {
    let Some(fixture) = fixture() else { return };
    let file = format!("{}/file", source(&fixture, "source"));
    let ran = fixture.run(&["-v", &format!("{file}:/etc")], &["echo", "it runs"]);
    ran.exits(125).assert_stderr_contains("/etc").assert_stderr_contains(
        "hint: mount a directory on a directory, and a file on a file",
    );
}
