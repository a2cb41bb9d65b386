//! Two scripts at once, and scripts that are killed.

use assert_cmd::assert::OutputAssertExt;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::fetch::Running;
use crate::test_dir::TestDir;

/// The files at the end: those that the test made, and the root file system.
const ALL: [&str; 7] =
    ["fakes", "gate", "little.tar.gz", "path", "rootfs", "started", "tree"];

#[test]
fn two_scripts_at_once_make_one_root_file_system() {
    for without in [&[][..], &["flock"]] {
        let dir = TestDir::with_gate(without);
        let mut first = dir.start_and_wait_for_tar();
        let mut second = Running::start(dir.gated_fetch().stderr(Stdio::piped()));
        let mut words = BufReader::new(second.child.stderr.take().unwrap());
        let mut line = String::new();
        words.read_line(&mut line).unwrap();
        assert!(line.contains("waiting for it"), "{line}");

        dir.open_gate();
        assert!(first.wait().success());
        assert!(second.wait().success());
        words.read_to_string(&mut line).unwrap();
        assert!(line.contains("is there already"), "{line}");
        dir.assert_has(&["bin/sh"]);
        dir.assert_nothing_else_left(&ALL);
    }
}

#[test]
fn the_next_run_cleans_up_after_a_kill() {
    for without in [&[][..], &["flock"]] {
        let dir = TestDir::with_gate(without);
        let mut killed = dir.start_and_wait_for_tar();
        killed.signal(Signal::SIGKILL);
        killed.wait();
        assert!(!dir.path("rootfs").exists(), "half a root file system");

        dir.fetch()
            .env("PATH", dir.path("path"))
            .args(["--from", "little.tar.gz"])
            .assert()
            .success();
        dir.assert_has(&["bin/sh"]);
        dir.assert_nothing_else_left(&ALL);
    }
}

#[test]
fn sigterm_leaves_nothing_behind() {
    let dir = TestDir::with_gate(&[]);
    let mut ended = dir.start_and_wait_for_tar();
    ended.signal(Signal::SIGTERM);
    assert_eq!(ended.wait().code(), Some(143));
    dir.assert_nothing_else_left(&[
        "fakes",
        "gate",
        "little.tar.gz",
        "path",
        "started",
        "tree",
    ]);
}
