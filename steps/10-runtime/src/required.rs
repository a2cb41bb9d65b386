//! The properties that the specification requires
//! ([config.md](https://github.com/opencontainers/runtime-spec/blob/main/config.md),
//! [config-linux.md](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md)).
//! The types of `oci_spec` take most missing values for 0. Those of this step do not, but
//! here the error names the path of the property.

use kit::Result;
use serde_json::{Value, json};

use crate::invalid::invalid;

/// The objects, by their path in config.json, and the properties that each must have.
/// `[]` stands for each element of an array, `*` for each property of an object.
const REQUIRED: [(&str, &[&str]); 29] = [
    ("", &["ociVersion", "root"]),
    ("root", &["path"]),
    ("mounts.[]", &["destination"]),
    ("mounts.[].uidMappings.[]", MAPPING),
    ("mounts.[].gidMappings.[]", MAPPING),
    ("process", &["cwd"]),
    ("process.user", &["uid", "gid"]),
    ("process.consoleSize", &["height", "width"]),
    ("process.rlimits.[]", &["type", "soft", "hard"]),
    ("process.scheduler", &["policy"]),
    ("process.ioPriority", &["class", "priority"]),
    ("hooks.*.[]", &["path"]),
    ("linux.namespaces.[]", &["type"]),
    ("linux.uidMappings.[]", MAPPING),
    ("linux.gidMappings.[]", MAPPING),
    ("linux.devices.[]", &["type", "path"]),
    ("linux.resources.devices.[]", &["allow"]),
    ("linux.resources.hugepageLimits.[]", &["pageSize", "limit"]),
    ("linux.resources.network.priorities.[]", &["name", "priority"]),
    ("linux.resources.blockIO.weightDevice.[]", DEVICE),
    ("linux.resources.blockIO.throttleReadBpsDevice.[]", RATE),
    ("linux.resources.blockIO.throttleWriteBpsDevice.[]", RATE),
    ("linux.resources.blockIO.throttleReadIOPSDevice.[]", RATE),
    ("linux.resources.blockIO.throttleWriteIOPSDevice.[]", RATE),
    ("linux.memoryPolicy", &["mode"]),
    ("linux.personality", &["domain"]),
    ("linux.seccomp", &["defaultAction"]),
    ("linux.seccomp.syscalls.[]", &["names", "action"]),
    ("linux.seccomp.syscalls.[].args.[]", &["index", "value", "op"]),
];

const MAPPING: &[&str] = &["containerID", "hostID", "size"];
const DEVICE: &[&str] = &["major", "minor"];
const RATE: &[&str] = &["major", "minor", "rate"];

/// Checks that a config.json has every required property.
///
/// # Errors
/// When one is missing.
pub(crate) fn check(config: &Value) -> Result<()> {
    check_objects(config, &REQUIRED)?;
    for device in at(config, "linux.devices.[]") {
        let has = |name: &&&str| device.get(name).is_none();
        if device["type"] != "p"
            && let Some(name) = DEVICE.iter().find(has)
        {
            return Err(missing("linux.devices.[]", name));
        }
    }
    Ok(())
}

/// Checks that a section `process`, in a file of its own, has every required property.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_process(process: Value) -> Result<()> {
    let of_process =
        REQUIRED.into_iter().filter(|(path, _)| path.starts_with("process"));
    let config = json!({ "process": process });
    check_objects(&config, &of_process.collect::<Vec<_>>())
}

fn check_objects(config: &Value, required: &[(&str, &[&str])]) -> Result<()> {
    for (path, names) in required {
        for object in at(config, path) {
            if let Some(name) = names.iter().find(|name| object.get(name).is_none()) {
                return Err(missing(path, name));
            }
        }
    }
    Ok(())
}

/// Finds the values at a path. An empty or missing value is none.
fn at<'a>(config: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![config];
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let below = |value: &'a Value| -> Vec<&'a Value> {
            match part {
                "[]" => value.as_array().into_iter().flatten().collect(),
                "*" => {
                    value.as_object().into_iter().flat_map(|it| it.values()).collect()
                }
                name => value.get(name).into_iter().collect(),
            }
        };
        found = found.into_iter().flat_map(below).collect();
    }
    found.retain(|value| !value.is_null());
    found
}

fn missing(path: &str, name: &str) -> anyhow::Error {
    let dot = if path.is_empty() { "" } else { "." };
    let path = path.replace(".[]", "[]");
    invalid(format_args!("{path}{dot}{name} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: Value) -> String {
        check(&config).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_process_without_a_user_id_is_refused() {
        let check = |user| check_process(json!({ "cwd": "/", "user": user }));
        check(json!({ "uid": 0, "gid": 0 })).unwrap();
        let error = check(json!({ "gid": 0 })).unwrap_err().to_string();
        assert_eq!(error, "process.user.uid is missing");
    }

    #[test]
    fn the_missing_property_is_named_wherever_it_is() {
        let with = |name: &str, value: Value| {
            let mut config =
                json!({ "ociVersion": "1.3.0", "root": { "path": "rootfs" } });
            config[name] = value;
            config
        };
        assert_eq!(error(json!({})), "ociVersion is missing");
        assert_eq!(error(with("linux", json!(null))), "");
        let process = json!({ "cwd": "/", "user": { "uid": 0 } });
        assert_eq!(error(with("process", process)), "process.user.gid is missing");
        let hooks = json!({ "poststop": [{ "path": "/x" }, {}] });
        assert_eq!(error(with("hooks", hooks)), "hooks.*[].path is missing");
        for (device, expected) in [
            (json!({ "path": "/x", "type": "p" }), ""),
            (
                json!({ "path": "/x", "type": "c", "major": 1 }),
                "linux.devices[].minor is missing",
            ),
        ] {
            assert_eq!(error(with("linux", json!({ "devices": [device] }))), expected);
        }
    }
}
