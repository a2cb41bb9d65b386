//! The output of the subcommands, whose reader may go away, as head(1) does.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use crate::shop::{Shop, root};
use crate::tiny::tiny;
use kiste_tests::host;

/// Calls a subcommand whose stdout is a pipe that nobody reads any more.
#[track_caller]
fn call_with_closed_stdout(shop: &Shop, arguments: &[&str]) -> (i32, String) {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let child = Command::new(shop.bench().exe())
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
fn no_subcommand_minds_a_closed_stdout() {
    let Some(shop) = root() else { return };
    let (store, run_dirs) = (shop.store(), shop.bench().run_dirs());
    let store = ["--store", store.to_str().unwrap()];
    let tar = shop.file("tiny.tar", tiny());
    let import = ["import", tar.to_str().unwrap(), "small:1"];
    shop.call(&import).exits(0);
    let saved = shop.dir().join("saved.tar");
    shop.call(&["save", "small:1", "-o", saved.to_str().unwrap()]).exits(0);
    // gc prints the id of a container that is gone.
    let running = shop.start("small:1", &[], &["sleep", "1000"]);
    let pid = running.pid;
    running.kill_runtime();
    host::assert_dies(pid);
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
        let arguments = [&arguments[..1], &store, &arguments[1..]].concat();
        let (code, stderr) = call_with_closed_stdout(&shop, &arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
    }
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        assert_eq!(call_with_closed_stdout(&shop, arguments).0, 0, "{arguments:?}");
    }
    call_with_closed_stdout(&shop, &["doctor"]);
    let names = shop.names();
    assert!(names.contains(&"small:1".into()) && !names.contains(&"small:2".into()));
}

#[test]
fn an_archive_that_nobody_reads_to_its_end_is_an_error() {
    let Some(shop) = root() else { return };
    shop.import(tiny(), "small:1");
    let store = shop.store();
    for subcommand in ["save", "export"] {
        let arguments = [subcommand, "--store", store.to_str().unwrap(), "small:1"];
        let (code, stderr) = call_with_closed_stdout(&shop, &arguments);
        assert!(code == 1 && stderr.contains("EPIPE"), "{subcommand}: {stderr}");
    }
}
