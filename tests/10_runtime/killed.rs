//! Commands that are killed, and containers whose processes are.

use std::fs;
use std::process::Child;

use kiste_tests::{eventually, host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID, write_script};

/// Makes `create` wait in a hook, and kills it there.
fn create_killed_in_a_hook(bundle: &mut Bundle) {
    let hook = bundle.dir().join("hook");
    let marker = bundle.dir().join("in-hook");
    let script = format!("#!/bin/sh\ntouch {}\nexec sleep 1000\n", marker.display());
    write_script(&hook, &script);
    bundle.config["hooks"] = json!({"createRuntime": [{"path": hook}]});
    bundle.write();
    let words = ["create", "--bundle", bundle.dir().to_str().unwrap(), ID];
    let mut create = bundle.spawn("create", &words);
    assert!(eventually(|| marker.exists().then_some(())).is_some(), "the hook runs");
    let sleeping = host::children(create.id() as i32);
    create.kill().unwrap();
    create.wait().unwrap();
    sleeping.into_iter().for_each(host::kill_tree);
}

#[test]
fn what_a_killed_create_leaves_is_removed_by_delete_force() {
    let Some(mut bundle) = Bundle::new() else { return };
    create_killed_in_a_hook(&mut bundle);
    bundle.call(&["delete", "--force", ID]).exits(0);
    bundle.assert_nothing_left();
    bundle.config.as_object_mut().unwrap().remove("hooks");
    bundle.assert_works();
}

#[test]
fn delete_force_ends_a_create_that_hangs_in_a_hook() {
    let Some(mut bundle) = Bundle::new() else { return };
    let (hook, marker) = (bundle.dir().join("hook"), bundle.dir().join("in-hook"));
    write_script(&hook, &format!("#!/bin/sh\ntouch {}\nsleep 3\n", marker.display()));
    bundle.config["hooks"] = json!({"prestart": [{"path": hook}]});
    bundle.write();
    let words = ["create", "--bundle", bundle.dir().to_str().unwrap(), ID];
    let mut create = bundle.spawn("create", &words);
    assert!(eventually(|| marker.exists().then_some(())).is_some(), "the hook runs");
    bundle.call(&["delete", "--force", ID]).exits(0);
    let status = eventually(|| create.try_wait().unwrap()).expect("create ends");
    assert!(!status.success());
    bundle.assert_nothing_left();
}

/// Creates the container, and makes `start` wait in a hook of the image.
fn start_hanging_in_a_hook(bundle: &mut Bundle) -> Child {
    let script = "touch /in-hook; exec sleep 1000";
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
    bundle.config["hooks"] = json!({"startContainer": [hook]});
    bundle.created();
    let start = bundle.spawn("start", &["start", ID]);
    let marker = bundle.rootfs().join("in-hook");
    assert!(eventually(|| marker.exists().then_some(())).is_some(), "the hook runs");
    start
}

#[test]
fn a_signal_ends_a_start_that_hangs_in_a_hook_and_nothing_is_left() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut start = start_hanging_in_a_hook(&mut bundle);
    kill(Pid::from_raw(start.id() as i32), Signal::SIGTERM).unwrap();
    let status = eventually(|| start.try_wait().unwrap()).expect("start ends");
    assert_eq!(status.code(), Some(1));
    bundle.printed("start", 1).assert_stderr_contains("interrupted by SIGTERM");
    bundle.assert_nothing_left();
}

#[test]
fn a_signal_ends_a_start_that_hangs_in_a_poststart_hook_and_nothing_is_left() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    let (hook, marker) = (bundle.dir().join("hook"), bundle.dir().join("in-hook"));
    let script = format!("#!/bin/sh\ntouch {}\nexec sleep 1000\n", marker.display());
    write_script(&hook, &script);
    bundle.config["hooks"] = json!({"poststart": [{"path": hook}]});
    bundle.created();
    let mut start = bundle.spawn("start", &["start", ID]);
    assert!(eventually(|| marker.exists().then_some(())).is_some(), "the hook runs");
    kill(Pid::from_raw(start.id() as i32), Signal::SIGTERM).unwrap();
    let status = eventually(|| start.try_wait().unwrap()).expect("start ends");
    assert_eq!(status.code(), Some(1));
    bundle.assert_nothing_left();
}

#[test]
fn delete_force_ends_a_start_that_hangs_in_a_hook() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut start = start_hanging_in_a_hook(&mut bundle);
    bundle.call(&["delete", "--force", ID]).exits(0);
    let status = eventually(|| start.try_wait().unwrap()).expect("start ends");
    assert!(!status.success());
    bundle.assert_nothing_left();
}

#[test]
fn delete_force_ends_a_run_in_the_foreground() {
    let Some(bundle) = Bundle::of_script("touch /runs; exec sleep 1000") else {
        return;
    };
    bundle.write();
    let words = ["run", "--bundle", bundle.dir().to_str().unwrap(), ID];
    let mut run = bundle.spawn("run", &words);
    let marker = bundle.rootfs().join("runs");
    assert!(eventually(|| marker.exists().then_some(())).is_some(), "it runs");
    bundle.wait_for("running");
    bundle.call(&["delete", "--force", ID]).exits(0);
    let status = eventually(|| run.try_wait().unwrap()).expect("run ends");
    assert_eq!(status.code(), Some(137));
    bundle.assert_nothing_left();
}

#[test]
fn start_reports_a_first_process_that_is_killed_before_it_becomes_the_command() {
    let Some(mut bundle) = Bundle::of_script("true") else { return };
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["memfd_create"], "action": "SCMP_ACT_KILL_PROCESS"}],
    });
    bundle.started();
    bundle.finish();
    bundle.call(&["delete", ID]).exits(0);
    // The runtime needs a memfd for the stdin of a hook.
    bundle.config["hooks"] = json!({"startContainer": [{"path": "/bin/true"}]});
    bundle.created();
    let ran = bundle.call(&["start", ID]);
    bundle.assert_refused(&ran);
    ran.assert_stderr_contains("died before it became the command");
    bundle.assert_nothing_left();
}

#[test]
fn start_reports_the_failure_of_the_first_process_and_does_not_wait_for_it() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["hooks"] = json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 9"]}]});
    bundle.created();
    let ran = bundle.call(&["start", ID]);
    bundle.assert_refused(&ran);
    ran.assert_stderr_contains("startContainer hook /bin/sh");
}

#[test]
fn start_of_a_container_whose_first_process_was_killed_is_refused_at_once() {
    let Some(bundle) = Bundle::of_script("sleep 1000") else { return };
    bundle.created();
    host::kill_tree(bundle.pid() as i32);
    bundle.wait_for("stopped");
    bundle.assert_refused(&bundle.call(&["start", ID]));
    bundle.call(&["delete", ID]).exits(0);
    bundle.assert_nothing_left();
}

#[test]
fn a_directory_without_a_state_is_no_container_and_can_be_deleted() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.assert_works();
    let directory = bundle.state_root().join(ID);
    fs::create_dir_all(&directory).unwrap();
    assert!(!bundle.knows(ID));
    bundle.assert_refused(&bundle.create());
    bundle.call(&["delete", "--force", ID]).exits(0);
    assert!(!directory.exists());
    bundle.call(&["delete", "--force", ID]).exits(0);
    bundle.assert_works();
}

#[test]
fn the_commands_of_other_processes_do_not_disturb_each_other() {
    let Some(bundle) = Bundle::of_script("true") else { return };
    bundle.write();
    let run = |number: usize| {
        let id = format!("many-{number}");
        let words = ["run", "--bundle", bundle.dir().to_str().unwrap(), &id];
        bundle.spawn(&id, &words)
    };
    // They share one cgroupsPath, so only some of them can live at the same time; none
    // may hang, and none may leave anything.
    let mut all: Vec<_> = (0..8).map(run).collect();
    for child in &mut all {
        assert!(eventually(|| child.try_wait().unwrap()).is_some(), "it ends");
    }
    bundle.assert_nothing_left();
}
