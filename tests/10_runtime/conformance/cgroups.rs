//! config-linux.md, "Control groups".

use std::fs;
use std::path::Path;

use kiste_tests::{host, report_missing};
use serde_json::{Value, json};

use super::bundle::{Bundle, ID};

/// Returns whether all controllers are in version 2 of cgroups here.
fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Makes a bundle whose container waits and has these resources.
fn waiting(resources: &Value) -> Option<Bundle> {
    let mut bundle = Bundle::of_script("echo up; exec sleep 1000")?;
    bundle.config["linux"]["resources"] = resources.clone();
    Some(bundle)
}

/// Returns the paths of a process's cgroups, as /proc/PID/cgroup lists them.
fn paths_of(pid: i64) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.lines().map(|line| line.splitn(3, ':').nth(2).unwrap().into()).collect()
}

#[test]
fn an_absolute_cgroups_path_is_relative_to_the_mount_point_and_always_the_same_place() {
    let Some(mut bundle) = waiting(&json!({ "pids": { "limit": 50 } })) else { return };
    let path = format!("/{0}/a/{0}", bundle.cgroup());
    bundle.config["linux"]["cgroupsPath"] = json!(path);
    for _ in 0..2 {
        bundle.created();
        let file = host::cgroup_file(bundle.pid(), "pids.max").unwrap();
        let mounts = host::cgroup_mounts();
        assert!(mounts.iter().any(|at| at.join(&path[1..]).join("pids.max") == file));
        bundle.call(&["delete", "--force", ID]).exits(0);
    }
    // runc leaves the cgroups above.
    for mount in host::cgroup_mounts() {
        let above = mount.join(bundle.cgroup());
        let _ = fs::remove_dir(above.join("a"));
        let _ = fs::remove_dir(above);
    }
}

#[test]
fn a_relative_cgroups_path_is_always_the_same_place() {
    let Some(mut bundle) = waiting(&json!({ "pids": { "limit": 50 } })) else { return };
    bundle.config["linux"]["cgroupsPath"] = json!(bundle.cgroup());
    let mut found = Vec::new();
    for _ in 0..2 {
        bundle.created();
        found.push(paths_of(bundle.pid()));
        bundle.call(&["delete", "--force", ID]).exits(0);
    }
    assert_eq!(found[0], found[1]);
    assert!(found[0].iter().any(|path| path.contains(bundle.cgroup())), "{found:?}");
}

#[test]
fn a_cgroups_path_does_not_leave_the_hierarchy() {
    let Some(mut bundle) = waiting(&json!({ "pids": { "limit": 50 } })) else { return };
    bundle.config["linux"]["cgroupsPath"] =
        json!(format!("/../../{}", bundle.cgroup()));
    let ran = bundle.create();
    if ran.code == 0 {
        let inside = |path: &String| !path.contains("..");
        assert!(paths_of(bundle.pid()).iter().all(inside));
    }
    assert!(!Path::new("/sys").join(bundle.cgroup()).exists());
}

#[test]
fn limits_are_those_of_the_configuration() {
    let Some(bundle) = waiting(&json!({
        "memory": { "limit": 67108864, "reservation": 33554432 },
        "cpu": { "quota": 50000, "period": 100000, "cpus": "0" },
        "pids": { "limit": 50 },
    })) else {
        return;
    };
    bundle.started();
    bundle.wait_for_output("up");
    let pid = bundle.pid();
    let value = |v2: &str, v1: &str| {
        host::cgroup_value(pid, if is_unified() { v2 } else { v1 }).unwrap_or_default()
    };
    assert_eq!(value("memory.max", "memory.limit_in_bytes"), "67108864");
    assert_eq!(value("memory.low", "memory.soft_limit_in_bytes"), "33554432");
    match is_unified() {
        true => assert_eq!(value("cpu.max", ""), "50000 100000"),
        false => {
            assert_eq!(value("", "cpu.cfs_quota_us"), "50000");
            assert_eq!(value("", "cpu.cfs_period_us"), "100000");
        }
    }
    assert_eq!(value("cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(value("pids.max", "pids.max"), "50");
}

#[test]
fn a_limit_of_minus_one_is_no_limit() {
    let resources = json!({ "pids": { "limit": -1 }, "memory": { "limit": -1 } });
    let Some(bundle) = waiting(&resources) else { return };
    bundle.created();
    assert_eq!(host::cgroup_value(bundle.pid(), "pids.max").as_deref(), Some("max"));
}

#[test]
fn a_new_memory_limit_below_the_usage_is_refused_if_the_check_is_asked_for() {
    let Some(mut bundle) = waiting(&json!({ "memory": { "limit": 134217728 } })) else {
        return;
    };
    bundle.set_script(
        "head -c 40000000 /dev/zero > /dev/shm/x; echo up; exec sleep 1000",
    );
    bundle.started();
    bundle.wait_for_output("up");
    let resources = bundle.dir().join("resources.json");
    let new = json!({ "memory": { "limit": 4194304, "checkBeforeUpdate": true } });
    fs::write(&resources, new.to_string()).unwrap();
    let ran = bundle.call(&["update", "--resources", resources.to_str().unwrap(), ID]);
    bundle.assert_refused(&ran);
    assert_eq!(bundle.status(), "running", "it is not killed");
}

#[test]
fn a_burst_above_the_quota_is_refused() {
    let why = "runc 1.1 does not know burst";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["linux"]["resources"]["cpu"] =
        json!({ "quota": 20000, "period": 100000, "burst": 30000 });
    bundle.assert_config_refused();
}

#[test]
fn a_weight_of_a_device_without_a_weight_is_refused() {
    let why = "runc 1.1 writes a weight of 0";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["linux"]["resources"]["blockIO"] =
        json!({ "weightDevice": [{ "major": 7, "minor": 0 }] });
    bundle.assert_config_refused();
}

#[test]
fn a_limit_for_a_size_of_huge_pages_that_the_kernel_lacks_is_refused() {
    let why = "runc 1.1 ignores it on a hybrid host";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    for size in ["3MB", "nosuch"] {
        bundle.config["linux"]["resources"]["hugepageLimits"] =
            json!([{ "pageSize": size, "limit": 0 }]);
        bundle.assert_config_refused();
    }
}

#[test]
fn rdma_limits_of_a_device_without_a_limit_are_refused() {
    let why = "runc 1.1 ignores it where the controller is missing";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["linux"]["resources"]["rdma"] = json!({ "mlx5_1": {} });
    bundle.assert_config_refused();
}

#[test]
fn an_incomplete_limit_is_refused() {
    let why = "runc takes a missing value for an empty one";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    for (kind, value) in [
        ("blockIO", json!({ "throttleReadBpsDevice": [{ "major": 7, "minor": 0 }] })),
        ("blockIO", json!({ "throttleWriteIOPSDevice": [{ "major": 7, "rate": 1 }] })),
        ("hugepageLimits", json!([{ "limit": 0 }])),
        ("hugepageLimits", json!([{ "pageSize": "2MB" }])),
        ("network", json!({ "priorities": [{ "name": "lo" }] })),
        ("network", json!({ "priorities": [{ "priority": 1 }] })),
    ] {
        bundle.config["linux"]["resources"] = json!({ kind: value.clone() });
        let ran = bundle.create();
        bundle.delete_all();
        assert_ne!(ran.code, 0, "{kind}: {value}");
    }
}

#[test]
fn a_setting_that_version_2_lacks_is_refused_there() {
    if !is_unified() {
        return report_missing("cgroup-v2", "the controllers are not all in version 2");
    }
    let why = "runc 1.1 ignores them";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    for (kind, value) in [
        ("memory", json!({ "limit": 67108864, "swappiness": 10 })),
        ("network", json!({ "classID": 1048577 })),
        ("cpu", json!({ "realtimeRuntime": 950000 })),
    ] {
        bundle.config["linux"]["resources"] = json!({ kind: value });
        bundle.assert_config_refused();
    }
}

#[test]
fn a_unified_setting_is_written_as_it_is_and_its_controller_enabled() {
    if !is_unified() {
        return report_missing("cgroup-v2", "the controllers are not all in version 2");
    }
    let Some(bundle) = waiting(&json!({
        "unified": { "memory.high": "50000000", "pids.max": "33", "cgroup.max.depth": "3" },
    })) else {
        return;
    };
    bundle.created();
    let value = |file: &str| host::cgroup_value(bundle.pid(), file);
    assert_eq!(value("pids.max").as_deref(), Some("33"));
    assert_eq!(value("cgroup.max.depth").as_deref(), Some("3"));
    assert_eq!(value("memory.high").as_deref(), Some("49999872"), "whole pages");
}

#[test]
fn a_unified_setting_whose_controller_is_missing_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["linux"]["resources"]["unified"] = json!({ "nosuch.max": "1" });
    bundle.assert_config_refused();
    let file_for_the_kernel = if is_unified() { "memory.nosuch" } else { "memory.max" };
    bundle.config["linux"]["resources"]["unified"] =
        json!({ file_for_the_kernel: "1" });
    bundle.assert_config_refused();
}

#[test]
fn a_unified_setting_is_no_path() {
    let why = "runc 1.1 refuses all of them on a hybrid host";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    for key in ["../cgroup.procs", "a/b", "", "/etc/x", "cgroup.kill/../x"] {
        bundle.config["linux"]["resources"]["unified"] = json!({ key: "1" });
        bundle.assert_config_refused();
    }
}

#[test]
fn resource_control_of_intel_is_refused_where_it_is_not_mounted_and_else_untouched() {
    if Path::new("/sys/fs/resctrl/schemata").exists() {
        return report_missing("no resctrl", "resctrl is mounted");
    }
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["linux"]["intelRdt"] =
        json!({ "closID": "x", "l3CacheSchema": "L3:0=1" });
    let refused = bundle.assert_config_refused();
    if bundle.is_ours() {
        refused.assert_stderr_contains("linux.intelRdt: resctrl is not supported");
        let features = bundle.call(&["features"]);
        let features: serde_json::Value = serde_json::from_str(&features.out).unwrap();
        assert_eq!(features["linux"]["intelRdt"]["enabled"], false);
    }
}
