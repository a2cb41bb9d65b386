//! The cgroup of a container: its place, what is in it, and its limits in the kernel's
//! files.

#[path = "cgroups/rare.rs"]
mod rare;
#[path = "cgroups/systemd.rs"]
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use kiste_tests::host;
use serde_json::{Value, json};

use crate::conformance::bundle::{Bundle, ID};

/// Returns a started container with these resources, which sleeps.
fn sleeping(resources: Value) -> Option<Bundle> {
    let mut bundle = Bundle::of_script("sleep 1000")?;
    bundle.config["linux"]["resources"] = resources;
    bundle.started();
    Some(bundle)
}

fn value(bundle: &Bundle, v1: &str, v2: &str) -> Option<String> {
    let pid = bundle.pid();
    host::cgroup_value(pid, v1).or_else(|| host::cgroup_value(pid, v2))
}

#[test]
fn limits_are_in_the_files_of_either_version() {
    let Some(bundle) = sleeping(json!({
        "memory": { "limit": 67108864, "swap": 134217728, "reservation": 33554432 },
        "cpu": { "shares": 1024, "quota": 50000, "period": 100000, "burst": 10000,
                 "cpus": "0", "mems": "0" },
        "pids": { "limit": 40 },
    })) else {
        return;
    };
    let is = |v1: &str, v2: &str, expected: &[&str]| {
        let found = value(&bundle, v1, v2).unwrap_or_else(|| panic!("no {v1} or {v2}"));
        assert!(expected.contains(&&*found), "{v1} or {v2}: {found}");
    };
    is("memory.limit_in_bytes", "memory.max", &["67108864"]);
    is("memory.memsw.limit_in_bytes", "memory.swap.max", &["134217728", "67108864"]);
    is("memory.soft_limit_in_bytes", "memory.low", &["33554432"]);
    is("cpu.shares", "cpu.weight", &["1024", "100"]);
    is("cpu.cfs_quota_us", "cpu.max", &["50000", "50000 100000"]);
    is("cpu.cfs_burst_us", "cpu.max.burst", &["10000"]);
    is("cpuset.cpus", "cpuset.cpus", &["0"]);
    is("cpuset.mems", "cpuset.mems", &["0"]);
    is("pids.max", "pids.max", &["40"]);
}

#[test]
fn a_limit_of_0_processes_leaves_only_the_first() {
    let Some(mut bundle) =
        Bundle::of_script("(true) 2>/dev/null && echo two; echo one")
    else {
        return;
    };
    bundle.config["linux"]["resources"] = json!({ "pids": { "limit": 0 } });
    bundle.started();
    let output = bundle.finish();
    assert!(!output.contains("two"), "{output}");
}

#[test]
fn a_limit_of_minus_1_is_none() {
    let Some(bundle) =
        sleeping(json!({ "pids": { "limit": -1 }, "memory": { "limit": -1 } }))
    else {
        return;
    };
    assert_eq!(value(&bundle, "pids.max", "pids.max").as_deref(), Some("max"));
}

#[test]
fn a_cgroup_with_processes_is_not_taken_over() {
    let Some(bundle) = sleeping(json!({})) else { return };
    bundle.write();
    let dir = bundle.dir().to_str().unwrap();
    let ran = bundle.call(&["create", "--bundle", dir, "two"]);
    ran.exits(1).assert_stderr_contains("the cgroup exists and has 1 processes");
    assert_eq!(bundle.status(), "running", "the first container lives");
    assert!(!bundle.knows("two"));
}

#[test]
fn an_empty_cgroup_that_exists_is_used_and_removed_with_the_container() {
    let Some(bundle) = Bundle::of_script("true") else { return };
    for mount in host::cgroup_mounts() {
        fs::create_dir(mount.join(bundle.cgroup())).unwrap();
    }
    bundle.run().exits(0);
    bundle.assert_nothing_left();
}

#[test]
fn a_further_process_joins_the_container_s_cgroup_or_one_below() {
    let Some(bundle) = sleeping(json!({ "pids": { "limit": 40 } })) else { return };
    let inside = bundle.exec(&[], &["cat", "/proc/self/cgroup"]);
    inside.exits(0);
    let is_own = |line: &str| line.ends_with(":/") || !line.contains(bundle.cgroup());
    assert!(inside.out.lines().all(is_own), "its own is the top: {inside:?}");

    let own =
        host::cgroup_mounts().into_iter().map(|mount| mount.join(bundle.cgroup()));
    for own in own.filter(|own| own.exists()) {
        let below = own.join("below");
        fs::create_dir(&below).unwrap();
        // A new cpuset of version 1 is empty, and refuses processes.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if own.join("tasks").exists() && own.join(file).exists() {
                let value = fs::read(own.join(file)).unwrap();
                fs::write(below.join(file), value).unwrap();
            }
        }
    }
    let inside = bundle.exec(&["--cgroup", "/below"], &["cat", "/proc/self/cgroup"]);
    assert!(inside.exits(0).out.contains(":/below\n"), "{inside:?}");
    for (wrong, why) in
        [("/nosuch", "nosuch does not exist"), ("../..", "without `..`")]
    {
        let ran = bundle.exec(&["--cgroup", wrong], &["true"]);
        assert_ne!(ran.code, 0);
        ran.assert_stderr_contains(why);
    }
}

#[test]
fn ps_lists_the_processes_of_the_cgroups_below_too() {
    let Some(bundle) = sleeping(json!({})) else { return };
    let ran = bundle.call(&["ps", "--format", "json", ID]);
    let pids: Vec<i64> = serde_json::from_str(&ran.exits(0).out).unwrap();
    assert_eq!(pids, [bundle.pid()]);
}

#[test]
fn without_the_host_s_ps_its_table_is_a_clear_error() {
    let Some(mut bundle) = sleeping(json!({})) else { return };
    bundle.starter = ["/usr/bin/env", "PATH=/nowhere"].map(String::from).into();
    let ran = bundle.call(&["ps", ID]);
    ran.exits(1).assert_stderr_contains("ps(1) is not in $PATH");
    ran.assert_stderr_contains("--format json");
    bundle.call(&["ps", "--format", "json", ID]).exits(0);
}

/// A cgroup of the container's name, with a process that is none of the container's.
struct Stranger {
    process: Child,
    cgroups: Vec<PathBuf>,
}

impl Stranger {
    /// Removes the container's cgroup while the container runs, and makes another one in
    /// its place.
    fn in_the_place_of(bundle: &Bundle) -> Self {
        let process = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut cgroups = Vec::new();
        for mount in host::cgroup_mounts() {
            let own = mount.join(bundle.cgroup());
            if own.exists() {
                let pid = bundle.pid().to_string();
                fs::write(mount.join("cgroup.procs"), pid).unwrap();
                fs::remove_dir(&own).unwrap();
                fs::create_dir(&own).unwrap();
                // A new cpuset of version 1 is empty, and refuses processes.
                let _ = fs::write(own.join("cgroup.procs"), process.id().to_string());
                cgroups.push(own);
            }
        }
        Stranger { process, cgroups }
    }

    #[track_caller]
    fn assert_runs(&mut self) {
        assert_eq!(self.process.try_wait().unwrap(), None, "it was killed");
        let state = host::stat_field(self.process.id(), 3);
        assert_eq!(state, "S", "it was stopped");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.cgroups.iter().for_each(|path| drop(fs::remove_dir(path)));
    }
}

#[test]
fn a_cgroup_in_the_place_of_the_container_s_is_left_alone() {
    let Some(bundle) = sleeping(json!({ "pids": { "limit": 40 } })) else { return };
    let mut stranger = Stranger::in_the_place_of(&bundle);
    let calls: [&[&str]; 5] = [
        &["kill", "--all", ID, "TERM"],
        &["pause", ID],
        &["update", "--pids-limit", "5", ID],
        &["exec", ID, "true"],
        &["events", "--stats", ID],
    ];
    for call in calls {
        let ran = bundle.call(call);
        assert_ne!(ran.code, 0, "{call:?}");
        ran.assert_stderr_contains("another cgroup is in the place of the container's");
        stranger.assert_runs();
    }
    bundle.call(&["kill", "--all", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    stranger.assert_runs();
    bundle.call(&["delete", "--force", ID]).exits(0);
    stranger.assert_runs();
    for cgroup in &stranger.cgroups {
        assert!(cgroup.exists(), "{} was removed", cgroup.display());
    }
}

#[test]
fn a_device_is_denied_also_if_the_container_makes_its_node() {
    let Some(mut bundle) = Bundle::new() else { return };
    // 1:11 is /dev/kmsg. The root may be on a file system that is mounted with nodev.
    let script =
        "mknod /dev/own c 1 11 && echo made; true > /dev/own && echo opened; :";
    assert_eq!(bundle.stdout_of(script), "made");
    bundle.config["linux"]["resources"]["devices"] =
        json!([{ "allow": true, "access": "rwm" }]);
    assert_eq!(bundle.stdout_of(script), "made\nopened");
}

#[test]
fn without_systemd_the_option_for_it_is_a_clear_error() {
    if Path::new("/run/systemd/system").exists() {
        return kiste_tests::report_missing("no systemd", "systemd runs here");
    }
    let Some(bundle) = Bundle::of_script("true") else { return };
    bundle.write();
    let dir = bundle.dir().to_str().unwrap();
    let ran = bundle.call(&["--systemd-cgroup", "run", "--bundle", dir, ID]);
    assert_ne!(ran.code, 0);
    ran.assert_stderr_contains("SLICE:PREFIX:NAME");

    let mut bundle = bundle;
    bundle.config["linux"]["cgroupsPath"] = json!("system.slice:kiste:web");
    bundle.write();
    let dir = bundle.dir().to_str().unwrap();
    let ran = bundle.call(&["--systemd-cgroup", "run", "--bundle", dir, ID]);
    assert_ne!(ran.code, 0);
    ran.assert_stderr_contains("is systemd running here?");
    bundle.assert_nothing_left();
}
