//! `pause` and `resume`, seen from outside.

use std::fs;

use kiste_tests::{eventually, host};

use crate::conformance::bundle::{Bundle, ID};

/// Returns a started container that writes a line each tenth of a second.
fn counting() -> Option<Bundle> {
    let bundle = Bundle::of_script("while true; do echo x; sleep 0.1; done")?;
    bundle.started();
    bundle.wait_for_output("x\n");
    Some(bundle)
}

#[test]
fn a_paused_container_stands_still_until_it_is_resumed() {
    let Some(bundle) = counting() else { return };
    bundle.call(&["pause", ID]).exits(0);
    assert_eq!(bundle.status(), "paused");
    // Asleep or frozen, the processes use no CPU time: they run no instruction.
    let stat = || fs::read_to_string(format!("/proc/{}/stat", bundle.pid())).unwrap();
    let frozen = host::cgroup_value(bundle.pid(), "cgroup.events")
        .map(|events| events.contains("frozen 1"))
        .or_else(|| {
            Some(host::cgroup_value(bundle.pid(), "freezer.state")? == "FROZEN")
        });
    assert_eq!(frozen, Some(true), "{}", stat());
    let before = bundle.output();
    assert_eq!(bundle.output(), before);

    bundle.call(&["resume", ID]).exits(0);
    assert_eq!(bundle.status(), "running");
    let goes_on = eventually(|| (bundle.output().len() > before.len()).then_some(()));
    assert!(goes_on.is_some(), "it writes again");
}

#[test]
fn pause_and_resume_say_in_which_state_the_container_is() {
    let Some(bundle) = counting() else { return };
    bundle.call(&["resume", ID]).exits(1).assert_stderr_contains("running");
    bundle.call(&["pause", ID]).exits(0);
    bundle.call(&["pause", ID]).exits(1).assert_stderr_contains("paused");
    let ran = bundle.exec(&[], &["true"]);
    assert_ne!(ran.code, 0);
    ran.assert_stderr_contains("cannot exec in a paused container");
}

#[test]
fn a_paused_container_can_be_killed_and_deleted() {
    let Some(bundle) = counting() else { return };
    bundle.call(&["pause", ID]).exits(0);
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    bundle.call(&["delete", ID]).exits(0);
    bundle.assert_nothing_left();

    let Some(bundle) = counting() else { return };
    bundle.call(&["pause", ID]).exits(0);
    bundle.call(&["delete", "--force", ID]).exits(0);
    bundle.assert_nothing_left();
}
