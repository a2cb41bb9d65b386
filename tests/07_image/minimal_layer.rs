//! The smallest layer in which a shell runs: a few programs of the root file system,
//! their libraries, and a few files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::rootfs;

const PROGRAMS: &[&str] = &[
    "sh", "cat", "chmod", "chown", "cut", "dd", "echo", "env", "find", "grep", "head",
    "id", "kill", "ln", "ls", "md5sum", "mkdir", "mkfifo", "mknod", "mv", "pwd",
    "readlink", "rm", "rmdir", "sleep", "sort", "stat", "test", "touch", "tr", "true",
    "wc",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n";
const GROUP: &str = "root:x:0:\nbin:x:1:\naudio:x:18:alice\nalice:x:1001:\n";

/// Returns the archive of the minimal layer.
pub fn minimal_layer() -> Vec<u8> {
    static LAYER: OnceLock<Vec<u8>> = OnceLock::new();
    LAYER.get_or_init(|| minimal_archive().end()).clone()
}

/// Returns the archive of the minimal layer without its end, so that a test can add
/// entries.
pub fn minimal_archive() -> Archive {
    let mut archive = Archive::new();
    for dir in
        ["bin", "dev", "etc", "home", "home/alice", "lib", "proc", "root", "sys", "tmp"]
    {
        let mode = if dir == "tmp" { 0o1777 } else { 0o755 };
        archive = archive.with(Entry::dir(dir).mode(mode));
    }
    let original = rootfs::original();
    let busybox = original.join("bin/busybox");
    archive = if busybox.exists() {
        with_busybox(archive, &original)
    } else {
        with_programs(archive, &original)
    };
    archive
        .with(Entry::file("etc/passwd", PASSWD))
        .with(Entry::file("etc/group", GROUP))
}

/// Adds busybox, a single program that has all commands. Alpine's busybox needs
/// Alpine's C library.
fn with_busybox(mut archive: Archive, original: &Path) -> Archive {
    let mut files = vec!["bin/busybox".to_string()];
    for entry in fs::read_dir(original.join("lib")).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("ld-musl-") {
            files.push(format!("lib/{name}"));
        }
    }
    for name in files {
        let bytes = fs::read(original.join(&name)).expect("it can be read");
        archive = archive.with(Entry::file(&name, bytes).mode(0o755));
    }
    for name in PROGRAMS {
        archive = archive.with(Entry::symlink(format!("bin/{name}"), "busybox"));
    }
    archive
}

/// Adds programs of the host and their libraries, each at the path where the loader
/// looks for it.
fn with_programs(mut archive: Archive, original: &Path) -> Archive {
    let programs = PROGRAMS.iter().map(|name| format!("bin/{name}"));
    let programs: Vec<_> =
        programs.filter(|name| original.join(name).exists()).collect();
    let paths = programs.iter().map(|name| original.join(name));
    let listed = Command::new("ldd").args(paths).output().expect("run ldd");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.lines().filter(|line| line.starts_with('\t'));
    let libraries = libraries.filter_map(|line| {
        line.split_whitespace().find_map(|word| word.strip_prefix('/'))
    });
    let libraries: BTreeSet<_> = libraries.map(String::from).collect();
    for name in programs.into_iter().chain(libraries) {
        let bytes = fs::read(original.join(&name)).expect("rootfs-fetch.sh copied it");
        archive = archive.with(Entry::file(&name, bytes).mode(0o755));
    }
    archive
}
