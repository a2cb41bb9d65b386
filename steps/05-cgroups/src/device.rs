//! Block devices of the host, and limits of their rates.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use rustix::fs::{major, minor};

use crate::controller::Version;
use crate::values::Max;

/// A block device, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The number of its driver.
    pub major: u32,
    /// Its number within the driver.
    pub minor: u32,
}

impl Device {
    /// Finds the number of the device at a path of the host.
    ///
    /// # Errors
    /// When the path cannot be examined, or is no block device.
    pub fn at(path: &Path) -> Result<Self> {
        let found = path
            .metadata()
            .with_context(|| format!("stat {}", path.display()))
            .hint("`lsblk --paths` lists the devices")?;
        if !found.file_type().is_block_device() {
            let what = format!("{} is no block device", path.display());
            return Err(Failure::new(what)
                .hint("`lsblk --paths` lists the devices, `df FILE` tells the one of a file")
                .into());
        }
        Ok(Device { major: major(found.rdev()), minor: minor(found.rdev()) })
    }
}

/// The most that a container may read from a device, or write to it, in a second: a
/// number of bytes or of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRate {
    /// The device: a whole disk, not a partition.
    pub device: Device,
    /// The rate.
    pub rate: Max,
}

impl DeviceRate {
    /// Returns the line that sets the rate. On version 2 it is for io.max, and has the
    /// `key` of the rate. Version 1 has a file for each kind of rate, and 0 for no
    /// limit.
    pub(crate) fn line(&self, key: &str, version: Version) -> String {
        let (Device { major, minor }, rate) = (self.device, self.rate);
        match (version, rate) {
            (Version::V2, rate) => format!("{major}:{minor} {key}={rate}"),
            (Version::V1, Max::Unlimited) => format!("{major}:{minor} 0"),
            (Version::V1, Max::At(rate)) => format!("{major}:{minor} {rate}"),
        }
    }
}

/// The rates of one kind, and their names in the kernel's files.
pub(crate) struct DeviceRates<'a> {
    pub rates: &'a [DeviceRate],
    /// The key in io.max.
    pub key: &'static str,
    /// The file of version 1.
    pub v1_file: &'static str,
}
