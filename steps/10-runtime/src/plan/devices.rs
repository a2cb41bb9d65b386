//! `linux.devices` of config.json, and the devices that every container has:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#devices>

use std::path::{Component, Path};

use anyhow::Result;
use mount::{Entry, EntrySource};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use pivot_root::{DeviceNode, DeviceType, default_devices};

use crate::invalid::invalid;

/// The permissions of a device for which config.json has none.
const DEFAULT_MODE: u32 = 0o666;

/// Plans the device nodes: the default ones, unless config.json names one of them
/// itself, and those of config.json. None if /dev is a bind mount: it is the host's, and
/// nothing is made in it.
///
/// # Errors
/// When a path, a type or a number is invalid.
pub(crate) fn devices(
    devices: &[LinuxDevice],
    mounts: &[Entry],
) -> Result<Option<Vec<DeviceNode>>> {
    let nodes: Vec<_> = devices.iter().map(node).collect::<Result<_>>()?;
    let is_hosts_dev = |it: &Entry| {
        it.target.components().eq(Path::new("/dev").components())
            && matches!(it.source, EntrySource::Bind(..))
    };
    if mounts.iter().any(is_hosts_dev) {
        return Ok(None);
    }
    let mut all = default_devices();
    all.retain(|default| nodes.iter().all(|node| node.path != default.path));
    all.extend(nodes);
    Ok(Some(all))
}

fn node(device: &LinuxDevice) -> Result<DeviceNode> {
    // A path without a directory is the name of a node in /dev.
    let path: std::path::PathBuf =
        Path::new("/dev").join(device.path()).components().collect();
    if path.file_name().is_none()
        || path.components().any(|part| part == Component::ParentDir)
        || path.starts_with("/proc")
    {
        return Err(refused(device, "it is no path of a device"));
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => {
            let (major, minor) = numbers(device)?;
            DeviceType::Character(major, minor)
        }
        LinuxDeviceType::B => {
            let (major, minor) = numbers(device)?;
            DeviceType::Block(major, minor)
        }
        LinuxDeviceType::P => DeviceType::Fifo,
        LinuxDeviceType::A => {
            return Err(refused(device, "its type is c, b, u or p"));
        }
    };
    Ok(DeviceNode {
        path,
        kind,
        // Some engines send the whole st_mode.
        mode: device.file_mode().unwrap_or(DEFAULT_MODE) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// Returns the numbers of a device: Linux has 12 bits for the major one and 20 for the
/// minor one.
fn numbers(device: &LinuxDevice) -> Result<(u32, u32)> {
    let number = |number: i64, bits: u32| {
        let number = u32::try_from(number).ok().filter(|it| it >> bits == 0);
        number.ok_or_else(|| refused(device, "the kernel has no such device number"))
    };
    Ok((number(device.major(), 12)?, number(device.minor(), 20)?))
}

fn refused(device: &LinuxDevice, why: &str) -> anyhow::Error {
    let path = device.path().display();
    invalid(format_args!("config.json: device {path}: {why}"))
}

#[cfg(test)]
mod tests {
    use mount::{MountOptions, NewFileSystem, Recursion};

    use super::*;

    fn planned(json: &str) -> Result<Vec<DeviceNode>> {
        let device: LinuxDevice = serde_json::from_str(json).unwrap();
        Ok(devices(&[device], &[])?.unwrap())
    }

    #[test]
    fn a_default_device_that_config_json_names_is_made_once_and_as_it_says() {
        let nodes = planned(
            r#"{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 384, "uid": 5, "gid": 6}"#,
        )
        .unwrap();
        let null = Path::new("/dev/null");
        let null: Vec<_> = nodes.iter().filter(|node| node.path == null).collect();
        let kind = DeviceType::Character(1, 3);
        let (path, mode) = ("/dev/null".into(), 0o600);
        assert_eq!(null, [&DeviceNode { path, kind, mode, uid: 5, gid: 6 }]);
        assert_eq!(nodes.len(), default_devices().len());
    }

    #[test]
    fn every_type_is_understood_and_a_name_is_one_in_dev() {
        for (kind, planned_kind) in [
            ("c", DeviceType::Character(8, 1)),
            ("u", DeviceType::Character(8, 1)),
            ("b", DeviceType::Block(8, 1)),
            ("p", DeviceType::Fifo),
        ] {
            let json = format!(
                r#"{{"path": "x/y", "type": "{kind}", "major": 8, "minor": 1}}"#
            );
            let nodes = planned(&json).unwrap();
            let node = nodes.last().unwrap();
            assert_eq!((&node.kind, node.mode), (&planned_kind, 0o666));
            assert_eq!(node.path, Path::new("/dev/x/y"));
        }
    }

    #[test]
    fn an_invalid_path_type_or_number_is_refused() {
        for json in [
            r#"{"path": "/dev/x", "type": "a"}"#,
            r#"{"path": "/dev/../x", "type": "c"}"#,
            r#"{"path": "/", "type": "c"}"#,
            r#"{"path": "/proc/x", "type": "c"}"#,
            r#"{"path": "/dev/x", "type": "c", "major": -1, "minor": 1}"#,
            r#"{"path": "/dev/x", "type": "b", "major": 4096, "minor": 1}"#,
        ] {
            let error = planned(json).unwrap_err().to_string();
            assert!(error.contains("config.json: device"), "{json}: {error}");
        }
    }

    #[test]
    fn nothing_is_made_in_the_hosts_dev() {
        let entry = |source| Entry {
            source,
            target: "/dev/".into(),
            options: MountOptions::default(),
        };
        let bind = entry(EntrySource::Bind("/dev".into(), Recursion::Recursive));
        assert_eq!(devices(&[], &[bind]).unwrap(), None);
        let tmpfs = entry(EntrySource::New(NewFileSystem::new("tmpfs", None)));
        assert_eq!(devices(&[], &[tmpfs]).unwrap(), Some(default_devices()));
    }
}
