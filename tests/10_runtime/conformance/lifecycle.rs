//! runtime.md: "Lifecycle" and "Operations".

use std::fs;

use kiste_tests::{eventually, host};
use serde_json::json;

use super::bundle::{Bundle, ID};

#[test]
fn a_container_is_created_then_runs_then_stops_then_is_gone() {
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let Some(bundle) = Bundle::of_script(script) else { return };
    bundle.created();
    assert_eq!(bundle.status(), "created");
    assert_eq!(bundle.output(), "", "the program has not run");
    bundle.call(&["start", ID]).exits(0);
    bundle.wait_for_output("up");
    assert_eq!(bundle.status(), "running");
    bundle.call(&["kill", ID, "TERM"]).exits(0);
    bundle.wait_for("stopped");
    bundle.call(&["delete", ID]).exits(0);
    bundle.assert_nothing_left();
}

#[test]
fn create_makes_the_whole_environment_but_does_not_run_the_program() {
    let Some(mut bundle) = Bundle::of_script("touch /it-ran") else { return };
    bundle.add_mount("/mnt", "tmpfs", "tmpfs", &["size=64k"]);
    bundle.config["linux"]["resources"]["pids"] = json!({ "limit": 77 });
    bundle.created();
    let pid = bundle.pid();
    let own = host::own_namespaces(pid);
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        assert!(own.iter().any(|it| it == kind), "{kind}: {own:?}");
    }
    assert!(host::mount_at(pid, "/mnt").is_some(), "the mounts are there");
    assert_eq!(host::cgroup_value(pid, "pids.max").as_deref(), Some("77"));
    let name = host::status_field(pid, "Name");
    assert!(name != "sh" && name != "touch", "{name}");
    assert!(!bundle.rootfs().join("it-ran").exists());
    bundle.call(&["start", ID]).exits(0);
    bundle.finish();
    assert!(bundle.rootfs().join("it-ran").exists());
}

#[test]
fn changes_of_config_json_after_create_have_no_effect() {
    let Some(mut bundle) = Bundle::of_script("echo first; hostname") else { return };
    bundle.created();
    bundle.set_script("echo second; hostname");
    bundle.config["hostname"] = json!("changed");
    bundle.write();
    bundle.call(&["start", ID]).exits(0);
    assert_eq!(bundle.finish(), "first\nconformance");
}

#[test]
fn an_id_in_use_is_refused_and_its_container_is_unchanged() {
    let Some(bundle) = Bundle::of_script("echo up") else { return };
    bundle.created();
    let before = bundle.state();
    bundle.write();
    let again = ["create", "--bundle", bundle.dir().to_str().unwrap(), ID];
    let ran = bundle.call(&again);
    bundle.assert_refused(&ran);
    assert_eq!(bundle.state(), before);
    bundle.call(&["start", ID]).exits(0);
    assert_eq!(bundle.finish(), "up");
    let ran = bundle.call(&again);
    bundle.assert_refused(&ran);
}

#[test]
fn ids_that_are_not_valid_are_refused() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.write();
    let dir = bundle.dir().to_str().unwrap();
    for id in ["", ".", "..", "../one", "a/b", "/", "a b", "a\n", "ä", "a*"] {
        let ran = bundle.call(&["create", "--bundle", dir, id]);
        bundle.assert_refused(&ran);
        assert_eq!(bundle.ids(), [""; 0], "{id:?}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn an_operation_without_an_id_is_an_error() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.write();
    let bundle_dir = bundle.dir().to_str().unwrap();
    let create = ["create", "--bundle", bundle_dir];
    for call in [&["state"][..], &create, &["start"], &["kill"], &["delete"]] {
        let ran = bundle.call(call);
        bundle.assert_refused(&ran);
    }
    bundle.assert_nothing_left();
}

#[test]
fn an_operation_on_a_container_that_does_not_exist_is_an_error() {
    let Some(bundle) = Bundle::new() else { return };
    for call in
        [&["state", ID][..], &["start", ID], &["kill", ID, "TERM"], &["delete", ID]]
    {
        let ran = bundle.call(call);
        bundle.assert_refused(&ran);
    }
}

#[test]
fn create_without_a_bundle_is_an_error() {
    let Some(bundle) = Bundle::new() else { return };
    let empty = bundle.dir().join("empty");
    fs::create_dir(&empty).unwrap();
    for dir in ["/nonexistent", empty.to_str().unwrap()] {
        let ran = bundle.call(&["create", "--bundle", dir, ID]);
        bundle.assert_refused(&ran);
    }
    bundle.assert_nothing_left();
}

#[test]
fn start_of_a_running_or_stopped_container_is_an_error_without_effect() {
    let Some(bundle) = Bundle::of_script("echo up; exec sleep 1000") else { return };
    bundle.started();
    let before = bundle.state();
    let ran = bundle.call(&["start", ID]);
    bundle.assert_refused(&ran);
    assert_eq!(bundle.state(), before);
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    let ran = bundle.call(&["start", ID]);
    bundle.assert_refused(&ran);
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.output(), "up\n", "it ran once");
}

#[test]
fn a_container_without_a_process_is_not_started() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config.as_object_mut().unwrap().remove("process");
    let created = bundle.create();
    match created.code {
        0 => bundle.assert_refused(&bundle.call(&["start", ID])),
        _ => bundle.assert_refused(&created),
    }
}

#[test]
fn kill_sends_the_signal_that_is_asked_for_by_name_or_number() {
    let script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo win' WINCH
        echo up; while :; do sleep 0.05; done";
    let Some(bundle) = Bundle::of_script(script) else { return };
    bundle.started();
    bundle.wait_for_output("up");
    for (signal, text) in [("SIGUSR1", "usr1"), ("HUP", "hup"), ("28", "win")] {
        bundle.call(&["kill", ID, signal]).exits(0);
        bundle.wait_for_output(text);
    }
    let ran = bundle.call(&["kill", ID, "NOSUCH"]);
    bundle.assert_refused(&ran);
    assert_eq!(bundle.status(), "running");
}

#[test]
fn kill_reaches_a_container_that_is_only_created() {
    let Some(bundle) = Bundle::of_script("echo it ran") else { return };
    bundle.created();
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    assert_eq!(bundle.output(), "");
}

#[test]
fn kill_of_a_stopped_container_is_an_error() {
    let Some(bundle) = Bundle::of_script("true") else { return };
    bundle.started();
    bundle.finish();
    let before = bundle.state();
    let ran = bundle.call(&["kill", ID, "TERM"]);
    bundle.assert_refused(&ran);
    assert_eq!(bundle.state(), before);
}

#[test]
fn delete_of_a_running_container_is_an_error_without_effect() {
    let Some(bundle) = Bundle::of_script("echo up; exec sleep 1000") else { return };
    bundle.started();
    bundle.wait_for_output("up");
    let before = bundle.state();
    let ran = bundle.call(&["delete", ID]);
    bundle.assert_refused(&ran);
    assert_eq!(bundle.state(), before);
    assert!(host::is_alive(&before["pid"]));
}

/// The specification wants an error. runc and crun remove it, and engines rely on that
/// for a container that was never started.
#[test]
fn delete_of_a_created_container_removes_it_as_runc_does() {
    let Some(bundle) = Bundle::of_script("echo up") else { return };
    bundle.created();
    let pid = bundle.pid();
    bundle.call(&["delete", ID]).exits(0);
    bundle.assert_nothing_left();
    assert!(!host::is_alive(pid));
    assert_eq!(bundle.output(), "");
}

#[test]
fn delete_removes_what_create_made_and_nothing_else() {
    let Some(mut bundle) = Bundle::of_script("touch /volume/written") else { return };
    let volume = bundle.dir().join("volume");
    fs::create_dir(&volume).unwrap();
    bundle.add_mount("/volume", "none", volume.to_str().unwrap(), &["bind"]);
    let before = host::mounts();
    bundle.started();
    bundle.finish();
    bundle.call(&["delete", ID]).exits(0);
    bundle.assert_nothing_left();
    assert_eq!(bundle.ids(), [""; 0]);
    let is_ours = |line: &&String| line.contains(bundle.cgroup());
    assert_eq!(host::mounts().iter().find(is_ours), before.iter().find(is_ours));
    assert!(volume.join("written").exists(), "the volume and its files stay");
    assert!(bundle.rootfs().join("bin").exists(), "the root file system stays");
}

#[test]
fn an_id_can_be_used_again_after_delete() {
    let Some(mut bundle) = Bundle::of_script("echo first") else { return };
    bundle.started();
    assert_eq!(bundle.finish(), "first");
    bundle.call(&["delete", ID]).exits(0);
    bundle.set_script("echo second");
    bundle.started();
    assert_eq!(bundle.finish(), "second");
}

#[test]
fn delete_ends_what_a_container_left_running() {
    // Without a PID namespace the kernel does not end the other processes.
    let Some(mut bundle) = Bundle::of_script("sleep 1000 & echo left") else { return };
    bundle.remove_namespace("pid");
    bundle.started();
    bundle.finish();
    bundle.call(&["delete", ID]).exits(0);
    // By the name of the directory, which no other test has.
    let left = || host::processes_at(bundle.dir());
    assert!(eventually(|| left().is_empty().then_some(())).is_some(), "{:?}", left());
}
