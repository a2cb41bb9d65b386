//! runtime.md: "Errors"; config.md: "Specification version", "Annotations",
//! "Extensibility", "Valid values"; glossary.md: "JSON".

use std::fs;

use serde_json::{Value, json};

use super::bundle::{Bundle, ID};

#[test]
fn unknown_properties_are_ignored() {
    let Some(mut bundle) = Bundle::new() else { return };
    for pointer in [
        "",
        "/process",
        "/process/user",
        "/root",
        "/mounts/0",
        "/linux",
        "/linux/resources",
    ] {
        bundle.config.pointer_mut(pointer).unwrap()["org.example.unknown"] =
            json!({ "a": [1, null, "b"] });
    }
    bundle.config["annotations"] = json!({ "org.opencontainers.unknown": "x" });
    assert_eq!(bundle.stdout_of("echo it runs"), "it runs");
}

#[test]
fn every_version_of_the_specification_since_1_0_is_accepted() {
    let Some(mut bundle) = Bundle::new() else { return };
    for version in ["1.0.0", "1.0.2", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0"] {
        bundle.config["ociVersion"] = json!(version);
        assert_eq!(bundle.stdout_of("echo it runs"), "it runs", "{version}");
    }
}

#[test]
fn a_version_that_is_no_semantic_version_or_of_another_major_is_refused() {
    let why = "runc 1.1 does not check";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    for version in ["", "1", "1.0", "x.y.z", "1.0.0.0", "2.0.0", "01.0.0"] {
        bundle.config["ociVersion"] = json!(version);
        bundle.assert_config_refused();
    }
}

#[test]
fn values_of_a_wrong_type_are_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    let usual = bundle.config.clone();
    let mut wrong = vec![
        ("/process/args", json!("true")),
        ("/process/cwd", json!(1)),
        ("/process/user/uid", json!("root")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(4294967296u64)),
        ("/process/terminal", json!("no")),
        ("/root/readonly", json!("yes")),
        ("/mounts", json!({})),
        ("/linux/namespaces", json!("pid")),
        ("/linux/resources", json!({ "pids": { "limit": "many" } })),
        ("/linux/resources", json!({ "memory": { "limit": 1.5 } })),
        ("/annotations", json!({ "a": 1 })),
        ("/annotations", json!(["a"])),
        ("/linux/rootfsPropagation", json!("nosuch")),
    ];
    if bundle.is_ours() {
        // runc 1.1 ignores the personality.
        wrong.push(("/linux/personality", json!({ "domain": "NOSUCH" })));
    }
    for (pointer, value) in wrong {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bundle.config = usual.clone();
        bundle.config.pointer_mut(parent).unwrap()[key] = value.clone();
        let ran = bundle.create();
        bundle.delete_all();
        assert_ne!(ran.code, 0, "{pointer}: {value}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn a_configuration_without_a_required_property_is_refused() {
    let why = "runc takes a missing value for an empty one";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["annotations"] = json!({});
    bundle.config["linux"]["uidMappings"] = json!([]);
    let usual = bundle.config.clone();
    for pointer in [
        "/ociVersion",
        "/root/path",
        "/mounts/0/destination",
        "/process/cwd",
        "/process/args",
        "/process/user/uid",
        "/process/user/gid",
        "/process/rlimits/0/type",
        "/process/rlimits/0/soft",
        "/process/rlimits/0/hard",
        "/linux/namespaces/0/type",
        "/linux/resources/devices/0/allow",
    ] {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bundle.config = usual.clone();
        let parent =
            bundle.config.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.remove(key).expect("it was there");
        let ran = bundle.create();
        bundle.delete_all();
        assert_ne!(ran.code, 0, "without {pointer}");
    }
}

#[test]
fn annotations_have_keys_that_are_not_empty() {
    let why = "runc 1.1 does not check";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["annotations"] = json!({ "": "x" });
    bundle.assert_config_refused();
}

#[test]
fn a_document_that_is_no_json_or_not_in_utf_8_is_refused() {
    let Some(bundle) = Bundle::new() else { return };
    let file = bundle.dir().join("config.json");
    let usual = bundle.config.to_string();
    let mut not_utf_8 = usual.clone().into_bytes();
    let at = usual.find("conformance").unwrap();
    not_utf_8[at] = 0xff;
    let mut wrong = vec![Vec::new(), b"{".to_vec(), b"[]".to_vec(), b"null".to_vec()];
    if bundle.is_ours() {
        wrong.push(not_utf_8); // Go replaces what is not UTF-8
    }
    for bytes in wrong {
        fs::write(&file, bytes).unwrap();
        let ran =
            bundle.call(&["create", "--bundle", bundle.dir().to_str().unwrap(), ID]);
        bundle.assert_refused(&ran);
    }
    bundle.assert_nothing_left();
}

/// Things that fail at another moment of `create` each.
fn failures() -> Vec<(&'static str, Value)> {
    let mount = |to: &str, kind: &str, source: &str| json!([{ "destination": to, "type": kind, "source": source, "options": [] }]);
    vec![
        ("/process/args", json!(["/nonexistent"])),
        ("/process/cwd", json!("/nonexistent/deep")),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1 }]),
        ),
        ("/root/path", json!("nonexistent")),
        ("/mounts", mount("/mnt", "nosuchfs", "none")),
        ("/mounts", mount("/mnt", "ext4", "/nonexistent/device")),
        ("/linux/sysctl", json!({ "net.ipv4.nosuch": "1" })),
        ("/linux/resources", json!({ "cpu": { "cpus": "4000-4001" } })),
        (
            "/linux/namespaces",
            json!([{ "type": "mount" }, { "type": "network", "path": "/nonexistent" }]),
        ),
    ]
}

#[test]
fn a_create_that_fails_leaves_everything_as_it_was() {
    let Some(mut bundle) = Bundle::new() else { return };
    let usual = bundle.config.clone();
    for (pointer, value) in failures() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bundle.config = usual.clone();
        bundle.config.pointer_mut(parent).unwrap()[key] = value.clone();
        let ran = bundle.create();
        if pointer == "/process/cwd" && ran.code == 0 {
            bundle.delete_all(); // runc makes the directory
            continue;
        }
        assert_ne!(ran.code, 0, "{pointer}: {value}");
        bundle.assert_refused(&ran);
        bundle.assert_nothing_left();
        assert_eq!(bundle.ids(), [""; 0], "{pointer}: {value}");
    }
    // The same id is free.
    bundle.config = usual;
    assert_eq!(bundle.stdout_of("echo it runs"), "it runs");
}
