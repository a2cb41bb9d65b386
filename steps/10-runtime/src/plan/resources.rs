//! `linux.resources`: what the container may use ([config-linux.md, "Control
//! groups"](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups)).

use cgroups::{
    BelowUsage, BlkioWeight, CpuShares, Cpus, Device, DeviceKind, DeviceRate,
    DeviceRule, DeviceRules, DeviceVerdict, Max, Resources, Setting, Swap,
};
use kit::Result;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxHugepageLimit,
    LinuxMemory, LinuxNetwork, LinuxRdma, LinuxResources, LinuxThrottleDevice,
};
use rustix::process::geteuid;

use crate::invalid::invalid;

/// Makes the resources of a new container. The default devices are always allowed.
///
/// # Errors
/// When a value is invalid.
pub(crate) fn plan(resources: Option<&LinuxResources>) -> Result<Resources> {
    let asked = resources.cloned().unwrap_or_default();
    let rules = asked.devices().iter().flatten().map(device_rule);
    let mut rules = rules.collect::<Result<Vec<_>>>()?;
    rules.extend(DeviceRules::defaults());
    if let Some(block_io) = asked.block_io() {
        require_rates(block_io)?;
    }
    let mut resources =
        Resources { devices: Some(DeviceRules(rules)), ..limits(&asked)? };
    if !geteuid().is_root() {
        forget_unlimited(&mut resources);
    }
    Ok(resources)
}

/// Forgets the limits of -1, which a new cgroup does not need to be told: without root
/// there may be no controller for them, and there is nothing to refuse.
fn forget_unlimited(resources: &mut Resources) {
    let limits = &mut resources.limits;
    for limit in [&mut limits.memory, &mut limits.memory_reservation, &mut limits.pids]
    {
        limit.take_if(|limit| *limit == Max::Unlimited);
    }
    limits.swap.take_if(|swap| swap.total() == Max::Unlimited);
    let no_limit = Cpus { quota: Max::Unlimited, period: Cpus::PERIOD };
    limits.cpus.take_if(|cpus| *cpus == no_limit);
}

/// Makes the resources without the device rules: for `update`, which leaves these as
/// they are.
///
/// # Errors
/// When a value is invalid.
pub(crate) fn limits(asked: &LinuxResources) -> Result<Resources> {
    let mut resources = Resources::default();
    if let Some(memory) = asked.memory() {
        add_memory(&mut resources, memory)?;
    }
    if let Some(cpu) = asked.cpu() {
        add_cpu(&mut resources, cpu)?;
    }
    if let Some(pids) = asked.pids() {
        // With 0 not even the first process could start on version 2. With 1 it can,
        // and there is no second, which is what 0 means on version 1. runc writes 1, too.
        resources.limits.pids = Some(match max(pids.limit()) {
            Max::At(0) => Max::At(1),
            limit => limit,
        });
    }
    if let Some(block_io) = asked.block_io() {
        add_block_io(&mut resources, block_io)?;
    }
    let hugepages = asked.hugepage_limits().iter().flatten().map(hugepages);
    resources.settings.extend(hugepages.collect::<Result<Vec<_>>>()?);
    if let Some(network) = asked.network() {
        resources.settings.extend(network_settings(network));
    }
    let rdma = asked.rdma().iter().flatten();
    let rdma = rdma.map(|(device, limits)| rdma_setting(device, limits));
    resources.settings.extend(rdma.collect::<Result<Vec<_>>>()?);
    resources.unified =
        asked.unified().clone().unwrap_or_default().into_iter().collect();
    Ok(resources)
}

/// Reads a number of which -1 (and any other negative number) means no limit.
fn max(number: i64) -> Max {
    u64::try_from(number).map_or(Max::Unlimited, Max::At)
}

/// Reads a limit that is not set if it is 0: all of runc's clients send 0 for those that
/// their users have not set.
fn set(number: Option<i64>) -> Option<Max> {
    number.filter(|number| *number != 0).map(max)
}

/// The limits of kernel memory (`kernel`, `kernelTCP`) are ignored, as in runc: Linux
/// has none any more. `useHierarchy` is ignored, too: since Linux 5.11 memory is always
/// counted with the cgroups below.
fn add_memory(resources: &mut Resources, memory: &LinuxMemory) -> Result<()> {
    let limits = &mut resources.limits;
    limits.memory = set(memory.limit());
    limits.memory_reservation = set(memory.reservation());
    limits.swap = match (set(memory.swap()), limits.memory) {
        (Some(total), _) => Some(Swap::Asked(total)),
        // Without a limit of memory there must be none of both together. It is left out
        // where swap is not counted.
        (None, Some(Max::Unlimited)) => Some(Swap::Implied(Max::Unlimited)),
        (None, _) => None,
    };
    if let Some(swappiness) = memory.swappiness() {
        resources.settings.push(Setting::MemorySwappiness(swappiness));
    }
    if memory.disable_oom_killer() == Some(true) {
        resources.settings.push(Setting::OomKillerDisabled);
    }
    if memory.check_before_update() == Some(true) {
        resources.below_usage = BelowUsage::Refuse;
    }
    Ok(())
}

fn add_cpu(resources: &mut Resources, cpu: &LinuxCpu) -> Result<()> {
    let limits = &mut resources.limits;
    let nonzero = |number: Option<u64>| number.filter(|number| *number != 0);
    limits.cpu_shares = nonzero(cpu.shares()).map(CpuShares);
    let (quota, period) = (set(cpu.quota()), nonzero(cpu.period()));
    limits.cpus = (quota.is_some() || period.is_some()).then(|| Cpus {
        quota: quota.unwrap_or(Max::Unlimited),
        period: period.unwrap_or(Cpus::PERIOD),
    });
    let list = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    if let Some(cpus) = list(cpu.cpus()) {
        let invalid = |why| invalid(format_args!("cpu.cpus {cpus:?}: {why}"));
        limits.cpuset_cpus = Some(cpus.parse().map_err(invalid)?);
    }
    let settings = [
        list(cpu.mems()).map(Setting::CpusetMems),
        cpu.burst().map(Setting::CpuBurst),
        cpu.idle().map(Setting::CpuIdle),
        nonzero(cpu.realtime_period()).map(Setting::CpuRealtimePeriod),
        cpu.realtime_runtime()
            .filter(|time| *time != 0)
            .map(Setting::CpuRealtimeRuntime),
    ];
    resources.settings.extend(settings.into_iter().flatten());
    Ok(())
}

fn add_block_io(resources: &mut Resources, block_io: &LinuxBlockIo) -> Result<()> {
    let nonzero = |number: Option<u16>| number.filter(|number| *number != 0);
    resources.limits.blkio_weight =
        nonzero(block_io.weight()).map(|weight| BlkioWeight(weight.into()));
    let leaf_weight = nonzero(block_io.leaf_weight());
    resources
        .settings
        .extend(leaf_weight.map(|weight| Setting::BlkioLeafWeight(weight.into())));
    for of_device in block_io.weight_device().iter().flatten() {
        let device = device(of_device.major(), of_device.minor())?;
        let weight = nonzero(of_device.weight());
        let leaf_weight = nonzero(of_device.leaf_weight());
        if (weight, leaf_weight) == (None, None) {
            let Device { major, minor } = device;
            return Err(invalid(format_args!(
                "blockIO.weightDevice {major}:{minor}: a weight is missing"
            )));
        }
        let settings = [
            weight.map(|weight| Setting::BlkioDeviceWeight(device, weight.into())),
            leaf_weight
                .map(|weight| Setting::BlkioDeviceLeafWeight(device, weight.into())),
        ];
        resources.settings.extend(settings.into_iter().flatten());
    }
    let limits = &mut resources.limits;
    limits.device_read_bps = rates(block_io.throttle_read_bps_device())?;
    limits.device_write_bps = rates(block_io.throttle_write_bps_device())?;
    limits.device_read_iops = rates(block_io.throttle_read_iops_device())?;
    limits.device_write_iops = rates(block_io.throttle_write_iops_device())?;
    Ok(())
}

/// Refuses a rate of 0: a new container has no limit that it could remove, so the rate
/// is missing.
fn require_rates(block_io: &LinuxBlockIo) -> Result<()> {
    let lists = [
        block_io.throttle_read_bps_device(),
        block_io.throttle_write_bps_device(),
        block_io.throttle_read_iops_device(),
        block_io.throttle_write_iops_device(),
    ];
    let mut all = lists.into_iter().flatten().flatten();
    match all.find(|it| it.rate() == 0) {
        Some(it) => Err(invalid(format_args!(
            "blockIO: the rate of device {}:{} is missing",
            it.major(),
            it.minor()
        ))),
        None => Ok(()),
    }
}

/// Reads rates. A rate of 0 removes the limit.
fn rates(devices: &Option<Vec<LinuxThrottleDevice>>) -> Result<Vec<DeviceRate>> {
    let rate = |it: &LinuxThrottleDevice| {
        let rate = if it.rate() == 0 { Max::Unlimited } else { Max::At(it.rate()) };
        Ok(DeviceRate { device: device(it.major(), it.minor())?, rate })
    };
    devices.iter().flatten().map(rate).collect()
}

fn device(major: i64, minor: i64) -> Result<Device> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(Device { major, minor }),
        _ => Err(invalid(format_args!("blockIO: {major}:{minor} is no device"))),
    }
}

fn hugepages(limit: &LinuxHugepageLimit) -> Result<Setting> {
    let bytes = u64::try_from(limit.limit());
    let invalid = |_| {
        invalid(format_args!(
            "hugepageLimits: a limit is not negative: {}",
            limit.limit()
        ))
    };
    Ok(Setting::Hugepages(limit.page_size().clone(), bytes.map_err(invalid)?))
}

fn network_settings(network: &LinuxNetwork) -> Vec<Setting> {
    let class = network.class_id().filter(|class| *class != 0);
    let priorities = network.priorities().iter().flatten();
    let priorities =
        priorities.map(|it| Setting::NetworkPriority(it.name().clone(), it.priority()));
    class.map(Setting::NetworkClass).into_iter().chain(priorities).collect()
}

fn rdma_setting(device: &str, limits: &LinuxRdma) -> Result<Setting> {
    if (limits.hca_handles(), limits.hca_objects()) == (None, None) {
        return Err(invalid(format_args!("rdma {device:?}: a limit is missing")));
    }
    let max = |number: Option<u32>| {
        number.map_or(Max::Unlimited, |number| Max::At(number.into()))
    };
    let (handles, objects) = (max(limits.hca_handles()), max(limits.hca_objects()));
    Ok(Setting::Rdma(device.into(), handles, objects))
}

/// Reads a device rule. A missing number, or -1, stands for all.
fn device_rule(rule: &LinuxDeviceCgroup) -> Result<DeviceRule> {
    let kind = match rule.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(DeviceKind::Block),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(DeviceKind::Char),
        LinuxDeviceType::P => {
            return Err(invalid("resources.devices: a FIFO (p) is no device"));
        }
    };
    let number = |number: Option<i64>| match number.filter(|number| *number != -1) {
        None => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|_| {
            invalid(format_args!("resources.devices: {number} is no device number"))
        }),
    };
    let verdict = match rule.allow() {
        true => DeviceVerdict::Allow,
        false => DeviceVerdict::Deny,
    };
    let access = rule.access().as_deref().unwrap_or_default();
    Ok(DeviceRule {
        verdict,
        kind,
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access: access
            .parse()
            .map_err(|why: String| invalid(format_args!("resources.devices: {why}")))?,
    })
}
