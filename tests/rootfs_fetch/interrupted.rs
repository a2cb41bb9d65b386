//! Two at once, and one that is killed.

use assert_cmd::assert::OutputAssertExt;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::fetch::Running;
use crate::place::Place;

/// What is there in the end: what the place had, and the root file system.
const ALL: [&str; 7] =
    ["fakes", "gate", "little.tar.gz", "path", "rootfs", "started", "tree"];

#[test]
fn two_at_once_make_one() {
    for without in [&[][..], &["flock"]] {
        let place = Place::with_gate(without);
        let mut first = place.start_and_stop_in_tar();
        let mut second = Running::start(place.gated_fetch().stderr(Stdio::piped()));
        let mut words = BufReader::new(second.child.stderr.take().unwrap());
        let mut line = String::new();
        words.read_line(&mut line).unwrap();
        assert!(line.contains("waiting for it"), "{line}");

        place.open_gate();
        assert!(first.wait().success());
        assert!(second.wait().success());
        words.read_to_string(&mut line).unwrap();
        assert!(line.contains("is there already"), "{line}");
        place.assert_has(&["bin/sh"]);
        place.assert_nothing_else_left(&ALL);
    }
}

#[test]
fn what_a_kill_leaves_is_cleaned_up_by_the_next_run() {
    for without in [&[][..], &["flock"]] {
        let place = Place::with_gate(without);
        let mut killed = place.start_and_stop_in_tar();
        killed.signal(Signal::SIGKILL);
        killed.wait();
        assert!(!place.path("rootfs").exists(), "half a root file system");

        place
            .fetch()
            .env("PATH", place.path("path"))
            .args(["--from", "little.tar.gz"])
            .assert()
            .success();
        place.assert_has(&["bin/sh"]);
        place.assert_nothing_else_left(&ALL);
    }
}

#[test]
fn a_polite_end_leaves_nothing() {
    let place = Place::with_gate(&[]);
    let mut ended = place.start_and_stop_in_tar();
    ended.signal(Signal::SIGTERM);
    assert_eq!(ended.wait().code(), Some(143));
    place.assert_nothing_else_left(&[
        "fakes",
        "gate",
        "little.tar.gz",
        "path",
        "started",
        "tree",
    ]);
}
