//! The sources of a root file system: a tarball, a busybox, or this machine.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::fetch::alpine;
use crate::test_dir::TestDir;

#[test]
fn a_tarball_becomes_a_root_file_system() {
    let dir = TestDir::new();
    let tarball = dir.little_tarball("little.tar.gz");
    dir.fetch().arg("--from").arg(tarball).assert().success().stderr(
        contains("the digest of little.tar.gz is not pinned").and(contains("SHA-512")),
    );
    dir.assert_has(&["bin/sh", "bin/ls", "tmp"]);
    // The modes are those of the archive, whatever the umask is.
    let tmp = fs::metadata(dir.path("rootfs/tmp")).unwrap();
    assert_eq!(tmp.mode() & 0o7777, 0o1777);
    dir.assert_nothing_else_left(&["little.tar.gz", "rootfs", "tree"]);
}

#[test]
fn a_tarball_can_come_through_a_pipe() {
    let dir = TestDir::new();
    let tarball = fs::read(dir.little_tarball("little.tar.gz")).unwrap();
    let mut fetch = assert_cmd::Command::from_std(dir.fetch());
    fetch.args(["--from", "/dev/stdin"]).write_stdin(tarball).assert().success();
    dir.assert_has(&["bin/sh", "bin/ls"]);
}

#[test]
fn the_bytes_that_were_checked_are_unpacked_even_if_the_file_changes_meanwhile() {
    let dir = TestDir::new();
    dir.little_tarball("little.tar.gz");
    let path = dir.path_without(&[]);
    dir.fake(
        "tar",
        &format!("case $1 in -t*) echo other >little.tar.gz ;; esac\nPATH={path} exec tar \"$@\""),
    );
    dir.fetch().args(["--from", "little.tar.gz"]).assert().success();
    assert_eq!(
        fs::read_to_string(dir.path("little.tar.gz")).unwrap(),
        "other\n",
        "it has changed"
    );
    dir.assert_has(&["bin/sh", "bin/ls"]);
}

#[test]
fn kiste_alpine_is_tried_first() {
    let dir = TestDir::new();
    let tarball = alpine().unwrap_or_else(|| dir.little_tarball("little.tar.gz"));
    dir.fetch().env("KISTE_ALPINE", &tarball).assert().success().stderr(
        contains(format!("from {}", tarball.display())).and(contains("fetching").not()),
    );
    dir.assert_has(&["bin/sh", "bin/ls"]);
}

#[test]
fn a_missing_kiste_alpine_is_an_error() {
    let dir = TestDir::new();
    dir.fetch()
        .env("KISTE_ALPINE", "no-such.tar.gz")
        .assert()
        .code(1)
        .stderr(contains("KISTE_ALPINE: cannot read no-such.tar.gz: No such file"));
    dir.assert_nothing_else_left(&[]);
}

#[test]
fn a_static_busybox_brings_a_shell_and_its_commands() {
    let dir = TestDir::new();
    dir.fake("busybox", "echo sh; echo ls; echo busybox");
    dir.fetch().args(["--from", "busybox"]).assert().success();
    dir.assert_has(&["bin/busybox", "bin/sh", "bin/ls", "etc/passwd", "proc", "tmp"]);
    assert_eq!(fs::read_link(dir.path("rootfs/bin/sh")).unwrap(), Path::new("busybox"));
}

#[test]
fn the_distributions_busybox_package_is_unpacked_and_not_installed() {
    let dir = TestDir::new();
    let path = dir.path_without(&["busybox"]);
    dir.fake(
        "apt-get",
        "case \"$*\" in *' download '*) : >busybox-static_1_all.deb ;; esac",
    );
    dir.fake(
        "dpkg-deb",
        "mkdir -p \"$3/bin\"; printf '#!/bin/sh\\necho sh; echo ls\\n' >\"$3/bin/busybox\"; \
         chmod +x \"$3/bin/busybox\"",
    );
    dir.fetch()
        .env("PATH", format!("{}:{path}", dir.path("fakes").display()))
        .args(["--from", "busybox"])
        .assert()
        .success()
        .stderr(contains("from Debian's package busybox-static"));
    dir.assert_has(&["bin/busybox", "bin/sh", "bin/ls"]);
    dir.assert_nothing_else_left(&["fakes", "path", "rootfs"]);
}

#[test]
fn busybox_comes_from_this_machine_or_the_error_says_why_not() {
    let dir = TestDir::new();
    let output = dir.fetch().args(["--from", "busybox"]).output().unwrap();
    if output.status.success() {
        dir.assert_has(&[
            "bin/busybox",
            "bin/sh",
            "bin/ls",
            "bin/cat",
            "bin/ps",
            "bin/mount",
        ]);
        dir.assert_nothing_else_left(&["rootfs"]);
    } else {
        output.assert().code(1).stderr(
            contains("busybox")
                .and(contains("hint: install the package busybox-static")),
        );
        dir.assert_nothing_else_left(&[]);
    }
}

#[test]
fn the_hosts_own_tools_come_with_their_libraries() {
    let dir = TestDir::new();
    dir.fetch().args(["--from", "host"]).assert().success();
    dir.assert_has(&[
        "bin/sh",
        "bin/ls",
        "bin/cat",
        "bin/sleep",
        "bin/id",
        "etc/passwd",
        "root",
    ]);
    // Every path that the host's loader needs for ls is in the tree, too.
    let ls = Command::new("ldd").arg(dir.path("rootfs/bin/ls")).output().unwrap();
    let listing = String::from_utf8(ls.stdout).unwrap();
    for library in listing.split_whitespace().filter(|word| word.starts_with('/')) {
        if !library.starts_with(dir.temp.path().to_str().unwrap()) {
            dir.assert_has(&[library.trim_start_matches('/').trim_end_matches(':')]);
        }
    }
    let tmp = fs::metadata(dir.path("rootfs/tmp")).unwrap();
    assert_eq!(tmp.mode() & 0o7777, 0o1777);
    dir.assert_nothing_else_left(&["rootfs"]);
}

#[test]
fn auto_says_why_each_earlier_source_was_not_used() {
    let dir = TestDir::new();
    let path = dir.path_without(&["busybox", "apt-get"]);
    dir.fetch()
        .env("PATH", path)
        .env("KISTE_MIRROR", "http://127.0.0.1:1")
        .assert()
        .success()
        .stderr(
            contains("KISTE_ALPINE is not set")
                .and(contains("not from alpine: "))
                .and(contains("not from busybox: no static busybox is installed"))
                .and(contains("this machine's own sh")),
        );
    dir.assert_has(&["bin/sh", "bin/ls"]);
}

/// The accounts, groups and directories of Alpine that tests and chapters use.
#[test]
fn every_source_has_the_same_accounts_groups_and_directories() {
    let alpine = alpine().map(|path| path.into_os_string().into_string().unwrap());
    let sources = ["busybox".to_string(), "host".to_string()].into_iter().chain(alpine);
    for source in sources {
        let dir = TestDir::new();
        dir.fake("busybox", "echo sh; echo ls; echo busybox");
        dir.fetch().args(["--from", &source]).assert().success();
        let lines = |name: &str| -> Vec<String> {
            let text = fs::read_to_string(dir.path("rootfs/etc").join(name)).unwrap();
            text.lines().map(String::from).collect()
        };
        for account in [
            "root:x:0:0:root:/root:/bin/sh",
            "bin:x:1:1:bin:/bin:/sbin/nologin",
            "sync:x:5:0:sync:/sbin:/bin/sync",
            "mail:x:8:12:mail:/var/mail:/sbin/nologin",
            "games:x:35:35:games:/usr/games:/sbin/nologin",
            "nobody:x:65534:65534:nobody:/:/sbin/nologin",
        ] {
            assert!(
                lines("passwd").iter().any(|line| line == account),
                "{source}: {account}"
            );
        }
        for group in [
            "bin:x:1:root,bin,daemon",
            "daemon:x:2:root,bin,daemon",
            "sys:x:3:root,bin",
            "mail:x:12:mail",
            "users:x:100:games",
        ] {
            assert!(
                lines("group").iter().any(|line| line == group),
                "{source}: {group}"
            );
        }
        dir.assert_has(&[
            "bin",
            "dev",
            "etc/hosts",
            "etc/hostname",
            "home",
            "lib",
            "media",
            "mnt",
            "opt",
            "proc",
            "root",
            "run",
            "sbin",
            "srv",
            "sys",
            "tmp",
            "usr/bin",
            "usr/lib",
            "usr/sbin",
            "var/log",
            "var/tmp",
        ]);
    }
}
