//! config-linux.md, "Network Devices".

use kiste_tests::{Holder, host, report_missing, require_tool};
use serde_json::{Value, json};

use super::bundle::{Bundle, ID};

/// The runtime's network namespace in these tests, with two ends of a cable.
fn network() -> Option<Holder> {
    let script = "ip link set lo up
        ip link add kiste-one type veth peer name kiste-two
        ip addr add 10.9.8.7/24 dev kiste-one
        ip -6 addr add fd09::7/64 dev kiste-one nodad
        ip link set kiste-one mtu 1400 up
        ip link set kiste-two up";
    require_tool("ip").then(|| Holder::of(&["--net"], script))
}

/// Makes a bundle whose runtime is in that network namespace.
fn bundle_in(network: &Holder) -> Option<Bundle> {
    let mut bundle = Bundle::new()?;
    let features = bundle.call(&["features"]);
    let features: Value = serde_json::from_str(&features.out).unwrap_or_default();
    if features.pointer("/linux/netDevices/enabled") != Some(&json!(true)) {
        report_missing(
            "netDevices",
            "the runtime does not announce them in `features`",
        );
        return None;
    }
    let enter = format!("--net=/proc/{}/ns/net", network.pid());
    bundle.starter = vec!["nsenter".into(), enter];
    bundle.set_script("exec sleep 1000");
    Some(bundle)
}

/// Returns what `ip` says of a link in the network namespace of a process.
fn link(pid: impl std::fmt::Display, name: &str) -> String {
    let output = std::process::Command::new("nsenter")
        .args([
            format!("--net=/proc/{pid}/ns/net").as_str(),
            "ip",
            "addr",
            "show",
            name,
        ])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A runtime that cannot move them does not run the container without them.
#[test]
fn network_devices_are_moved_or_refused() {
    let Some(network) = network() else { return };
    let Some(mut bundle) = Bundle::of_ours("runc 1.1 ignores netDevices") else {
        return;
    };
    bundle.starter =
        vec!["nsenter".into(), format!("--net=/proc/{}/ns/net", network.pid())];
    bundle.config["linux"]["netDevices"] = json!({ "kiste-one": {} });
    let ran = bundle.create();
    if ran.code == 0 {
        assert!(link(bundle.pid(), "kiste-one").contains("10.9.8.7"));
    } else {
        bundle.assert_refused(&ran);
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_network_device_is_moved_keeps_its_addresses_and_is_up() {
    let Some(network) = network() else { return };
    let Some(mut bundle) = bundle_in(&network) else { return };
    bundle.config["linux"]["netDevices"] =
        json!({ "kiste-one": { "name": "inside0" } });
    bundle.created();
    let found = link(bundle.pid(), "inside0");
    assert_eq!(
        link(network.pid(), "kiste-one"),
        "",
        "it has left the runtime's namespace"
    );
    for expected in ["10.9.8.7/24", "fd09::7/64", "mtu 1400", "state UP"] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    // It is not moved back: the kernel removes it with the namespace.
    bundle.call(&["delete", "--force", ID]).exits(0);
    assert_eq!(link(network.pid(), "inside0"), "");
    assert_eq!(link(network.pid(), "kiste-one"), "");
}

#[test]
fn a_network_device_without_another_name_keeps_its_name() {
    let Some(network) = network() else { return };
    let Some(mut bundle) = bundle_in(&network) else { return };
    bundle.config["linux"]["netDevices"] = json!({ "kiste-one": {} });
    bundle.created();
    assert!(link(bundle.pid(), "kiste-one").contains("10.9.8.7"));
}

#[test]
fn a_name_that_is_taken_is_refused_and_a_template_finds_a_free_one() {
    let Some(network) = network() else { return };
    let Some(mut bundle) = bundle_in(&network) else { return };
    bundle.config["linux"]["netDevices"] = json!({ "kiste-one": { "name": "lo" } });
    bundle.assert_config_refused();
    assert!(!link(network.pid(), "kiste-one").is_empty(), "it is where it was");
    bundle.config["linux"]["netDevices"] =
        json!({ "kiste-one": { "name": "net%d" }, "kiste-two": { "name": "net%d" } });
    bundle.created();
    let pid = bundle.pid();
    assert!(!link(pid, "net0").is_empty() && !link(pid, "net1").is_empty());
}

#[test]
fn a_network_device_that_is_not_there_or_cannot_move_is_refused() {
    let Some(network) = network() else { return };
    let Some(mut bundle) = bundle_in(&network) else { return };
    for name in ["nosuch", "lo"] {
        bundle.config["linux"]["netDevices"] = json!({ name: { "name": "inside0" } });
        bundle.assert_config_refused();
    }
    bundle.config["linux"]["netDevices"] = json!({ "kiste-one": {} });
    bundle.remove_namespace("network");
    bundle.assert_config_refused();
    host::assert_dev_null_is_a_device();
}
