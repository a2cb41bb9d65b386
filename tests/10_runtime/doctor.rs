//! `doctor`: the checks of this step.

use std::process::Command;

use kiste_tests::step;
use serde_json::Value;

/// Returns the exit code of `doctor` with these options before it, and its checks.
fn doctor(options: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut program = Command::new(step!("10-runtime").exe());
    let output =
        program.args(options).args(["doctor", "--format", "json"]).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[track_caller]
fn find<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    checks.iter().find(|check| check["name"] == name).expect(name)
}

#[test]
fn doctor_has_the_checks_of_the_rooms_that_a_runtime_uses() {
    if !step!("10-runtime").is_ours() {
        return;
    }
    let (_, checks) = doctor(&[]);
    for name in [
        "kernel",
        "root",
        "cgroup-pids",
        "user-namespace",
        "capabilities",
        "seccomp",
        "time-namespace",
        "pivot-root",
        "systemd",
        "state",
    ] {
        let check = find(&checks, name);
        assert_ne!(check["found"], "", "{check}");
        assert_eq!(check["verdict"] == "ok", check["fix"].is_null(), "{check}");
    }
    let is_there = |name| checks.iter().any(|check| check["name"] == name);
    assert!(!is_there("rootfs"), "a bundle has its own");
    assert!(!is_there("bridge"), "networks are the engine's");
}

#[test]
fn doctor_fails_where_no_state_can_be_kept() {
    if !step!("10-runtime").is_ours() {
        return;
    }
    let (code, checks) = doctor(&["--root", "/dev/null/state"]);
    let check = find(&checks, "state");
    assert_eq!((code, &check["verdict"]), (Some(1), &"fails".into()), "{check}");
    assert!(check["found"].as_str().unwrap().ends_with("(ENOTDIR)"), "{check}");
    assert!(check["fix"].as_str().unwrap().contains("--root"), "{check}");
}
