//! config-linux.md, "Network Devices". Each test has a network namespace of its own,
//! which stands for that of the host.

use std::fmt::Display;
use std::process::Command;

use kiste_tests::{Holder, eventually, require_tool};
use serde_json::{Value, json};

use super::bundle::{Bundle, ID};

/// A bundle whose runtime is called in a network namespace that has the device `dev0`:
/// one end of a cable, with addresses and attributes.
struct World {
    host: Holder,
    bundle: Bundle,
}

/// Makes the device. The last two addresses are not for another namespace: one is valid on
/// its link only, and one not for ever.
const DEVICE: &str = "
    ip link add dev0 address 02:08:00:00:00:07 type veth peer name peer0
    ip link set dev0 alias cable mtu 1400 txqueuelen 77
    ip link set peer0 up
    ip link set dev0 up
    ip addr add 192.0.2.7/24 dev dev0
    ip addr add 192.0.2.8/24 dev dev0
    ip addr add 198.51.100.7 peer 198.51.100.8 dev dev0 noprefixroute
    ip addr add 2001:db8::7/64 dev dev0 nodad
    ip addr add 169.254.0.7/16 dev dev0 scope link
    ip addr add 203.0.113.7/24 dev dev0 valid_lft 1000 preferred_lft 1000";

/// The addresses that the device keeps.
const KEPT: [&str; 4] =
    ["192.0.2.7/24", "192.0.2.8/24", "198.51.100.7/32", "2001:db8::7/64"];

impl World {
    fn new() -> Option<Self> {
        if !["ip", "nsenter"].into_iter().all(require_tool) {
            return None;
        }
        let mut bundle = Bundle::of_ours("runc 1.1 ignores netDevices")?;
        let host = Holder::of(&["--net"], DEVICE);
        bundle.starter = enter(host.pid());
        bundle.set_script("exec sleep 1000");
        Some(World { host, bundle })
    }

    /// Asks for `dev0`, and for this name in the container.
    fn with(name: Option<&str>) -> Option<Self> {
        let mut world = World::new()?;
        world.ask(name.map_or(json!({}), |name| json!({ "name": name })));
        Some(world)
    }

    fn ask(&mut self, device: Value) {
        self.bundle.config["linux"]["netDevices"] = json!({ "dev0": device });
    }

    /// Makes the network namespace of this process that of the container.
    fn join(&mut self, holder: &Holder) {
        let path = format!("/proc/{}/ns/net", holder.pid());
        self.bundle
            .set_namespace("network", json!({ "type": "network", "path": path }));
    }

    /// Asserts that the device is on the host as it was before.
    #[track_caller]
    fn assert_untouched(&self) {
        let device = device(self.host.pid(), "dev0").expect("it is on the host");
        assert_is_as_before(&device);
    }
}

fn enter(pid: impl Display) -> Vec<String> {
    ["nsenter", "-t", &pid.to_string(), "-n"].map(String::from).into()
}

/// Runs ip(8) in the network namespace of a process, and returns its stdout.
#[track_caller]
fn ip(pid: impl Display, arguments: &[&str]) -> String {
    let words = enter(pid);
    let output = Command::new(&words[0])
        .args(&words[1..])
        .arg("ip")
        .args(arguments)
        .output()
        .expect("run ip");
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("ip prints text")
}

/// Returns what ip(8) says of a device in the network namespace of a process.
fn device(pid: impl Display, name: &str) -> Option<Value> {
    let shown = ip(pid, &["-json", "-details", "addr", "show"]);
    let devices: Vec<Value> = serde_json::from_str(&shown).expect("ip prints JSON");
    devices.into_iter().find(|device| device["ifname"] == name)
}

/// Returns the addresses of a device that are valid everywhere.
fn addresses(device: &Value) -> Vec<String> {
    let all = device["addr_info"].as_array().unwrap().iter();
    let mut addresses: Vec<_> = all
        .filter(|it| it["scope"] == "global" && it["dynamic"] != true)
        .map(|it| format!("{}/{}", it["local"].as_str().unwrap(), it["prefixlen"]))
        .collect();
    addresses.sort();
    addresses
}

/// Asserts that the device has its attributes and its permanent addresses, and is up.
#[track_caller]
fn assert_is_as_before(device: &Value) {
    let is =
        |key: &str, value: Value| assert_eq!(device[key], value, "{key}: {device}");
    is("address", json!("02:08:00:00:00:07"));
    is("mtu", json!(1400));
    is("ifalias", json!("cable"));
    is("txqlen", json!(77));
    assert_eq!(addresses(device), KEPT, "{device}");
    let all = device["addr_info"].as_array().unwrap();
    let peer = all.iter().find(|it| it["local"] == "198.51.100.7").unwrap();
    assert_eq!(
        (&peer["address"], &peer["noprefixroute"]),
        (&json!("198.51.100.8"), &json!(true))
    );
    let first = all.iter().find(|it| it["local"] == "192.0.2.7").unwrap();
    assert_eq!(
        first["secondary"],
        Value::Null,
        "the first is still the first: {device}"
    );
    assert!(device["flags"].as_array().unwrap().contains(&json!("UP")), "{device}");
}

#[test]
fn a_network_device_is_moved_up_with_its_attributes_and_its_permanent_addresses() {
    let Some(world) = World::with(None) else { return };
    let created = world.bundle.created();
    let device_inside = device(created.pid(), "dev0").expect("it is in the container");
    assert_is_as_before(&device_inside);
    let all = device_inside["addr_info"].to_string();
    for not_for_it in ["169.254.0.7", "203.0.113.7"] {
        assert!(!all.contains(not_for_it), "{all}");
    }
    assert_eq!(device(world.host.pid(), "dev0"), None, "it has left the host");
    // The cable works: the other end is still on the host.
    ip(world.host.pid(), &["addr", "add", "192.0.2.1/24", "dev", "peer0"]);
    let ping = "ping -c 1 -W 5 192.0.2.1";
    created.call(&["start", ID]).exits(0);
    created.exec(&["--cap", "CAP_NET_RAW"], &["sh", "-c", ping]).exits(0);
}

#[test]
fn a_network_device_gets_the_name_of_the_configuration() {
    for (asked, expected) in [("eth7", "eth7"), ("net%d", "net0"), ("", "dev0")] {
        let Some(world) = World::with(Some(asked)) else { return };
        let found = device(world.bundle.created().pid(), expected);
        assert_is_as_before(&found.expect(expected));
    }
}

#[test]
fn a_network_device_reaches_a_container_in_a_user_namespace() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    world.bundle.set_namespace("user", json!({ "type": "user" }));
    world.bundle.config["linux"]["uidMappings"] = map.clone();
    world.bundle.config["linux"]["gidMappings"] = map;
    let found = device(world.bundle.created().pid(), "eth0");
    assert_is_as_before(&found.expect("it is in the container"));
}

#[test]
fn the_name_of_a_link_in_the_container_is_refused_unless_it_has_a_place_for_a_number() {
    let other =
        "ip link add net0 type veth peer name net1; ip link add dev0 type bridge";
    for taken in [None, Some("net0"), Some("lo")] {
        let Some(mut world) = World::with(taken) else { return };
        let holder = Holder::of(&["--net"], other);
        world.join(&holder);
        let refused = world.bundle.assert_config_refused();
        let name = taken.unwrap_or("dev0");
        assert!(refused.err.contains(name), "{}", refused.err);
        world.assert_untouched();
    }
    let Some(mut world) = World::with(Some("net%d")) else { return };
    let holder = Holder::of(&["--net"], other);
    world.join(&holder);
    world.bundle.created();
    assert_is_as_before(
        &device(holder.pid(), "net2").expect("net0 and net1 are taken"),
    );
}

#[test]
fn a_network_device_that_does_not_exist_or_cannot_be_moved_is_refused() {
    let Some(mut world) = World::new() else { return };
    let host = world.host.pid();
    ip(host, &["link", "add", "bridge0", "type", "bridge"]);
    for (name, reason) in [
        ("nowhere0", "there is no link nowhere0"),
        ("bridge0", "EINVAL"),
        ("lo", "lo"),
        ("a/b", "a/b"),
    ] {
        // dev0 comes before them in the order of names, or after.
        let devices = json!({ "dev0": {}, (name): { "name": "eth0" } });
        world.bundle.config["linux"]["netDevices"] = devices;
        let refused = world.bundle.assert_config_refused();
        assert!(refused.err.contains(reason), "{}", refused.err);
        world.assert_untouched();
    }
}

#[test]
fn without_a_network_namespace_of_its_own_a_container_gets_no_device() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let host = format!("/proc/{}/ns/net", world.host.pid());
    for namespace in [None, Some(json!({ "type": "network", "path": host }))] {
        world.bundle.remove_namespace("network");
        world
            .bundle
            .at("/mounts")
            .as_array_mut()
            .unwrap()
            .retain(|it| it["type"] != "sysfs");
        namespace.into_iter().for_each(|it| world.bundle.add("/linux/namespaces", it));
        let refused = world.bundle.assert_config_refused();
        assert!(refused.err.contains("network namespace"), "{}", refused.err);
        world.assert_untouched();
    }
}

#[test]
fn the_hooks_of_the_runtime_find_the_device_in_the_container() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let log = world.bundle.dir().join("hooks.log");
    let script = format!(
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); cat /proc/$pid/net/dev >> {}",
        log.display()
    );
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
    world.bundle.config["hooks"] = json!({ "prestart": hook, "createRuntime": hook });
    world.bundle.created();
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("eth0:").count(), 2, "{log}");
}

#[test]
fn after_a_failed_create_the_device_is_where_it_was_and_as_it_was() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let hook = json!([{ "path": "/bin/false" }]);
    world.bundle.config["hooks"] = json!({ "createRuntime": hook });
    world.bundle.assert_config_refused();
    world.assert_untouched();
}

#[test]
fn a_network_device_stays_in_a_namespace_that_outlives_its_container() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let holder = Holder::of(&["--net"], "");
    world.join(&holder);
    world.bundle.started();
    let assert_inside = || {
        assert_is_as_before(
            &device(holder.pid(), "eth0").expect("it is not moved back"),
        )
    };
    world.bundle.call(&["kill", ID, "KILL"]).exits(0);
    world.bundle.wait_for("stopped");
    assert_inside();
    world.bundle.call(&["delete", ID]).exits(0);
    assert_inside();
    // A virtual device ends with the namespace.
    drop(holder);
    let is_gone = || device(world.host.pid(), "peer0").is_none().then_some(());
    eventually(is_gone).expect("the other end is gone, too");
}

#[test]
fn the_move_is_narrated() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    world.bundle.set_script("true");
    let ran = world.bundle.run_with(&["--explain"]);
    ran.exits(0);
    for call in [
        "setns(the container's network namespace)",
        "RTM_SETLINK(dev0, eth0",
        "RTM_NEWADDR(eth0",
    ] {
        assert!(ran.err.contains(call), "{call}: {}", ran.err);
    }
}
