//! `linux.netDevices`: the network devices of the host that the container gets
//! ([config-linux.md, "Network
//! Devices"](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#network-devices)).

use std::collections::BTreeMap;

use exec::CloneFlags;
use kit::{Hint, Result};
use network::NetDevice;
use oci_spec::runtime::{Linux, LinuxNetDevice};

use crate::invalid::invalid;
use crate::plan::Namespaces;

/// Makes the plan of the network devices, in the order of their names.
///
/// # Errors
/// When the container has no network namespace, a name is not valid, or the caller is
/// not root.
pub(crate) fn plan(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<NetDevice>> {
    let sorted: BTreeMap<_, _> = linux.net_devices().iter().flatten().collect();
    if sorted.is_empty() {
        return Ok(Vec::new());
    }
    if !namespaces.has(CloneFlags::CLONE_NEWNET) {
        return Err(invalid(
            "linux.netDevices: the container has no network namespace of its own",
        ))
        .hint("add { \"type\": \"network\" } to linux.namespaces");
    }
    if !rustix::process::geteuid().is_root() {
        return Err(invalid("linux.netDevices: only root can move the host's devices"))
            .hint("use sudo");
    }
    let device = |(name, device): (&String, &LinuxNetDevice)| {
        NetDevice::new(name, device.name().as_deref())
            .map_err(|why| invalid(format_args!("linux.netDevices: {why}")))
    };
    sorted.into_iter().map(device).collect()
}
