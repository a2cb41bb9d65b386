//! Limits of devices and of controllers that few hosts have. The virtual machine gets
//! them: a test loads modules and mounts hierarchies of version 1 there.
//!
//! Its kernel has no RDMA device, and no realtime scheduling of groups
//! (CONFIG_RT_GROUP_SCHED).

use std::fs;
use std::process::Command;

use kiste_tests::host;
use serde_json::{Value, json};

use crate::conformance::bundle::Bundle;

/// Returns a bundle with these resources. None outside the virtual machine.
fn in_vm(resources: Value, script: &str) -> Option<Bundle> {
    if std::env::var_os("KISTE_VM").is_none() {
        let found = "modules are loaded only in the virtual machine (tests/vm)";
        kiste_tests::report_missing("virtual machine", found);
        return None;
    }
    let mut bundle = Bundle::of_script(script)?;
    bundle.config["linux"]["resources"] = resources;
    Some(bundle)
}

fn load(module: &str) {
    let mut modprobe = Command::new("/run/kiste-vm/busybox");
    let status = modprobe.args(["modprobe", module]).status().unwrap();
    assert!(status.success(), "modprobe {module}");
}

/// Returns the value of io.weight for a weight of the specification, which is of
/// io.bfq.weight: both ranges are mapped onto each other, as in runc.
fn io_weight(weight: u64) -> u64 {
    1 + (weight - 10) * 9999 / 990
}

#[test]
fn weights_and_rates_of_a_block_device_are_in_the_kernels_files() {
    let Some(mut bundle) = in_vm(json!({}), "sleep 1000") else { return };
    load("null_blk");
    let device = fs::read_to_string("/sys/block/nullb0/dev").unwrap();
    let device = device.trim();
    let (major, minor) = device.split_once(':').unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    let of_device = |key: &str, value: u64| json!([{ "major": number(major), "minor": number(minor), key: value }]);
    // The kernel refuses weights of a device that no policy schedules.
    fs::write("/sys/fs/cgroup/io.cost.qos", format!("{device} enable=1")).unwrap();
    bundle.config["linux"]["resources"]["blockIO"] = json!({
        "weight": 500,
        "weightDevice": of_device("weight", 200),
        "throttleReadBpsDevice": of_device("rate", 1048576),
        "throttleWriteIOPSDevice": of_device("rate", 70),
    });
    bundle.started();
    let value = |file: &str| host::cgroup_value(bundle.pid(), file).unwrap();
    let weights = format!("default {}\n{device} {}", io_weight(500), io_weight(200));
    assert_eq!(value("io.weight"), weights);
    let rates = format!("{device} rbps=1048576 wbps=max riops=max wiops=70");
    assert_eq!(value("io.max"), rates);
    bundle.delete_all();

    load("bfq");
    fs::write("/sys/block/nullb0/queue/scheduler", "bfq").unwrap();
    bundle.started();
    let value = |file: &str| host::cgroup_value(bundle.pid(), file).unwrap();
    assert_eq!(value("io.bfq.weight"), format!("default 500\n{device} 200"));
}

#[test]
fn the_class_and_the_priorities_of_packets_are_in_the_kernels_files() {
    let script = "cd /sys/fs/cgroup; cat net_cls/net_cls.classid; grep lo net_prio/net_prio.ifpriomap";
    let resources = json!({
        "network": { "classID": 1048577, "priorities": [{ "name": "lo", "priority": 5 }] },
    });
    let Some(mut bundle) = in_vm(resources, script) else { return };
    let mounts = "mount -t tmpfs v1 /mnt && mkdir /mnt/net_cls,net_prio &&
        mount -t cgroup -o net_cls,net_prio v1 /mnt/net_cls,net_prio && exec \"$@\"";
    bundle.starter =
        ["unshare", "--mount", "sh", "-c", mounts, "sh"].map(String::from).into();
    let ran = bundle.run();
    ran.assert_stdout("1048577\nlo 5");
}

#[test]
fn a_limit_of_an_rdma_device_that_is_not_there_is_refused() {
    let resources = json!({ "rdma": { "mlx5_1": { "hcaHandles": 2 } } });
    let Some(bundle) = in_vm(resources, "true") else { return };
    let ran = bundle.run();
    assert_ne!(ran.code, 0);
    ran.assert_stderr_contains("rdma.max")
        .assert_stderr_contains("no such RDMA device");
    bundle.assert_nothing_left();
}
