//! The output of the subcommands, when the program that reads it exits early, as
//! head(1) does.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};
use kiste_tests::host;

/// Calls a subcommand with a pipe as stdout whose reading end is closed.
#[track_caller]
fn call_with_closed_stdout(store: &TestStore, arguments: &[&str]) -> (i32, String) {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let child = Command::new(store.fixture().exe())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.signal(), None, "{arguments:?}: {stderr}");
    assert!(!stderr.contains("panic") && !stderr.contains("a bug"), "{stderr}");
    (status.code().unwrap(), stderr)
}

#[test]
fn every_subcommand_succeeds_although_the_reader_of_stdout_has_exited() {
    let Some(store) = root() else { return };
    let (store_path, run_dirs) = (store.path(), store.fixture().run_dirs());
    let store_path = ["--store", store_path.to_str().unwrap()];
    let tar = store.file("tiny.tar", minimal_layer());
    let import = ["import", tar.to_str().unwrap(), "small:1"];
    store.call(&import).exits(0);
    let saved = store.dir().join("saved.tar");
    store.call(&["save", "small:1", "-o", saved.to_str().unwrap()]).exits(0);
    // gc prints the id of a container that is gone.
    let running = store.start("small:1", &[], &["sleep", "1000"]);
    let pid = running.pid;
    running.kill_runtime();
    host::assert_exits(pid);
    for arguments in [
        &["images"][..],
        &["images", "--format", "json"],
        &["inspect", "small:1"],
        &["history", "small:1"],
        &["history", "small:1", "--format", "json"],
        &["diff", "small:1"],
        &["gc", "--run-dir", run_dirs.to_str().unwrap()],
        &import,
        &["load", saved.to_str().unwrap()],
        &["tag", "small:1", "small:2"],
        &["rmi", "small:2"],
    ] {
        let arguments = [&arguments[..1], &store_path, &arguments[1..]].concat();
        let (code, stderr) = call_with_closed_stdout(&store, &arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
    }
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        assert_eq!(call_with_closed_stdout(&store, arguments).0, 0, "{arguments:?}");
    }
    call_with_closed_stdout(&store, &["doctor"]);
    let names = store.names();
    assert!(names.contains(&"small:1".into()) && !names.contains(&"small:2".into()));
}

#[test]
fn save_and_export_fail_if_nobody_reads_the_whole_archive() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let store_path = store.path();
    for subcommand in ["save", "export"] {
        let arguments =
            [subcommand, "--store", store_path.to_str().unwrap(), "small:1"];
        let (code, stderr) = call_with_closed_stdout(&store, &arguments);
        assert!(code == 1 && stderr.contains("EPIPE"), "{subcommand}: {stderr}");
    }
}
