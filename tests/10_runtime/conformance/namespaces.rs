//! config-linux.md: "Namespaces", "User namespace mappings", "Offset for Time
//! Namespace", "Sysctl"; config.md: "Hostname", "Domainname".

use kiste_tests::{Holder, host};
use serde_json::json;

use super::bundle::{Bundle, ID};

/// The types in config.json, and the files in /proc/PID/ns.
const TYPES: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

/// Makes a bundle whose container waits, without what needs a network or UTS namespace
/// of its own.
fn waiting() -> Option<Bundle> {
    let mut bundle = Bundle::of_script("exec sleep 1000")?;
    bundle.config.as_object_mut().unwrap().remove("hostname");
    Some(bundle)
}

#[test]
fn a_listed_namespace_is_new_and_any_other_is_inherited() {
    let Some(mut bundle) = waiting() else { return };
    bundle.created();
    let own = host::own_namespaces(bundle.pid());
    assert_eq!(own, ["cgroup", "ipc", "mnt", "net", "pid", "uts"]);
    bundle.call(&["delete", "--force", ID]).exits(0);

    // sysfs and mqueue need the network and IPC namespace, so they are left out.
    for kind in ["pid", "network", "ipc", "uts", "cgroup"] {
        bundle.remove_namespace(kind);
    }
    bundle.at("/mounts").as_array_mut().unwrap().truncate(4);
    bundle.created();
    assert_eq!(host::own_namespaces(bundle.pid()), ["mnt"]);
}

#[test]
fn a_namespace_with_a_path_is_joined() {
    for (kind, file) in TYPES {
        if kind == "mount" || kind == "cgroup" {
            continue; // below
        }
        let Some(mut bundle) = waiting() else { return };
        let option = format!("--{}", if kind == "network" { "net" } else { kind });
        let options: &[&str] = if kind == "pid" {
            &["--pid", "--fork", "--kill-child"]
        } else {
            &[&option]
        };
        let holder = Holder::of(options, "");
        let pid = match kind {
            "pid" => host::children(holder.pid())[0],
            _ => holder.pid() as i32,
        };
        bundle.set_namespace(
            kind,
            json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") }),
        );
        bundle.created();
        let found = host::namespace(bundle.pid(), file);
        assert_eq!(found, host::namespace(pid, file), "{kind}");
        assert_ne!(found, host::namespace("self", file), "{kind}");
        bundle.call(&["delete", "--force", ID]).exits(0);
    }
}

/// As runc and crun do, although the specification does not ask for it: without an
/// engine, nobody else would.
#[test]
fn a_new_network_namespace_has_its_loopback_link_turned_on() {
    let script = "cat /sys/class/net/lo/flags";
    let Some(mut bundle) = Bundle::of_script(script) else { return };
    let flags = bundle.stdout_of(script);
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap();
    assert_eq!(flags & libc::IFF_UP as u32, libc::IFF_UP as u32, "{flags:#x}");
}

#[test]
fn a_cgroup_namespace_with_a_path_is_joined() {
    let Some(mut bundle) = waiting() else { return };
    let holder = Holder::of(&["--cgroup"], "");
    let path = format!("/proc/{}/ns/cgroup", holder.pid());
    bundle.set_namespace("cgroup", json!({ "type": "cgroup", "path": path }));
    bundle.created();
    assert_eq!(
        host::namespace(bundle.pid(), "cgroup"),
        host::namespace(holder.pid(), "cgroup")
    );
}

#[test]
fn a_path_that_is_no_namespace_of_this_type_is_refused() {
    let Some(mut bundle) = waiting() else { return };
    let holder = Holder::of(&["--net", "--uts"], "");
    let pid = holder.pid();
    let file = bundle.dir().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [
        format!("/proc/{pid}/ns/uts"),
        "/nonexistent".into(),
        file.to_str().unwrap().into(),
        "/dev/null".into(),
    ] {
        bundle.set_namespace("network", json!({ "type": "network", "path": path }));
        bundle.assert_config_refused();
    }
}

#[test]
fn the_path_of_a_namespace_must_be_absolute() {
    let why = "runc 1.1 takes a relative path";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    let holder = Holder::of(&["--net"], "");
    let link = bundle.dir().join("net");
    std::os::unix::fs::symlink(format!("/proc/{}/ns/net", holder.pid()), link).unwrap();
    bundle.set_namespace("network", json!({ "type": "network", "path": "net" }));
    bundle.assert_config_refused();
}

#[test]
fn a_namespace_that_is_listed_twice_or_has_an_unknown_type_is_refused() {
    let Some(mut bundle) = waiting() else { return };
    bundle.add("/linux/namespaces", json!({ "type": "ipc" }));
    bundle.assert_config_refused();
    bundle.set_namespace("ipc", json!({ "type": "ipc" }));
    bundle.add("/linux/namespaces", json!({ "type": "nosuch" }));
    bundle.assert_config_refused();
}

#[test]
fn host_name_and_domain_name_are_those_of_the_configuration() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["hostname"] = json!("a_name");
    assert_eq!(bundle.stdout_of("hostname"), "a_name");
    if bundle.is_ours() {
        bundle.config["domainname"] = json!("a.domain");
        assert_eq!(bundle.stdout_of("cat /proc/sys/kernel/domainname"), "a.domain");
    }
}

#[test]
fn a_host_name_without_an_own_uts_namespace_does_not_change_the_hosts() {
    let Some(mut bundle) = Bundle::new() else { return };
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    bundle.remove_namespace("uts");
    let ran = bundle.create();
    let after = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(after, before);
    bundle.assert_refused(&ran);
}

#[test]
fn a_user_namespace_has_the_maps_of_the_configuration() {
    let Some(mut bundle) = Bundle::of_script("echo up; exec sleep 1000") else {
        return;
    };
    bundle.add("/linux/namespaces", json!({ "type": "user" }));
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 65536 }]);
    bundle.config["linux"]["uidMappings"] = map(200_000);
    bundle.config["linux"]["gidMappings"] = map(300_000);
    host::chown_recursive(bundle.rootfs(), 200_000, 300_000);
    open_to_all(&bundle);
    bundle.started();
    bundle.wait_for_output("up");
    let pid = bundle.pid();
    let words = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        text.split_whitespace().map(String::from).collect()
    };
    assert_eq!(words("uid_map"), ["0", "200000", "65536"]);
    assert_eq!(words("gid_map"), ["0", "300000", "65536"]);
    assert!(host::status_field(pid, "Uid").starts_with("200000\t"));
}

/// Lets the container's root, who is not the host's, reach its root file system.
fn open_to_all(bundle: &Bundle) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bundle.dir(), mode).unwrap();
}

#[test]
fn a_user_namespace_without_maps_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.add("/linux/namespaces", json!({ "type": "user" }));
    bundle.assert_config_refused();
}

#[test]
fn a_mapping_without_one_of_its_numbers_is_refused() {
    let why = "runc takes a missing value for 0";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.add("/linux/namespaces", json!({ "type": "user" }));
    for number in ["containerID", "hostID", "size"] {
        let mut mapping = json!({ "containerID": 0, "hostID": 0, "size": 65536 });
        bundle.config["linux"]["gidMappings"] = json!([mapping]);
        mapping.as_object_mut().unwrap().remove(number);
        bundle.config["linux"]["uidMappings"] = json!([mapping]);
        bundle.assert_config_refused();
    }
}

#[test]
fn a_time_namespace_has_the_offsets_of_the_configuration() {
    let why = "runc 1.1 does not know the time namespace";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.add("/linux/namespaces", json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 86400 }, "boottime": { "secs": 1_000_000, "nanosecs": 5 } });
    let uptime = bundle.stdout_of("cut -d. -f1 /proc/uptime");
    assert!(uptime.parse::<u64>().unwrap() >= 1_000_000, "{uptime}");
    bundle.set_script("exec sleep 1000");
    bundle.created();
    let own = host::own_namespaces(bundle.pid());
    assert!(own.contains(&"time".into()), "{own:?}");
}

#[test]
fn time_offsets_without_a_time_namespace_are_refused() {
    let why = "runc 1.1 does not know the time namespace";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1 } });
    bundle.assert_config_refused();
}

#[test]
fn kernel_parameters_of_own_namespaces_are_set_and_those_of_the_host_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel.shmmni": "4000", "fs.mqueue.msg_max": "11" });
    let script =
        "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni fs/mqueue/msg_max";
    assert_eq!(bundle.stdout_of(script), "1\n4000\n11");
    for of_the_host in ["kernel.panic", "vm.swappiness"] {
        bundle.config["linux"]["sysctl"] = json!({ of_the_host: "10" });
        bundle.assert_config_refused();
    }
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    bundle.remove_namespace("network");
    bundle.assert_config_refused();
}
