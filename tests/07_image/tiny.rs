//! The smallest image in which a shell runs: busybox, its C library, and a few files.

use std::fs;
use std::sync::OnceLock;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::rootfs;

const PROGRAMS: &[&str] = &[
    "sh", "cat", "chmod", "chown", "cut", "dd", "echo", "env", "find", "grep", "head",
    "id", "kill", "ln", "ls", "md5sum", "mkdir", "mkfifo", "mknod", "mv", "printenv",
    "pwd", "readlink", "rm", "rmdir", "sleep", "sort", "stat", "test", "touch", "tr",
    "true", "wc",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n";
const GROUP: &str = "root:x:0:\nbin:x:1:\naudio:x:18:alice\nalice:x:1001:\n";

/// Its tarball.
pub fn tiny() -> Vec<u8> {
    static TINY: OnceLock<Vec<u8>> = OnceLock::new();
    TINY.get_or_init(|| archive().end()).clone()
}

/// The same, still open.
pub fn archive() -> Archive {
    let original = rootfs::original();
    let read = |name: &str| {
        fs::read(original.join(name)).expect("the root file system has busybox")
    };
    let mut archive = Archive::new();
    for dir in
        ["bin", "dev", "etc", "home", "home/alice", "lib", "proc", "root", "sys", "tmp"]
    {
        let mode = if dir == "tmp" { 0o1777 } else { 0o755 };
        archive = archive.with(Entry::dir(dir).mode(mode));
    }
    archive = archive.with(Entry::file("bin/busybox", read("bin/busybox")).mode(0o755));
    for name in fs::read_dir(original.join("lib"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
    {
        let name = name.into_string().unwrap();
        if name.starts_with("ld-musl-") {
            let path = format!("lib/{name}");
            archive = archive.with(Entry::file(&path, read(&path)).mode(0o755));
        }
    }
    for name in PROGRAMS {
        archive = archive.with(Entry::symlink(format!("bin/{name}"), "busybox"));
    }
    archive
        .with(Entry::file("etc/passwd", PASSWD))
        .with(Entry::file("etc/group", GROUP))
}
