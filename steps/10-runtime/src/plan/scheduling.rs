//! The properties `process.scheduler`, `process.ioPriority` and
//! `process.execCPUAffinity`, and the sections `linux.personality` and
//! `linux.memoryPolicy`:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#linux-process>

use kit::{Hint, Result};
use nix::errno::Errno;
use oci_spec::runtime::{
    IOPriorityClass as Class, Linux, LinuxIOPriority, LinuxMemoryPolicy,
    LinuxPersonality, LinuxPersonalityDomain as Domain,
    MemoryPolicyFlagType as NodeFlag, MemoryPolicyModeType as Mode,
};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::config::{Process as Section, Scheduler};
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
    let affinity = section.exec_cpu_affinity.clone().unwrap_or_default();
    let cpus = |list: Option<String>| {
        let list = list.filter(|it| !it.is_empty());
        list.map(|it| numbers("process.execCPUAffinity", &it)).transpose()
    };
    Ok(Scheduling {
        scheduler: section.scheduler.as_ref().map(scheduler).transpose()?,
        io_priority: section.io_priority.as_ref().map(io_priority).transpose()?,
        personality: linux.personality().as_ref().map(personality).transpose()?,
        memory_policy: linux.memory_policy().as_ref().map(memory_policy).transpose()?,
        affinity: [cpus(affinity.initial)?, cpus(affinity.last)?],
    })
}

fn scheduler(section: &Scheduler) -> Result<SchedulingAttributes> {
    let mut flags = section.flags.iter().flatten();
    Ok(SchedulingAttributes {
        policy: number_of(&POLICIES, &section.policy)?,
        flags: flags.try_fold(0, |all, name| {
            number_of(&SCHEDULER_FLAGS, name).map(|flag| all | flag)
        })?,
        nice: section.nice.unwrap_or(0),
        priority: section.priority.unwrap_or(0) as u32,
        runtime: section.runtime.unwrap_or(0),
        deadline: section.deadline.unwrap_or(0),
        period: section.period.unwrap_or(0),
        ..SchedulingAttributes::default()
    })
}

/// The policies of sched(7). Linux has no SCHED_ISO, which the specification names.
const POLICIES: [(&str, u32); 6] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// The flags of sched_setattr(2).
const SCHEDULER_FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

fn number_of<T: Copy>(known: &[(&str, T)], name: &str) -> Result<T> {
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, number)| *number).ok_or_else(|| {
        let known: Vec<_> = known.iter().map(|(known, _)| *known).collect();
        invalid(format_args!(
            "process.scheduler: {name:?} is unknown; there are {}: sched(7)",
            known.join(", ")
        ))
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
        nodes: nodes
            .map(|it| numbers("linux.memoryPolicy", it))
            .transpose()?
            .unwrap_or_default(),
    })
}

/// The largest number of a CPU or of a memory node that is accepted.
const LARGEST: usize = 1023;

/// Parses a list of numbers and ranges, which is in this section: `0-3,7`.
fn numbers(section: &str, list: &str) -> Result<Vec<usize>> {
    let wrong = || {
        let what = format!(
            "{section}: {list:?}: a list is numbers up to {LARGEST} and ranges: 0-3,7"
        );
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
        assert_eq!(numbers("x", "0-2,7").unwrap(), [0, 1, 2, 7]);
        for bad in ["", "a", "2-1", "1024", "0-99999999999", "1,"] {
            assert!(numbers("x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_policy_and_flags_are_known_names_and_a_flag_counts_once() {
        let parse = |json: &str| scheduler(&serde_json::from_str(json).unwrap());
        let deadline = r#"{"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RESET_ON_FORK"]}"#;
        let attributes = parse(deadline).unwrap();
        assert_eq!((attributes.policy, attributes.flags), (6, 5));
        let error = parse(r#"{"policy": "SCHED_ISO"}"#).unwrap_err().to_string();
        assert!(error.contains("SCHED_ISO") && error.contains("SCHED_RR"), "{error}");
    }

    #[test]
    fn an_io_priority_is_a_class_and_a_number_up_to_7() {
        let parse = |json: &str| io_priority(&serde_json::from_str(json).unwrap());
        let idle = parse(r#"{"class": "IOPRIO_CLASS_IDLE", "priority": 7}"#);
        assert_eq!(idle.unwrap(), 3 << 13 | 7);
        assert!(parse(r#"{"class": "IOPRIO_CLASS_BE", "priority": 8}"#).is_err());
    }
}
