//! Archives that must be refused.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::test_dir::TestDir;

#[test]
fn an_archive_with_a_name_that_leads_out_of_the_root_file_system_is_refused() {
    let dir = TestDir::new();
    dir.write("outside/canary", "alive");
    dir.write("outside/evil", "dead");
    let canary = dir.path("outside/canary");
    let canary = canary.to_str().unwrap();
    for (name, options) in [
        ("../canary", ["--transform=s,.*,../canary,", "outside/evil"]),
        (canary, ["--", canary]),
    ] {
        dir.tar(&[&["-cPf", "evil.tar"], &options[..]].concat());
        dir.fetch()
            .args(["--from", "evil.tar"])
            .assert()
            .code(1)
            .stderr(contains("is unsafe, nothing is unpacked").and(contains(name)));
        assert_eq!(fs::read_to_string(canary).unwrap(), "alive");
        dir.assert_nothing_else_left(&["evil.tar", "outside"]);
    }
}

#[test]
fn an_archive_cannot_write_through_its_own_symlink() {
    let dir = TestDir::new();
    dir.write("outside/canary", "alive");
    fs::create_dir_all(dir.path("tree")).unwrap();
    symlink(dir.path("outside"), dir.path("tree/way")).unwrap();
    dir.tar(&["-cf", "evil.tar", "-C", "tree", "way"]);
    dir.write("second/way/canary", "dead");
    dir.tar(&["-rf", "evil.tar", "-C", "second", "way/canary"]);
    dir.fetch()
        .args(["--from", "evil.tar"])
        .assert()
        .code(1)
        .stderr(contains("cannot unpack"));
    assert_eq!(fs::read_to_string(dir.path("outside/canary")).unwrap(), "alive");
    dir.assert_nothing_else_left(&["evil.tar", "outside", "second", "tree"]);
}

#[test]
fn an_archive_without_a_shell_is_no_root_file_system() {
    let dir = TestDir::new();
    dir.write("tree/layer.tar", "");
    dir.tar(&["-cf", "image.tar", "-C", "tree", "."]);
    dir.fetch().args(["--from", "image.tar"]).assert().code(1).stderr(
        contains("image.tar is no root file system").and(contains("docker export")),
    );
    dir.assert_nothing_else_left(&["image.tar", "tree"]);
}

#[test]
fn a_file_that_is_no_tarball_is_refused_with_the_reason_that_tar_gives() {
    let dir = TestDir::new();
    dir.write("story.tar.gz", "once upon a time");
    dir.fetch().args(["--from", "story.tar.gz"]).assert().code(1).stderr(contains(
        "cannot read story.tar.gz as a tarball: tar: This does not look like a tar archive",
    ));
    dir.assert_nothing_else_left(&["story.tar.gz"]);
}

#[test]
fn root_is_warned_of_a_set_user_id_program_that_every_user_can_run() {
    if !nix::unistd::geteuid().is_root() {
        return kiste_tests::report_missing(
            "root",
            "the files of another user are not root's",
        );
    }
    let dir = TestDir::new();
    dir.write("tree/bin/sh", "");
    dir.write("tree/bin/set-user-id", "");
    let mode = PermissionsExt::from_mode(0o4755);
    fs::set_permissions(dir.path("tree/bin/set-user-id"), mode).unwrap();
    dir.tar(&["-cf", "it.tar", "-C", "tree", "."]);
    let warning = "rootfs/bin/set-user-id is a set-user-ID program of root's";
    for (mode, is_warned) in [(0o755, true), (0o700, false), (0o711, true)] {
        fs::set_permissions(dir.path(""), PermissionsExt::from_mode(mode)).unwrap();
        dir.fetch()
            .args(["--from", "it.tar", "--force"])
            .assert()
            .success()
            .stderr(contains(warning).count(usize::from(is_warned)));
    }
}
