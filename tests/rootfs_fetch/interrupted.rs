//! Two runs of the script at once, and runs that are killed.

use assert_cmd::assert::OutputAssertExt;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::fetch::Running;
use crate::test_dir::TestDir;

/// The expected files at the end of a test: its own, and the root file system.
const EXPECTED_FILES: [&str; 7] =
    ["fakes", "gate", "little.tar.gz", "path", "rootfs", "started", "tree"];

#[test]
fn two_scripts_at_once_make_one_root_file_system() {
    for absent in [&[][..], &["flock"]] {
        let dir = TestDir::with_gate(absent);
        let mut first = dir.start_and_wait_for_tar();
        let mut second = Running::start(dir.gated_fetch().stderr(Stdio::piped()));
        let mut stderr = BufReader::new(second.child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("waiting for it"), "{line}");

        dir.open_gate();
        assert!(first.wait().success());
        assert!(second.wait().success());
        stderr.read_to_string(&mut line).unwrap();
        assert!(line.contains("is there already"), "{line}");
        dir.assert_has(&["bin/sh"]);
        dir.assert_nothing_else_left(&EXPECTED_FILES);
    }
}

#[test]
fn the_next_run_cleans_up_after_a_kill() {
    for absent in [&[][..], &["flock"]] {
        let dir = TestDir::with_gate(absent);
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
        dir.assert_nothing_else_left(&EXPECTED_FILES);
    }
}

#[test]
fn sigterm_leaves_nothing_behind() {
    let dir = TestDir::with_gate(&[]);
    let mut terminated = dir.start_and_wait_for_tar();
    terminated.signal(Signal::SIGTERM);
    assert_eq!(terminated.wait().code(), Some(143));
    dir.assert_nothing_else_left(&[
        "fakes",
        "gate",
        "little.tar.gz",
        "path",
        "started",
        "tree",
    ]);
}
