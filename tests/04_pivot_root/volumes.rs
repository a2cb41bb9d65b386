//! Mounts in the root, and a read-only root.

use super::*;

/// Makes a directory of the host with a file in it, and returns its path.
fn source(bench: &Bench, name: &str) -> String {
    let path = bench.dir().join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), name).unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn a_missing_target_is_made_in_the_root_and_stays() {
    let Some(bench) = bench() else { return };
    let before = listing(bench.rootfs());
    let dir = source(&bench, "source");
    let (volume, file) =
        (format!("{dir}:/made/below"), format!("{dir}/file:/made/file"));
    let options = ["-v", &volume, "-v", &file, "--tmpfs", "/made/memory"];
    bench.sh(&options, "cat /made/below/file /made/file").prints("sourcesource");

    let mut after = listing(bench.rootfs());
    after.retain(|path, _| !before.contains_key(path));
    let made: Vec<_> = after
        .keys()
        .map(|path| path.strip_prefix(bench.rootfs()).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(made, ["made", "made/below", "made/file", "made/memory"]);
    assert_eq!(fs::metadata(bench.rootfs().join("made/file")).unwrap().len(), 0);
}

#[test]
fn two_containers_mount_on_one_target_and_each_sees_its_own() {
    let Some(bench) = bench() else { return };
    let (one, two) = (
        format!("{}:/shared", source(&bench, "one")),
        format!("{}:/shared", source(&bench, "two")),
    );
    let script = ["sh", "-c", "echo ready; read go; cat /shared/file"];
    let mut first = bench.start(&["-v", &one], &script);
    first.wait_for("ready");
    bench.run(&["-v", &two], &["cat", "/shared/file"]).prints("two");
    first.type_in("go\n");
    assert!(
        first.end().exits(0).out.ends_with("one"),
        "the end of the second container has not detached the mount of the first"
    );
}

#[test]
fn a_read_only_root_includes_the_mounts_below() {
    if !tool("mount") {
        return;
    }
    let Some(bench) = bench() else { return };
    let host = Distribution::start();
    let mnt = bench.rootfs().join("mnt");
    host.sh(&format!(
        "mount -t tmpfs below {0} && mkdir {0}/deep && mount -t tmpfs deep {0}/deep",
        mnt.display()
    ));
    let script = "for dir in / /etc /mnt /mnt/deep /root; do (: > $dir/new) 2>&1 || echo no; done";
    let ran = host.run(&bench, &["--read-only"], &["sh", "-c", script]);
    let lines: Vec<&str> = ran.exits(0).out.lines().collect();
    assert_eq!(
        lines.iter().filter(|line| line.contains("Read-only file system")).count(),
        5,
        "{lines:#?}"
    );

    let ran = host.run(&bench, &[], &["sh", "-c", script]);
    ran.prints("");
    assert_eq!(
        host.sh(&format!("ls {0}/new {0}/deep/new", mnt.display())).lines().count(),
        2
    );
}

#[test]
fn mounts_on_a_read_only_root_can_be_written() {
    let Some(bench) = bench() else { return };
    let volume = format!("{}:/new/volume", source(&bench, "source"));
    let options =
        ["--read-only", "-v", &volume, "--tmpfs", "/new/memory", "--tmpfs", "/tmp"];
    let script = "for dir in /new/volume /new/memory /tmp /dev /dev/shm; do : > $dir/x && echo written; done; : > /new/x";
    let ran = bench.sh(&options, script);
    ran.complains("Read-only file system");
    assert_eq!(ran.out.lines().count(), 5, "{ran:?}");
    assert!(bench.dir().join("source/x").exists());
}

#[test]
fn targets_in_sys_and_dev_are_made_in_the_new_mounts_and_not_in_the_rootfs() {
    let Some(bench) = bench() else { return };
    let before = listing(bench.rootfs());
    let file = format!("{}/file", source(&bench, "source"));
    let (sys, dev) =
        (format!("{file}:/sys/kernel/uevent_seqnum"), format!("{file}:/dev/own"));
    bench
        .sh(&["-v", &sys, "-v", &dev], "cat /sys/kernel/uevent_seqnum /dev/own")
        .prints("sourcesource");
    assert_eq!(listing(bench.rootfs()), before);
}

#[test]
fn a_target_that_cannot_be_made_is_refused() {
    let Some(bench) = bench() else { return };
    let dir = source(&bench, "source");
    fs::write(bench.rootfs().join("plain"), "").unwrap();
    for (target, reason) in [
        ("/plain/below", "ENOTDIR"),
        ("/sys/made", "EROFS"),
        ("/a/../../b", "has no . or .."),
    ] {
        let ran = bench.run(&["-v", &format!("{dir}:{target}")], &["echo", "it runs"]);
        ran.exits(125).complains(reason);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_file_is_not_mounted_on_a_directory() {
    let Some(bench) = bench() else { return };
    let file = format!("{}/file", source(&bench, "source"));
    let ran = bench.run(&["-v", &format!("{file}:/etc")], &["echo", "it runs"]);
    ran.exits(125)
        .complains("/etc")
        .complains("hint: mount a directory on a directory, and a file on a file");
}
