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

/// Tells whether the kernel has found no duplicate of any address, and so has its routes.
fn addresses_are_usable(pid: impl Display) -> bool {
    !ip(pid, &["addr", "show"]).contains("tentative")
}

/// A hook of the runtime that runs this script with the container's pid in `$pid`, and
/// fails.
fn failing_hook(script: &str) -> Value {
    let script =
        format!("pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); {script}; exit 1");
    let env = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": [env] }])
}

#[test]
fn after_a_failed_create_the_device_has_its_routes_and_all_its_addresses() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let host = world.host.pid();
    // Each route is of no use before those above it.
    for route in [
        "100.64.0.1 dev dev0 metric 50",
        "default via 100.64.0.1 dev dev0 metric 60",
        "default via 192.0.2.1 dev dev0 src 192.0.2.8 mtu 1300",
        "10.8.0.0/16 dev dev0 table 77",
        "10.9.0.0/16 via 172.16.0.1 dev dev0 onlink",
        "10.10.0.0/16 nexthop via 192.0.2.2 nexthop via 192.0.2.3 weight 5",
        "2001:db8:1::/48 via 2001:db8::1 dev dev0",
    ] {
        ip(host, &[&["route", "add"], &*route.split(' ').collect::<Vec<_>>()].concat());
    }
    ip(host, &["addr", "add", "192.0.2.9/24", "dev", "dev0", "label", "dev0:9"]);
    let routes = || {
        let shown = ["-4", "-6"].map(|family| {
            let shown = ip(host, &[family, "route", "show", "table", "all"]);
            let mut lines: Vec<_> = shown.lines().map(String::from).collect();
            lines.sort();
            lines
        });
        shown.concat()
    };
    let addresses = || {
        let shown = ip(host, &["-o", "addr", "show", "dev", "dev0"]);
        // The addresses come back without a second duplicate address detection.
        let changes = |word: &str| word.ends_with("sec") || word == "nodad";
        let words = shown.split_whitespace().filter(|word| !changes(word));
        words.map(String::from).collect::<Vec<_>>()
    };
    let are_usable = || addresses_are_usable(host).then_some(());
    eventually(are_usable).expect("duplicate address detection ends");
    let (routes_before, addresses_before) = (routes(), addresses());
    world.bundle.config["process"]["args"] = json!(["/bin/no-such-program"]);
    world.bundle.assert_config_refused();
    assert_eq!(addresses(), addresses_before);
    assert_eq!(routes(), routes_before);
}

#[test]
fn after_a_failed_create_a_device_whose_cable_is_out_has_its_routes() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let host = world.host.pid();
    ip(host, &["route", "add", "default", "via", "192.0.2.1"]);
    ip(host, &["-6", "route", "add", "default", "via", "2001:db8::1"]);
    ip(host, &["link", "set", "peer0", "down"]);
    world.bundle.config["process"]["args"] = json!(["/bin/no-such-program"]);
    world.bundle.assert_config_refused();
    for (family, gateway) in [("-4", "192.0.2.1"), ("-6", "2001:db8::1")] {
        let routes = ip(host, &[family, "route", "show", "default"]);
        assert!(
            routes.contains(&format!("default via {gateway} dev dev0")),
            "{routes}"
        );
        assert!(routes.contains("linkdown"), "{routes}");
    }
}

#[test]
fn a_port_of_a_bridge_is_refused_before_any_device_moves() {
    let Some(mut world) = World::with(None) else { return };
    let host = world.host.pid();
    ip(host, &["link", "add", "bridge0", "type", "bridge"]);
    ip(host, &["link", "set", "peer0", "master", "bridge0"]);
    world.bundle.config["linux"]["netDevices"] = json!({ "dev0": {}, "peer0": {} });
    ip(host, &["route", "add", "default", "via", "192.0.2.1"]);
    world.bundle.set_script("true");
    let ran = world.bundle.run_with(&["--explain"]);
    for part in [
        "network device peer0",
        "belongs to the bridge bridge0",
        "`ip link set peer0 nomaster`",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert!(!ran.err.contains("RTM_SETLINK"), "dev0 has moved: {}", ran.err);
    world.bundle.assert_refused(&ran);
    world.bundle.assert_nothing_left();
    let peer = device(host, "peer0").expect("it is on the host");
    assert_eq!(peer["master"], "bridge0");
    world.assert_untouched();
}

#[test]
fn a_device_whose_name_and_number_are_taken_comes_back_with_others() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let host = world.host.pid();
    ip(host, &["route", "add", "default", "via", "192.0.2.1"]);
    let index = device(host, "dev0").expect("it is there")["ifindex"].to_string();
    let script = format!("ip link add dev0 index {index} type veth peer name other0");
    world.bundle.config["hooks"] = json!({ "createRuntime": failing_hook(&script) });
    let refused = world.bundle.assert_config_refused();
    assert!(
        refused.err.contains("its name is taken: it is dev1 now"),
        "{}",
        refused.err
    );
    assert_is_as_before(&device(host, "dev1").expect("it is back"));
    let routes = ip(host, &["route", "show", "default"]);
    assert!(routes.contains("default via 192.0.2.1 dev dev1"), "{routes}");
}

#[test]
fn an_address_that_cannot_be_given_back_leaves_the_device_on_and_with_the_others() {
    let Some(mut world) = World::with(Some("eth0")) else { return };
    let host = world.host.pid();
    ip(host, &["route", "add", "default", "via", "192.0.2.1"]);
    // A host without IPv6 on its next links refuses the address of this family.
    let script = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
    world.bundle.config["hooks"] = json!({ "createRuntime": failing_hook(script) });
    let refused = world.bundle.assert_config_refused();
    assert!(
        refused.err.contains("network device dev0: RTM_NEWADDR"),
        "{}",
        refused.err
    );
    let device = device(host, "dev0").expect("it is back");
    assert!(device["flags"].as_array().unwrap().contains(&json!("UP")), "{device}");
    assert_eq!(addresses(&device), KEPT[..3], "{device}");
    let routes = ip(host, &["route", "show", "default"]);
    assert!(routes.contains("default via 192.0.2.1 dev dev0"), "{routes}");
}

#[test]
fn after_a_failed_poststart_hook_the_device_is_where_it_was_and_as_it_was() {
    for options in [&[][..], &["--detach"]] {
        let Some(mut world) = World::with(Some("eth0")) else { return };
        world.bundle.config["hooks"] = json!({ "poststart": failing_hook("true") });
        let ran = world.bundle.run_with(options);
        world.bundle.assert_refused(&ran);
        world.assert_untouched();
    }
}

#[test]
fn a_link_that_took_the_place_of_the_device_does_not_come_to_the_host() {
    for (replacement, reason) in [
        (
            "ip link add eth0 index $n type veth peer name x",
            "another kind or MAC address",
        ),
        (
            "ip link add eth0 index $n address 02:08:00:00:00:07 type bridge",
            "another kind",
        ),
        ("true", "it is gone"),
    ] {
        let Some(mut world) = World::with(Some("eth0")) else { return };
        let host = world.host.pid();
        let index = device(host, "dev0").expect("it is there")["ifindex"].to_string();
        let script = format!(
            "n={index}; nsenter -t $pid -n sh -c \"ip link del eth0; {replacement}\""
        );
        world.bundle.config["hooks"] =
            json!({ "createRuntime": failing_hook(&script) });
        let refused = world.bundle.assert_config_refused();
        let expected = "network device dev0: it is not moved back";
        assert!(refused.err.contains(expected), "{}", refused.err);
        assert!(refused.err.contains(reason), "{}", refused.err);
        assert_eq!(device(host, "dev0"), None);
        assert_eq!(device(host, "eth0"), None);
    }
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
