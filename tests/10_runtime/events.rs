//! `events`: counters, and the end of memory.

use kiste_tests::eventually;
use serde_json::{Value, json};

use crate::conformance::bundle::{Bundle, ID};

#[test]
fn stats_are_one_line_of_json_with_the_names_that_runc_has() {
    let Some(mut bundle) = Bundle::of_script("sleep 1000 & sleep 1000") else { return };
    bundle.config["linux"]["resources"] = json!({
        "memory": { "limit": 67108864 },
        "pids": { "limit": 50 },
    });
    bundle.started();
    let two = eventually(|| {
        let ran = bundle.call(&["events", "--stats", ID]);
        let event: Value = serde_json::from_str(ran.exits(0).out.trim()).unwrap();
        (event["data"]["pids"]["current"].as_u64() >= Some(2)).then_some(event)
    });
    let event = two.expect("two processes are counted");
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(ID)));
    let data = &event["data"];
    assert_eq!(data["pids"]["limit"], 50);
    assert_eq!(data["memory"]["usage"]["limit"], 67108864);
    assert!(data["memory"]["usage"]["usage"].as_u64() > Some(0), "{data}");
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{data}");
    assert!(data["memory"]["raw"].as_object().unwrap().len() > 10, "{data}");
}

#[test]
fn a_container_that_runs_out_of_memory_is_reported_and_its_end_ends_the_events() {
    // tail keeps all of /dev/zero in memory, since it has no line. Its end is the
    // container's.
    let Some(mut bundle) = Bundle::of_script("read line < /fifo; tail /dev/zero")
    else {
        return;
    };
    bundle.config["linux"]["resources"] =
        json!({ "memory": { "limit": 16777216, "swap": 16777216 } });
    let fifo = bundle.rootfs().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    bundle.started();
    let mut events = bundle.spawn("events", &["events", "--interval", "100ms", ID]);
    let watches = eventually(|| {
        let out = bundle.printed("events", 0).out;
        out.contains(r#""type":"stats""#).then_some(())
    });
    assert!(watches.is_some(), "{:?}", bundle.printed("events", 0));
    std::fs::write(&fifo, "go\n").unwrap();
    let status = eventually(|| events.try_wait().unwrap());
    let printed = bundle.printed("events", 0);
    let oom = format!(r#"{{"type":"oom","id":"{ID}"}}"#);
    assert!(printed.out.contains(&oom), "{printed:?}");
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{printed:?}");
}

#[test]
fn a_stopped_container_has_no_events() {
    let Some(bundle) = Bundle::of_script("true") else { return };
    bundle.started();
    bundle.wait_for("stopped");
    let ran = bundle.call(&["events", "--stats", ID]);
    ran.exits(1).assert_stderr_contains("is not running");
}
