//! features.md and features-linux.md: what `features` claims is true.

use kiste_tests::host;
use serde_json::{Value, json};

use super::bundle::{Bundle, ID};

/// Makes a bundle, and asks the runtime for its features.
fn features() -> Option<(Bundle, Value)> {
    let bundle = Bundle::new()?;
    let ran = bundle.call(&["features"]);
    ran.exits(0);
    let features = serde_json::from_str(&ran.out).expect("it is JSON");
    Some((bundle, features))
}

/// Returns the words of an array, none if it is absent.
fn words(features: &Value, pointer: &str) -> Vec<String> {
    let list = features.pointer(pointer).and_then(Value::as_array).cloned();
    let word = |value: Value| value.as_str().expect("a string").to_string();
    list.unwrap_or_default().into_iter().map(word).collect()
}

fn numbers(version: &Value) -> Vec<u32> {
    let version = version.as_str().expect("a version is a string");
    let core = version.split(['-', '+']).next().unwrap();
    core.split('.').map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_oldest_and_the_newest_version_are_accepted_in_a_configuration() {
    let Some((mut bundle, features)) = features() else { return };
    let (min, max) = (&features["ociVersionMin"], &features["ociVersionMax"]);
    assert!(numbers(min) <= numbers(max), "{min} {max}");
    for version in [min, max] {
        bundle.config["ociVersion"] = version.clone();
        assert_eq!(bundle.stdout_of("echo it runs"), "it runs");
    }
}

/// The properties of version 1.3 of the specification.
const DEFINED: [&str; 40] = [
    "ociVersionMin",
    "ociVersionMax",
    "hooks",
    "mountOptions",
    "annotations",
    "potentiallyUnsafeConfigAnnotations",
    "linux",
    "linux.namespaces",
    "linux.capabilities",
    "linux.cgroup",
    "linux.cgroup.v1",
    "linux.cgroup.v2",
    "linux.cgroup.systemd",
    "linux.cgroup.systemdUser",
    "linux.cgroup.rdma",
    "linux.seccomp",
    "linux.seccomp.enabled",
    "linux.seccomp.actions",
    "linux.seccomp.operators",
    "linux.seccomp.archs",
    "linux.seccomp.knownFlags",
    "linux.seccomp.supportedFlags",
    "linux.apparmor",
    "linux.apparmor.enabled",
    "linux.selinux",
    "linux.selinux.enabled",
    "linux.memoryPolicy",
    "linux.memoryPolicy.modes",
    "linux.memoryPolicy.flags",
    "linux.intelRdt",
    "linux.intelRdt.enabled",
    "linux.intelRdt.schemata",
    "linux.intelRdt.monitoring",
    "linux.mountExtensions",
    "linux.mountExtensions.idmap",
    "linux.mountExtensions.idmap.enabled",
    "linux.netDevices",
    "linux.netDevices.enabled",
    "linux.intelRdt.enableMonitoring",
    "linux.timeOffsets",
];

fn assert_defined(value: &Value, at: &str) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        assert!(DEFINED.contains(&name.as_str()), "{name} is not defined");
        if name != "annotations" {
            assert_defined(value, &name);
        }
    }
}

#[test]
fn the_document_has_no_property_that_is_not_defined() {
    let Some((_, features)) = features() else { return };
    assert_defined(&features, "");
    let annotations = features.get("annotations").and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        assert!(!key.is_empty() && value.is_string(), "{key}: {value}");
    }
}

#[test]
fn every_hook_that_is_listed_is_called() {
    let Some((mut bundle, features)) = features() else { return };
    let hooks = words(&features, "/hooks");
    assert!(!hooks.is_empty());
    bundle.config["hooks"] = json!({});
    bundle.set_script("cat /startContainer 2>/dev/null; :");
    for hook in &hooks {
        let file = match hook.as_str() {
            "startContainer" => "/startContainer".into(),
            _ => bundle.rootfs().join(hook),
        };
        let script = format!("cat > /dev/null; echo > {}", file.display());
        bundle.config["hooks"][hook] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
    }
    bundle.run().exits(0);
    for hook in &hooks {
        assert!(bundle.rootfs().join(hook).exists(), "{hook}");
    }
}

#[test]
fn every_mount_option_that_is_listed_is_recognized() {
    let Some((mut bundle, features)) = features() else { return };
    std::fs::create_dir(bundle.dir().join("volume")).unwrap();
    let options = words(&features, "/mountOptions");
    assert!(!options.is_empty());
    // Security labels, ACLs and mandatory locks are up to the file system.
    let up_to_the_kernel =
        ["acl", "noacl", "mand", "nomand", "idmap", "ridmap", "defaults"];
    let mut count = 0;
    for option in options.iter().filter(|it| !up_to_the_kernel.contains(&it.as_str())) {
        let at = format!("/mnt/{option}");
        match option.as_str() {
            "remount" => continue, // of a mount that is there: mounts::
            "bind" | "rbind" => bundle.add_mount(&at, "none", "volume", &[option]),
            _ => bundle.add_mount(&at, "tmpfs", "tmpfs", &[option]),
        }
        count += 1;
    }
    let found = bundle.stdout_of("grep -c ' /mnt/' /proc/self/mountinfo");
    assert_eq!(found, count.to_string());
}

#[test]
fn every_namespace_that_is_listed_is_recognized() {
    let Some((mut bundle, features)) = features() else { return };
    let namespaces = words(&features, "/linux/namespaces");
    assert!(!namespaces.is_empty());
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    let kinds: Vec<_> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    bundle.config["linux"]["namespaces"] = json!(kinds);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    assert_eq!(bundle.stdout_of("echo it runs"), "it runs");
}

#[test]
fn every_capability_that_is_listed_is_recognized() {
    let Some((mut bundle, features)) = features() else { return };
    let capabilities = words(&features, "/linux/capabilities");
    assert!(!capabilities.is_empty());
    // A capability that the host's root lacks is an error in runc 1.1.
    let own = host::status_field("self", "CapBnd");
    let own = u64::from_str_radix(&own, 16).unwrap();
    let is_own = |name: &String| {
        let lacks_resources = own & 1 << 24 == 0;
        !(lacks_resources && name == "CAP_SYS_RESOURCE")
    };
    let asked: Vec<_> = capabilities.into_iter().filter(is_own).collect();
    bundle.config["process"]["capabilities"] = json!({ "bounding": asked });
    bundle.set_script("grep CapBnd /proc/self/status");
    let ran = bundle.run();
    ran.exits(0);
    let set =
        u64::from_str_radix(ran.out.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(set.count_ones() as usize, asked.len(), "{ran:?}");
    assert_eq!(ran.err, "", "no warning about an unknown one");
}

#[test]
fn every_memory_policy_that_is_listed_is_recognized() {
    let Some((mut bundle, features)) = features() else { return };
    for mode in words(&features, "/linux/memoryPolicy/modes") {
        let mut policy = json!({ "mode": mode });
        if !["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode.as_str()) {
            policy["nodes"] = json!("0");
        }
        bundle.config["linux"]["memoryPolicy"] = policy;
        let ran = bundle.run();
        // The kernel may lack a mode: an error of set_mempolicy, not of the parser.
        assert!(ran.code == 0 || ran.err.contains("set_mempolicy"), "{mode}: {ran:?}");
    }
}

#[test]
fn idmapped_mounts_are_announced_if_they_work() {
    let Some((mut bundle, features)) = features() else { return };
    if !bundle.is_ours() {
        return; // runc 1.1 does not know them
    }
    std::fs::create_dir(bundle.dir().join("volume")).unwrap();
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 10 }]);
    bundle.add(
        "/mounts",
        json!({
            "destination": "/mnt", "source": "volume", "options": ["bind", "idmap"],
            "uidMappings": map, "gidMappings": map,
        }),
    );
    let works = bundle.run().code == 0;
    let announced = features.pointer("/linux/mountExtensions/idmap/enabled");
    assert_eq!(announced == Some(&json!(true)), works, "{announced:?}");
}

#[test]
fn every_word_of_seccomp_that_is_listed_is_recognized() {
    let Some((mut bundle, features)) = features() else { return };
    let (actions, operators, architectures, flags) = (
        words(&features, "/linux/seccomp/actions"),
        words(&features, "/linux/seccomp/operators"),
        words(&features, "/linux/seccomp/archs"),
        words(&features, "/linux/seccomp/knownFlags"),
    );
    assert!(!actions.is_empty() && !operators.is_empty() && !architectures.is_empty());
    // libseccomp refuses architectures of another byte order in one filter.
    let is_native = |name: &&String| bundle.is_ours() || name.contains("X86");
    let architectures: Vec<_> = architectures.iter().filter(is_native).collect();
    // Calls that sh does not make.
    let calls = [
        "swapon",
        "swapoff",
        "reboot",
        "acct",
        "kexec_load",
        "mount",
        "umount2",
        "init_module",
        "delete_module",
        "bpf",
        "setns",
        "unshare",
        "pivot_root",
    ];
    let asks = |action: &&String| *action != "SCMP_ACT_NOTIFY";
    let mut rules: Vec<_> = actions
        .iter()
        .filter(asks)
        .zip(calls)
        .map(|(action, call)| json!({ "names": [call], "action": action }))
        .collect();
    for operator in &operators {
        rules.push(json!({
            "names": ["personality"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": 99, "valueTwo": 98, "op": operator }],
        }));
    }
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": rules,
    });
    let supported = words(&features, "/linux/seccomp/supportedFlags");
    assert!(supported.iter().all(|flag| flags.contains(flag)), "{supported:?}");
    let needs_an_agent =
        |flag: &&String| *flag != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
    let plain: Vec<_> = supported.iter().filter(needs_an_agent).collect();
    bundle.config["linux"]["seccomp"]["flags"] = json!(plain);
    assert_eq!(bundle.stdout_of("echo it runs"), "it runs");
    bundle.call(&["delete", "--force", ID]);
}
