//! Where the files come from: a tarball, a busybox, this machine.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::fetch::alpine;
use crate::place::Place;

#[test]
fn a_tarball_becomes_a_root_file_system() {
    let place = Place::new();
    let tarball = place.little_tarball("little.tar.gz");
    place.fetch().arg("--from").arg(tarball).assert().success().stderr(
        contains("the digest of little.tar.gz is not known").and(contains("SHA-512")),
    );
    place.assert_has(&["bin/sh", "bin/ls", "tmp"]);
    // The archive's modes, whatever the umask is.
    let tmp = fs::metadata(place.path("rootfs/tmp")).unwrap();
    assert_eq!(tmp.mode() & 0o7777, 0o1777);
    place.assert_nothing_else_left(&["little.tar.gz", "rootfs", "tree"]);
}

#[test]
fn a_tarball_can_come_through_a_pipe() {
    let place = Place::new();
    let tarball = fs::read(place.little_tarball("little.tar.gz")).unwrap();
    let mut fetch = assert_cmd::Command::from_std(place.fetch());
    fetch.args(["--from", "/dev/stdin"]).write_stdin(tarball).assert().success();
    place.assert_has(&["bin/sh", "bin/ls"]);
}

#[test]
fn what_was_checked_is_what_is_unpacked_whatever_becomes_of_the_file() {
    let place = Place::new();
    place.little_tarball("little.tar.gz");
    let path = place.path_without(&[]);
    place.fake(
        "tar",
        &format!("case $1 in -t*) echo other >little.tar.gz ;; esac\nPATH={path} exec tar \"$@\""),
    );
    place.fetch().args(["--from", "little.tar.gz"]).assert().success();
    assert_eq!(
        fs::read_to_string(place.path("little.tar.gz")).unwrap(),
        "other\n",
        "it has changed"
    );
    place.assert_has(&["bin/sh", "bin/ls"]);
}

#[test]
fn kiste_alpine_is_tried_first() {
    let place = Place::new();
    let tarball = alpine().unwrap_or_else(|| place.little_tarball("little.tar.gz"));
    place.fetch().env("KISTE_ALPINE", &tarball).assert().success().stderr(
        contains(format!("from {}", tarball.display())).and(contains("fetching").not()),
    );
    place.assert_has(&["bin/sh", "bin/ls"]);
}

#[test]
fn a_kiste_alpine_that_is_missing_is_an_error_and_not_passed_over() {
    let place = Place::new();
    place
        .fetch()
        .env("KISTE_ALPINE", "no-such.tar.gz")
        .assert()
        .code(1)
        .stderr(contains("KISTE_ALPINE: cannot read no-such.tar.gz: No such file"));
    place.assert_nothing_else_left(&[]);
}

#[test]
fn a_static_busybox_brings_a_shell_and_its_commands() {
    let place = Place::new();
    place.fake("busybox", "echo sh; echo ls; echo busybox");
    place.fetch().args(["--from", "busybox"]).assert().success();
    place.assert_has(&["bin/busybox", "bin/sh", "bin/ls", "etc/passwd", "proc", "tmp"]);
    assert_eq!(
        fs::read_link(place.path("rootfs/bin/sh")).unwrap(),
        Path::new("busybox")
    );
}

#[test]
fn the_distributions_busybox_is_only_unpacked() {
    let place = Place::new();
    let path = place.path_without(&["busybox"]);
    place.fake(
        "apt-get",
        "case \"$*\" in *' download '*) : >busybox-static_1_all.deb ;; esac",
    );
    place.fake(
        "dpkg-deb",
        "mkdir -p \"$3/bin\"; printf '#!/bin/sh\\necho sh; echo ls\\n' >\"$3/bin/busybox\"; \
         chmod +x \"$3/bin/busybox\"",
    );
    place
        .fetch()
        .env("PATH", format!("{}:{path}", place.path("fakes").display()))
        .args(["--from", "busybox"])
        .assert()
        .success()
        .stderr(contains("from Debian's package busybox-static"));
    place.assert_has(&["bin/busybox", "bin/sh", "bin/ls"]);
    place.assert_nothing_else_left(&["fakes", "path", "rootfs"]);
}

#[test]
fn busybox_comes_from_this_machine_or_the_error_says_why_not() {
    let place = Place::new();
    let output = place.fetch().args(["--from", "busybox"]).output().unwrap();
    if output.status.success() {
        place.assert_has(&[
            "bin/busybox",
            "bin/sh",
            "bin/ls",
            "bin/cat",
            "bin/ps",
            "bin/mount",
        ]);
        place.assert_nothing_else_left(&["rootfs"]);
    } else {
        output.assert().code(1).stderr(
            contains("busybox")
                .and(contains("hint: install the package busybox-static")),
        );
        place.assert_nothing_else_left(&[]);
    }
}

#[test]
fn the_hosts_own_tools_come_with_their_libraries() {
    let place = Place::new();
    place.fetch().args(["--from", "host"]).assert().success();
    place.assert_has(&[
        "bin/sh",
        "bin/ls",
        "bin/cat",
        "bin/sleep",
        "bin/id",
        "etc/passwd",
        "root",
    ]);
    // Every path that the host's loader needs for ls stands in the tree, too.
    let ls = Command::new("ldd").arg(place.path("rootfs/bin/ls")).output().unwrap();
    let listing = String::from_utf8(ls.stdout).unwrap();
    for library in listing.split_whitespace().filter(|word| word.starts_with('/')) {
        if !library.starts_with(place.dir.path().to_str().unwrap()) {
            place.assert_has(&[library.trim_start_matches('/').trim_end_matches(':')]);
        }
    }
    let tmp = fs::metadata(place.path("rootfs/tmp")).unwrap();
    assert_eq!(tmp.mode() & 0o7777, 0o1777);
    place.assert_nothing_else_left(&["rootfs"]);
}

#[test]
fn auto_says_why_each_earlier_source_was_not_used() {
    let place = Place::new();
    let path = place.path_without(&["busybox", "apt-get"]);
    place
        .fetch()
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
    place.assert_has(&["bin/sh", "bin/ls"]);
}

/// What tests and chapters use of Alpine's accounts, groups and directories.
#[test]
fn each_kind_has_the_same_accounts_groups_and_directories() {
    let alpine = alpine().map(|path| path.into_os_string().into_string().unwrap());
    let sources = ["busybox".to_string(), "host".to_string()].into_iter().chain(alpine);
    for source in sources {
        let place = Place::new();
        place.fake("busybox", "echo sh; echo ls; echo busybox");
        place.fetch().args(["--from", &source]).assert().success();
        let lines = |name: &str| -> Vec<String> {
            let text = fs::read_to_string(place.path("rootfs/etc").join(name)).unwrap();
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
        place.assert_has(&[
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
