//! `update`, on both versions of cgroups.

use std::fs;

use kiste_tests::host;
use serde_json::{Value, json};

use crate::conformance::bundle::{Bundle, ID};

/// Returns a started container with these resources.
fn started(resources: Value) -> Option<Bundle> {
    let mut bundle = Bundle::of_script("sleep 1000")?;
    bundle.config["linux"]["resources"] = resources;
    bundle.started();
    Some(bundle)
}

/// Returns the value of a file of the container's cgroup: the first that exists.
fn value(bundle: &Bundle, files: &[&str]) -> String {
    let pid = bundle.pid();
    let found = files.iter().find_map(|file| host::cgroup_value(pid, file));
    found.unwrap_or_else(|| panic!("none of {files:?}"))
}

const MEMORY: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];
const PIDS: [&str; 1] = ["pids.max"];

#[test]
fn options_change_the_limits_and_leave_the_others() {
    let Some(bundle) = started(json!({
        "memory": { "limit": 67108864, "swap": 67108864 },
        "pids": { "limit": 50 },
    })) else {
        return;
    };
    bundle.call(&["update", "--memory", "128m", "--memory-swap", "128m", ID]).exits(0);
    assert_eq!(value(&bundle, &MEMORY), "134217728");
    assert_eq!(value(&bundle, &PIDS), "50");
    bundle.call(&["update", "--pids-limit", "20", ID]).exits(0);
    assert_eq!(value(&bundle, &PIDS), "20");
    assert_eq!(value(&bundle, &MEMORY), "134217728");
    // Lower again: version 1 wants the two limits in the other order.
    bundle.call(&["update", "--memory", "64m", "--memory-swap", "80m", ID]).exits(0);
    assert_eq!(value(&bundle, &MEMORY), "67108864");
}

#[test]
fn cpu_time_and_shares_are_updated() {
    let Some(bundle) = started(json!({
        "cpu": { "quota": 50000, "period": 100000, "shares": 512 },
    })) else {
        return;
    };
    bundle
        .call(&["update", "--cpu-quota", "10000", "--cpu-period", "20000", ID])
        .exits(0);
    let cpu_max = host::cgroup_value(bundle.pid(), "cpu.max");
    let quota = host::cgroup_value(bundle.pid(), "cpu.cfs_quota_us");
    let period = host::cgroup_value(bundle.pid(), "cpu.cfs_period_us");
    match cpu_max {
        Some(both) => assert_eq!(both, "10000 20000"),
        None => assert_eq!(
            (quota.unwrap(), period.unwrap()),
            ("10000".into(), "20000".into())
        ),
    }
    let shares = ["cpu.shares", "cpu.weight"];
    let before = value(&bundle, &shares);
    bundle.call(&["update", "--cpu-share", "2048", ID]).exits(0);
    assert_ne!(value(&bundle, &shares), before);
    bundle.call(&["update", "--cpu-quota", "-1", ID]).exits(0);
    assert!(
        ["-1", "max 20000"]
            .contains(&&*value(&bundle, &["cpu.cfs_quota_us", "cpu.max"]))
    );
}

#[test]
fn limits_are_read_from_a_file_of_json_in_which_0_changes_nothing() {
    let Some(bundle) = started(json!({ "pids": { "limit": 50 } })) else { return };
    let file = bundle.dir().join("limits.json");
    let limits = json!({
        "memory": { "limit": 67108864, "reservation": 0 },
        "cpu": { "shares": 0, "quota": 0, "period": 0, "cpus": "" },
        "blockIO": { "weight": 0 },
        "devices": null,
    });
    fs::write(&file, limits.to_string()).unwrap();
    bundle.call(&["update", "--resources", file.to_str().unwrap(), ID]).exits(0);
    assert_eq!(value(&bundle, &MEMORY), "67108864");
    assert_eq!(value(&bundle, &PIDS), "50");

    fs::write(&file, "{").unwrap();
    let ran = bundle.call(&["update", "-r", file.to_str().unwrap(), ID]);
    ran.exits(1).assert_stderr_contains("limits.json");
}

#[test]
fn a_limit_that_the_kernel_or_a_rule_refuses_is_named() {
    let Some(bundle) = started(json!({})) else { return };
    for (options, name) in [
        (&["--memory", "64m", "--memory-swap", "32m"][..], "memory and swap limit"),
        (&["--memory-swap", "32m"], "memory and swap limit"),
        (&["--cpu-share", "1"], "CPU shares"),
        (&["--cpuset-cpus", "0-4000"], "CPU set"),
        (&["--cpu-idle", "2"], "CPU idle"),
    ] {
        let call = [&["update"], options, &[ID]].concat();
        bundle.call(&call).exits(1).assert_stderr_contains(name);
    }
}
