//! Finds the mounts of cgroup file systems in /proc/self/mountinfo
//! (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{major, minor};

use crate::controller::Version;

/// A mount of a cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub version: Version,
    /// The device number, `major:minor`: mounts of one hierarchy share it.
    device: String,
    /// The cgroup that is mounted: `/` on a host, and the container's own in a
    /// container without a cgroup namespace.
    pub root: PathBuf,
    pub mount_point: PathBuf,
    pub access: MountAccess,
    /// The options of the file system. On version 1 the names of its controllers are
    /// among them.
    pub options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MountAccess {
    ReadWrite,
    ReadOnly,
}

/// Parses the cgroup mounts, in the order in which they were mounted.
pub(crate) fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(parse_line).collect()
}

/// Parses `36 35 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup
/// rw,cpu,cpuacct`.
fn parse_line(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let [_, _, device, root, mount_point, flags, ..] =
        mount.split(' ').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let mut file_system = file_system.split(' ');
    let version = match file_system.next()? {
        "cgroup2" => Version::V2,
        "cgroup" => Version::V1,
        _ => return None,
    };
    let options: Vec<_> = file_system.nth(1)?.split(',').map(String::from).collect();
    let read_only = flags.split(',').any(|flag| flag == "ro")
        || options.iter().any(|option| option == "ro");
    Some(Mount {
        version,
        device: device.into(),
        root: unescape(root),
        mount_point: unescape(mount_point),
        access: if read_only { MountAccess::ReadOnly } else { MountAccess::ReadWrite },
        options,
    })
}

/// Replaces `\` and three octal digits, which stand for space, tab, newline or
/// backslash.
fn unescape(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => bytes.extend([&[byte], &part.as_bytes()[3..]].concat()),
            None => bytes.extend([b"\\", part.as_bytes()].concat()),
        }
    }
    OsString::from_vec(bytes).into()
}

impl Mount {
    /// Returns whether the mount point shows this file system, and not another that is
    /// mounted over it.
    ///
    /// # Errors
    /// When the mount point cannot be examined. Without this hierarchy the container
    /// would not be limited.
    pub(crate) fn is_visible(&self) -> Result<bool> {
        use ErrorKind::{NotADirectory, NotFound};
        let found = self.mount_point.metadata();
        if matches!(&found, Err(error) if matches!(error.kind(), NotFound | NotADirectory))
        {
            return Ok(false);
        }
        let stat = || format!("stat {}", self.mount_point.display());
        let device = found.with_context(stat)?.dev();
        Ok(format!("{}:{}", major(device), minor(device)) == self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_mount_point_with_a_space_and_propagation_fields_is_read() {
        let line = "36 35 0:28 / /a\\040b/c\\134 rw,relatime shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct";
        let mounts = parse(line);
        assert_eq!(mounts[0].mount_point, Path::new("/a b/c\\"));
        assert_eq!(mounts[0].options, ["rw", "cpu", "cpuacct"]);
        assert_eq!(parse("36 35 0:28 / /sys rw - sysfs sysfs rw"), []);
    }
}
