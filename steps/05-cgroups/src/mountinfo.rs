//! Finds the mounts of cgroup file systems in /proc/self/mountinfo
//! (proc_pid_mountinfo(5)).

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mount::unescape;
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

/// Parses the cgroup mounts, in the order in which they were mounted. The name of a
/// mount point is bytes, which need not be UTF-8.
pub(crate) fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// Parses `36 35 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup
/// rw,cpu,cpuacct`.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let fields: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| field == b"-")?;
    let (
        [_, _, device, root, mount_point, flags, ..],
        [_, file_system, _, options, ..],
    ) = fields.split_at(separator)
    else {
        return None;
    };
    let version = match *file_system {
        b"cgroup2" => Version::V2,
        b"cgroup" => Version::V1,
        _ => return None,
    };
    let options: Vec<_> =
        String::from_utf8_lossy(options).split(',').map(String::from).collect();
    let read_only = flags.split(|byte| *byte == b',').any(|flag| flag == b"ro")
        || options.iter().any(|option| option == "ro");
    Some(Mount {
        version,
        device: String::from_utf8_lossy(device).into(),
        root: unescape(root),
        mount_point: unescape(mount_point),
        access: if read_only { MountAccess::ReadOnly } else { MountAccess::ReadWrite },
        options,
    })
}

/// Writes a path as one line of ASCII, which [`mount::unescape`] reads.
pub(crate) fn escape(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    bytes
        .map(|byte| match byte {
            b' '..=b'~' if *byte != b'\\' => char::from(*byte).to_string(),
            _ => format!("\\{byte:03o}"),
        })
        .collect()
}

impl Mount {
    /// Returns whether the mount point shows this file system, and not another that is
    /// mounted over it. A user without access to a directory does not see the mounts
    /// below it, and could make no cgroup there either.
    ///
    /// # Errors
    /// When the mount point cannot be examined for another reason. If this hierarchy
    /// were left out, its limits would be missing.
    pub(crate) fn is_visible(&self) -> Result<bool> {
        use ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        let device = match self.mount_point.metadata() {
            Ok(found) => found.dev(),
            Err(error)
                if matches!(
                    error.kind(),
                    NotFound | NotADirectory | PermissionDenied
                ) =>
            {
                return Ok(false);
            }
            Err(error) => {
                let stat = format!("stat {}", self.mount_point.display());
                return Err(error).context(stat);
            }
        };
        Ok(format!("{}:{}", major(device), minor(device)) == self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_space_and_propagation_fields_is_read() {
        let line = "36 35 0:28 / /a\\040b/c\\134 rw,relatime shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct";
        let mounts = parse(line.as_bytes());
        assert_eq!(mounts[0].mount_point, Path::new("/a b/c\\"));
        assert_eq!(mounts[0].options, ["rw", "cpu", "cpuacct"]);
        assert_eq!(parse(b"36 35 0:28 / /sys rw - sysfs sysfs rw"), []);
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_read_and_written_as_it_is() {
        let lines = b"35 1 0:5 / /\xff rw - tmpfs none rw\n\
            36 35 0:28 / /\xff/\\012 rw - cgroup2 none rw\n";
        let [mount] = &parse(lines)[..] else { panic!() };
        assert_eq!(mount.mount_point.as_os_str().as_bytes(), b"/\xff/\n");
        assert_eq!(escape(&mount.mount_point), "/\\377/\\012");
        for name in [&b"/a\\x2db \\101"[..], b"/\xff\n\t\\", "/é".as_bytes()] {
            let path = unescape(escape(&unescape(name)).as_bytes());
            assert_eq!(path, unescape(name));
        }
    }
}
