//! runtime.md, "State".

use kiste_tests::{eventually, host};
use serde_json::{Value, json};

use super::bundle::{Bundle, ID};

/// The statuses that the specification defines.
const DEFINED: [&str; 4] = ["creating", "created", "running", "stopped"];

/// Asserts that a state has every required property, by the schema state-schema.json.
#[track_caller]
pub fn assert_is_state(state: &Value, bundle: &Bundle) {
    let version = state["ociVersion"].as_str().expect("ociVersion is a string");
    let core = version.split(['-', '+']).next().unwrap();
    let numbers: Vec<_> = core.split('.').map(str::parse::<u32>).collect();
    assert!(numbers.len() == 3 && numbers.iter().all(Result::is_ok), "{version}");
    assert_eq!(state["id"], ID);
    assert!(DEFINED.contains(&state["status"].as_str().expect("a status")), "{state}");
    assert_eq!(state["bundle"], bundle.dir().to_str().unwrap());
    let annotations = state.get("annotations").map(Value::as_object);
    assert!(annotations != Some(None), "annotations are a map: {state}");
}

#[test]
fn the_state_has_every_required_property_in_each_status() {
    let Some(bundle) = Bundle::of_script("exec sleep 1000") else { return };
    bundle.created();
    let created = bundle.state();
    assert_is_state(&created, &bundle);
    assert_eq!(created["status"], "created");
    bundle.call(&["start", ID]).exits(0);
    let running = bundle.state();
    assert_is_state(&running, &bundle);
    assert_eq!(running["pid"], created["pid"]);
    bundle.call(&["kill", ID, "KILL"]);
    bundle.wait_for("stopped");
    let stopped = bundle.state();
    assert_is_state(&stopped, &bundle);
    bundle.call(&["delete", ID]).exits(0);
}

#[test]
fn the_pid_is_that_of_the_container_process_as_the_host_sees_it() {
    let Some(bundle) = Bundle::of_script("echo up; exec sleep 1000") else { return };
    bundle.created();
    let pid = bundle.pid();
    assert!(pid > 0 && host::is_alive(pid), "{pid}");
    assert!(host::status_field(pid, "NSpid").ends_with("\t1"), "it is PID 1 inside");
    bundle.call(&["start", ID]).exits(0);
    bundle.wait_for_output("up");
    assert_eq!(bundle.pid(), pid);
    let command =
        eventually(|| (host::status_field(pid, "Name") == "sleep").then_some(()));
    assert!(command.is_some(), "it runs the command");
}

#[test]
fn the_status_is_running_after_start_and_stopped_after_the_end() {
    let Some(bundle) = Bundle::of_script("echo up; exec sleep 1000") else { return };
    bundle.started();
    bundle.wait_for_output("up");
    assert_eq!(bundle.status(), "running");
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
}

#[test]
fn the_bundle_is_an_absolute_path_even_if_a_relative_one_was_given() {
    let Some(bundle) = Bundle::of_script("sleep 1000") else { return };
    bundle.write();
    let ran =
        bundle.spawn("relative", &["create", "--bundle", ".", ID]).wait().unwrap();
    assert!(ran.success(), "{:?}", bundle.printed("relative", 0));
    assert_eq!(bundle.state()["bundle"], bundle.dir().to_str().unwrap());
}

#[test]
fn annotations_are_in_the_state() {
    let Some(mut bundle) = Bundle::of_script("sleep 1000") else { return };
    bundle.config["annotations"] = json!({ "org.example.key": "a value", "empty": "" });
    bundle.created();
    let state = bundle.state();
    assert_eq!(state["annotations"]["org.example.key"], "a value");
    assert_eq!(state["annotations"]["empty"], "");
}

#[test]
fn a_paused_container_has_a_status_that_the_specification_does_not_define() {
    let Some(bundle) = Bundle::of_script("echo up; exec sleep 1000") else { return };
    bundle.started();
    bundle.wait_for_output("up");
    bundle.call(&["pause", ID]).exits(0);
    let paused = bundle.status();
    assert!(!DEFINED.contains(&paused.as_str()), "{paused}");
    bundle.call(&["resume", ID]).exits(0);
    assert_eq!(bundle.status(), "running");
}
