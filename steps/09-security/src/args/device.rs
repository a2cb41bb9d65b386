//! The values of `--device`.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use cgroups::DeviceAccess;

/// A value of `--device`: `HOST[:CONTAINER[:rwm]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeviceArg {
    pub source: PathBuf,
    pub path: PathBuf,
    pub access: DeviceAccess,
}

impl FromStr for DeviceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form =
            || format!("{text:?}: HOST[:CONTAINER[:rwm]], as in /dev/sda:/dev/disk:r");
        let parts: Vec<_> = text.split(':').collect();
        let (source, path, access) = match parts[..] {
            [source] => (source, source, "rwm"),
            // as in Docker: the second part may be the access alone
            [source, access] if is_access(access) => (source, source, access),
            [source, path] => (source, path, "rwm"),
            [source, path, access] if is_access(access) => (source, path, access),
            _ => return Err(form()),
        };
        let is_path = |path: &str| {
            let path = Path::new(path);
            path.is_absolute()
                && path.file_name().is_some()
                && !path.components().any(|part| part == Component::ParentDir)
        };
        match is_path(source) && is_path(path) {
            true => Ok(DeviceArg {
                source: source.into(),
                path: path.into(),
                access: access.parse()?,
            }),
            false => Err(form()),
        }
    }
}

/// Whether a text has each of the letters r, w and m at most once, and no other.
fn is_access(text: &str) -> bool {
    let is_once = |letter| text.matches(letter).count() <= 1;
    !text.is_empty()
        && text.chars().all(|letter| "rwm".contains(letter))
        && ['r', 'w', 'm'].into_iter().all(is_once)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_path_inside_and_its_uses() {
        let device = |source: &str, path: &str, access: &str| {
            Ok(DeviceArg {
                source: source.into(),
                path: path.into(),
                access: access.parse().unwrap(),
            })
        };
        for (text, expected) in [
            ("/dev/sda", device("/dev/sda", "/dev/sda", "rwm")),
            ("/dev/sda:r", device("/dev/sda", "/dev/sda", "r")),
            ("/dev/sda:/dev/b", device("/dev/sda", "/dev/b", "rwm")),
            ("/dev/sda:/dev/b:rw", device("/dev/sda", "/dev/b", "rw")),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for bad in [
            "",
            "sda",
            "/dev/sda:b",
            "/dev/sda:/b:x",
            "/dev/sda:/b:rr",
            "/a:/../b",
            "/a:/",
            "/a:/b:r:w",
        ] {
            bad.parse::<DeviceArg>().unwrap_err();
        }
    }
}
