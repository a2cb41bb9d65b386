//! `kill`: which processes get the signal, and whose word says so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use kiste_tests::{eventually, host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID, write_script};

/// How often a call is interrupted, each time at another moment.
const ROUNDS: u32 = 32;

/// Returns the processes in the cgroups of the container, in each hierarchy.
fn processes(bundle: &Bundle) -> Vec<String> {
    let mounts = host::cgroup_mounts().into_iter();
    let texts = mounts.filter_map(|mount| {
        fs::read_to_string(mount.join(bundle.cgroup()).join("cgroup.procs")).ok()
    });
    let mut pids: Vec<_> = texts
        .flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>())
        .collect();
    pids.sort();
    pids.dedup();
    pids
}

/// Counts the processes of the container that execute a program of this name.
fn named(bundle: &Bundle, name: &str) -> usize {
    let has_name = |pid: &String| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    };
    processes(bundle).into_iter().filter(has_name).count()
}

/// Notes the signal USR1, and waits for it.
const WAITING: &str =
    "trap 'echo $WHO >> /got' USR1; echo $WHO >> /ready; while :; do sleep 0.1; done";

fn lines(bundle: &Bundle, file: &str) -> Vec<String> {
    let text = fs::read_to_string(bundle.rootfs().join(file)).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().map(String::from).collect();
    lines.sort();
    lines
}

fn wait_for(bundle: &Bundle, file: &str, expected: &[&str]) {
    let found = eventually(|| (lines(bundle, file) == expected).then_some(()));
    assert!(found.is_some(), "{file}: {:?}", lines(bundle, file));
}

/// Starts a container with three processes that wait for USR1; the last one has joined it.
fn three_waiting() -> Option<Bundle> {
    let mut bundle = Bundle::of_script("WHO=child sh /waiting & WHO=first . /waiting")?;
    write_script(bundle.rootfs().join("waiting"), &format!("#!/bin/sh\n{WAITING}\n"));
    bundle.config["linux"]["resources"] = json!({});
    bundle.started();
    let joined = ["env", "WHO=joined", "sh", "/waiting"];
    bundle.exec(&["--detach"], &joined).exits(0);
    wait_for(&bundle, "ready", &["child", "first", "joined"]);
    Some(bundle)
}

#[test]
fn kill_all_sends_the_signal_to_every_process_and_kill_only_to_the_first() {
    let Some(bundle) = three_waiting() else { return };
    bundle.call(&["kill", ID, "USR1"]).exits(0);
    wait_for(&bundle, "got", &["first"]);
    bundle.call(&["kill", "--all", ID, "USR1"]).exits(0);
    wait_for(&bundle, "got", &["child", "first", "first", "joined"]);
    assert_eq!(bundle.status(), "running");
    // Real-time signals have no names; the shells do not wait for this one.
    bundle.call(&["kill", "-a", ID, "RTMIN+1"]).exits(0);
    // Each shell has a `sleep` most of the time.
    eventually(|| {
        (named(&bundle, "sh") + named(&bundle, "waiting") == 1).then_some(())
    })
    .expect("it ends all but the first, which is PID 1");
}

#[test]
fn kill_all_reaches_a_paused_container_once_it_is_resumed() {
    let Some(bundle) = three_waiting() else { return };
    bundle.call(&["pause", ID]).exits(0);
    bundle.call(&["kill", "--all", ID, "USR1"]).exits(0);
    assert_eq!(bundle.status(), "paused");
    assert_eq!(lines(&bundle, "got"), [""; 0]);
    bundle.call(&["resume", ID]).exits(0);
    wait_for(&bundle, "got", &["child", "first", "joined"]);
}

#[test]
fn a_signal_during_kill_all_does_not_leave_the_container_frozen() {
    let script = "for i in $(seq 200); do sleep 1000 & done; wait";
    let Some(mut bundle) = Bundle::of_script(script) else { return };
    bundle.config["linux"]["resources"] = json!({});
    bundle.started();
    eventually(|| (processes(&bundle).len() > 200).then_some(())).expect("they run");
    let call = ["kill", "--all", ID, "0"];
    let begin = Instant::now();
    assert!(bundle.spawn("whole", &call).wait().unwrap().success());
    let whole = begin.elapsed();
    for round in 0..ROUNDS {
        let mut kill_all = bundle.spawn("interrupted", &call);
        std::thread::sleep(whole * round / ROUNDS);
        kill(Pid::from_raw(kill_all.id() as i32), Signal::SIGTERM).unwrap();
        kill_all.wait().unwrap();
        assert_eq!(bundle.status(), "running", "round {round}");
    }
}

#[test]
fn kill_all_reaches_what_a_stopped_container_has_left() {
    for signal in ["TERM", "KILL"] {
        let Some(mut bundle) = Bundle::of_script("sleep 1000 & sleep 1000 & exit 0")
        else {
            return;
        };
        bundle.remove_namespace("pid");
        bundle.started();
        bundle.wait_for("stopped");
        assert_eq!(processes(&bundle).len(), 2, "without a PID namespace they live on");
        let refused = bundle.call(&["kill", ID, signal]);
        refused.exits(1).assert_stderr_contains("container not running");
        bundle.call(&["kill", "--all", ID, signal]).exits(0);
        eventually(|| processes(&bundle).is_empty().then_some(())).expect(signal);
        bundle.call(&["kill", "--all", ID, signal]).exits(0);
    }
}

#[test]
fn a_state_in_a_directory_that_others_can_write_to_is_not_believed() {
    let Some(bundle) = Bundle::of_script("exec sleep 1000") else { return };
    bundle.started();
    let root = bundle.state_root();
    let forged = root.join("forged");
    let copied = Command::new("cp").arg("-a").args([&root.join(ID), &forged]).status();
    assert!(copied.unwrap().success());
    bundle.call(&["state", "forged"]).exits(0);
    let assert_refused = |why: &str| {
        for verb in ["state", "ps", "pause"] {
            bundle.call(&[verb, "forged"]).exits(1).assert_stderr_contains(why);
        }
        let kill = bundle.call(&["kill", "forged", "KILL"]);
        kill.exits(1).assert_stderr_contains(why);
        assert_eq!(bundle.status(), "running", "the process of the other container");
    };
    fs::set_permissions(&forged, fs::Permissions::from_mode(0o777)).unwrap();
    assert_refused("others can write to");
    fs::set_permissions(&forged, fs::Permissions::from_mode(0o700)).unwrap();
    host::chown_recursive(&forged, 65534, 65534);
    assert_refused("belongs to uid 65534");
    fs::remove_dir_all(&forged).unwrap();
}
