//! The options that limit the rate of block devices.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;

use kit::Size;

use crate::device::{Device, DeviceRate};
use crate::limits::Limits;
use crate::values::Max;

/// The options that limit the rate of block devices. Each may be given several times,
/// for different devices.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct DeviceArgs {
    /// Bytes that it may read from a device each second (/dev/sda:10m)
    #[arg(long, value_name = "PATH:RATE")]
    device_read_bps: Vec<Rate<Size>>,
    /// Bytes that it may write to a device each second (/dev/sda:10m)
    #[arg(long, value_name = "PATH:RATE")]
    device_write_bps: Vec<Rate<Size>>,
    /// Operations that may read from a device each second (/dev/sda:1000)
    #[arg(long, value_name = "PATH:RATE")]
    device_read_iops: Vec<Rate<u64>>,
    /// Operations that may write to a device each second (/dev/sda:1000)
    #[arg(long, value_name = "PATH:RATE")]
    device_write_iops: Vec<Rate<u64>>,
}

/// `PATH:RATE`: a device of the host, and a rate in a second.
#[derive(Clone, Debug)]
struct Rate<T> {
    path: PathBuf,
    rate: T,
}

impl<T: FromStr> FromStr for Rate<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The names in /dev/disk/by-path have colons.
        let parts = text.rsplit_once(':').filter(|(path, _)| !path.is_empty());
        let parsed = parts.and_then(|(path, rate)| {
            Some(Rate { path: path.into(), rate: rate.parse().ok()? })
        });
        parsed.ok_or_else(|| {
            "a rate is the path of a device and a number, in bytes with a unit: \
             /dev/sda:10m, in operations without: /dev/sda:1000"
                .into()
        })
    }
}

impl DeviceArgs {
    /// Finds the devices on the host, and adds their rates to `limits`.
    pub(super) fn add_to(&self, limits: &mut Limits) -> Result<()> {
        limits.device_read_bps = bytes(&self.device_read_bps)?;
        limits.device_write_bps = bytes(&self.device_write_bps)?;
        limits.device_read_iops = operations(&self.device_read_iops)?;
        limits.device_write_iops = operations(&self.device_write_iops)?;
        Ok(())
    }
}

fn bytes(rates: &[Rate<Size>]) -> Result<Vec<DeviceRate>> {
    rates.iter().map(|it| on_host(it, it.rate.0)).collect()
}

fn operations(rates: &[Rate<u64>]) -> Result<Vec<DeviceRate>> {
    rates.iter().map(|it| on_host(it, it.rate)).collect()
}

fn on_host<T>(Rate { path, .. }: &Rate<T>, rate: u64) -> Result<DeviceRate> {
    let rate = if rate == 0 { Max::Unlimited } else { Max::At(rate) };
    Ok(DeviceRate { device: Device::at(path)?, rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_the_last_colon() {
        let rate = |text: &str| {
            let Rate { path, rate } = text.parse::<Rate<Size>>()?;
            Ok::<_, String>((path.display().to_string(), rate.0))
        };
        assert_eq!(rate("/dev/sda:1mb"), Ok(("/dev/sda".into(), 1 << 20)));
        assert_eq!(
            rate("/dev/disk/pci-0:1:7k"),
            Ok(("/dev/disk/pci-0:1".into(), 7168))
        );
        for text in
            ["", ":", "/dev/sda", "/dev/sda:", ":1m", "/dev/sda:-1", "/dev/sda:m"]
        {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!("/dev/sda:1m".parse::<Rate<u64>>().is_err(), "operations have no unit");
    }
}
