//! The properties `process.scheduler`, `process.ioPriority` and
//! `process.execCPUAffinity`, and the sections `linux.personality` and
//! `linux.memoryPolicy`:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#linux-process>

use kit::{Hint, Result};
use nix::errno::Errno;
use oci_spec::runtime::{
    IOPriorityClass as Class, Linux, LinuxIOPriority, LinuxMemoryPolicy,
    LinuxPersonality, LinuxPersonalityDomain as Domain, LinuxSchedulerFlag as Flag,
    LinuxSchedulerPolicy as Policy, MemoryPolicyFlagType as NodeFlag,
    MemoryPolicyModeType as Mode, Process as Section, Scheduler,
};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::invalid::invalid;
use crate::sys::{self, SchedulingAttributes};

/// How the kernel schedules a process, and where its memory is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scheduling {
    scheduler: Option<SchedulingAttributes>,
    io_priority: Option<u32>,
    personality: Option<u32>,
    memory_policy: Option<MemoryPolicy>,
    /// The CPUs of an `exec`: before and after it enters the cgroup.
    affinity: [Option<Vec<usize>>; 2],
}

#[derive(Clone, Debug)]
struct MemoryPolicy {
    mode: i32,
    nodes: Vec<usize>,
}

pub(crate) fn plan(section: &Section, linux: &Linux) -> Result<Scheduling> {
    let affinity = section.exec_cpu_affinity().as_ref();
    let initial = affinity.and_then(|it| it.initial().as_deref());
    let last = affinity.and_then(|it| it.cpu_affinity_final().as_deref());
    Ok(Scheduling {
        scheduler: section.scheduler().as_ref().map(scheduler).transpose()?,
        io_priority: section.io_priority().as_ref().map(io_priority).transpose()?,
        personality: linux.personality().as_ref().map(personality).transpose()?,
        memory_policy: linux.memory_policy().as_ref().map(memory_policy).transpose()?,
        affinity: [initial.map(numbers).transpose()?, last.map(numbers).transpose()?],
    })
}

/// sched(7): the policies by their numbers.
fn scheduler(section: &Scheduler) -> Result<SchedulingAttributes> {
    let policy = match section.policy() {
        Policy::SchedOther => 0,
        Policy::SchedFifo => 1,
        Policy::SchedRr => 2,
        Policy::SchedBatch => 3,
        Policy::SchedIso => {
            return Err(invalid("process.scheduler: Linux has no SCHED_ISO"));
        }
        Policy::SchedIdle => 5,
        Policy::SchedDeadline => 6,
    };
    let flag = |flag: &Flag| match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    };
    Ok(SchedulingAttributes {
        policy,
        flags: section.flags().iter().flatten().map(flag).fold(0, |all, it| all | it),
        nice: section.nice().unwrap_or(0),
        priority: section.priority().unwrap_or(0) as u32,
        runtime: section.runtime().unwrap_or(0),
        deadline: section.deadline().unwrap_or(0),
        period: section.period().unwrap_or(0),
        ..SchedulingAttributes::default()
    })
}

/// ioprio_set(2): the class and the priority in one number.
fn io_priority(section: &LinuxIOPriority) -> Result<u32> {
    let class = match section.class() {
        Class::IoprioClassRt => 1,
        Class::IoprioClassBe => 2,
        Class::IoprioClassIdle => 3,
    };
    match u32::try_from(section.priority()) {
        Ok(priority @ 0..=7) => Ok(class << 13 | priority),
        _ => Err(invalid("process.ioPriority: a priority is from 0 to 7")),
    }
}

fn personality(section: &LinuxPersonality) -> Result<u32> {
    if section.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(invalid("linux.personality: no flag is supported"));
    }
    Ok(match section.domain() {
        Domain::PerLinux => 0x0000,
        Domain::PerLinux32 => 0x0008,
    })
}

/// set_mempolicy(2): the mode, its flags and the nodes.
fn memory_policy(section: &LinuxMemoryPolicy) -> Result<MemoryPolicy> {
    let mode = match section.mode() {
        Mode::MpolDefault => 0,
        Mode::MpolPreferred => 1,
        Mode::MpolBind => 2,
        Mode::MpolInterleave => 3,
        Mode::MpolLocal => 4,
        Mode::MpolPreferredMany => 5,
        Mode::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &NodeFlag| match flag {
        NodeFlag::MpolFNumaBalancing => 1 << 13,
        NodeFlag::MpolFRelativeNodes => 1 << 14,
        NodeFlag::MpolFStaticNodes => 1 << 15,
    };
    let flags = section.flags().iter().flatten().map(flag);
    let nodes = section.nodes().as_deref().filter(|it| !it.is_empty());
    Ok(MemoryPolicy {
        mode: flags.fold(mode, |mode, flag| mode | flag),
        nodes: nodes.map(numbers).transpose()?.unwrap_or_default(),
    })
}

/// The largest number of a CPU or of a memory node that is accepted.
const LARGEST: usize = 1023;

/// Parses a list of numbers and ranges: `0-3,7`.
fn numbers(list: &str) -> Result<Vec<usize>> {
    let wrong = || {
        let what =
            format!("{list:?}: a list is numbers up to {LARGEST} and ranges: 0-3,7");
        invalid(what)
    };
    let mut all = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last > LARGEST {
            return Err(wrong());
        }
        all.extend(first..=last);
    }
    Ok(all)
}

impl Scheduling {
    /// In the process, while it has the rights of root: applies what lasts.
    ///
    /// # Errors
    /// The kernel's, with the property that it refuses.
    pub fn apply(&self) -> Result<()> {
        if let Some(attributes) = &self.scheduler {
            let operands = format_args!("{attributes:?}");
            kit::call("process.scheduler", "sched_setattr", operands, || {
                sys::sched_setattr(attributes)
            })
            .hint_on(
                Errno::EPERM,
                "a real-time policy needs CAP_SYS_NICE on the host",
            )?;
        }
        if let Some(priority) = self.io_priority {
            let operands = format_args!("{priority:#x}");
            kit::call("process.ioPriority", "ioprio_set", operands, || {
                sys::ioprio_set(priority)
            })?;
        }
        if let Some(personality) = self.personality {
            let operands = format_args!("{personality:#x}");
            kit::call("linux.personality", "personality", operands, || {
                sys::personality(personality)
            })?;
        }
        if let Some(MemoryPolicy { mode, nodes }) = &self.memory_policy {
            let operands = format_args!("{mode:#x}, {nodes:?}");
            kit::call("linux.memoryPolicy", "set_mempolicy", operands, || {
                sys::set_mempolicy(*mode, nodes)
            })?;
        }
        Ok(())
    }

    /// Sets the CPUs of an `exec` before it enters the cgroup.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_initial_cpus(&self) -> Result<()> {
        self.affinity[0].as_deref().map_or(Ok(()), set_cpus)
    }

    /// Sets the CPUs of an `exec` after it has entered the cgroup.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_final_cpus(&self) -> Result<()> {
        self.affinity[1].as_deref().map_or(Ok(()), set_cpus)
    }
}

fn set_cpus(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    let operands = format_args!("{cpus:?}");
    kit::call("process.execCPUAffinity", "sched_setaffinity", operands, || {
        sched_setaffinity(None, &set)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_numbers_and_ranges() {
        assert_eq!(numbers("0-2,7").unwrap(), [0, 1, 2, 7]);
        for bad in ["", "a", "2-1", "1024", "0-99999999999", "1,"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_io_priority_is_a_class_and_a_number_up_to_7() {
        let parse = |json: &str| io_priority(&serde_json::from_str(json).unwrap());
        let idle = parse(r#"{"class": "IOPRIO_CLASS_IDLE", "priority": 7}"#);
        assert_eq!(idle.unwrap(), 3 << 13 | 7);
        assert!(parse(r#"{"class": "IOPRIO_CLASS_BE", "priority": 8}"#).is_err());
    }
}
