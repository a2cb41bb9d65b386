//! config.json: the properties that this runtime reads
//! ([config.md](https://github.com/opencontainers/runtime-spec/blob/main/config.md)).
//! Any other property is ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use oci_spec::runtime::{Hooks, Linux, LinuxIOPriority, Mount, PosixRlimitType};
use serde::Deserialize;

use crate::log::Log;

/// The whole document.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    pub oci_version: String,
    pub root: Root,
    pub mounts: Option<Vec<Mount>>,
    pub process: Option<Process>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub hooks: Option<Hooks>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub linux: Option<Linux>,
}

/// The root file system.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Root {
    pub path: PathBuf,
    pub readonly: Option<bool>,
}

/// The process of the container, or of `exec --process`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    pub terminal: Option<bool>,
    pub console_size: Option<ConsoleSize>,
    pub user: User,
    pub args: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    pub cwd: PathBuf,
    pub capabilities: Option<Capabilities>,
    pub rlimits: Option<Vec<Rlimit>>,
    pub no_new_privileges: Option<bool>,
    pub apparmor_profile: Option<String>,
    pub oom_score_adj: Option<i32>,
    pub selinux_label: Option<String>,
    pub io_priority: Option<LinuxIOPriority>,
    pub scheduler: Option<Scheduler>,
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct ConsoleSize {
    pub height: u64,
    pub width: u64,
}

/// The user of a process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    pub umask: Option<u32>,
    pub additional_gids: Option<Vec<u32>>,
}

/// The five sets of capabilities, by their names.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Capabilities {
    pub bounding: Option<Vec<String>>,
    pub effective: Option<Vec<String>>,
    pub permitted: Option<Vec<String>>,
    pub inheritable: Option<Vec<String>>,
    pub ambient: Option<Vec<String>>,
}

/// A resource limit.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rlimit {
    #[serde(rename = "type")]
    pub kind: PosixRlimitType,
    pub soft: u64,
    pub hard: u64,
}

/// The scheduling policy, by its name, and its parameters: sched_setattr(2).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scheduler {
    pub policy: String,
    pub nice: Option<i32>,
    pub priority: Option<i32>,
    pub flags: Option<Vec<String>>,
    pub runtime: Option<u64>,
    pub deadline: Option<u64>,
    pub period: Option<u64>,
}

/// The CPUs of an exec, before and after the process enters the cgroup.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ExecCpuAffinity {
    pub initial: Option<String>,
    #[serde(rename = "final")]
    pub last: Option<String>,
}

impl Process {
    /// Leaves out the capabilities that nobody knows, with a warning for each:
    /// [config.md, "Linux Process"](https://github.com/opencontainers/runtime-spec/blob/main/config.md#linux-process).
    pub fn leave_out_unknown_capabilities(&mut self, log: &Log) {
        let sets = self.capabilities.iter_mut().flat_map(Capabilities::sets_mut);
        let mut unknown = BTreeSet::new();
        for set in sets {
            let (known, others) = std::mem::take(set)
                .into_iter()
                .partition(|name| name.parse::<security::Capability>().is_ok());
            *set = known;
            unknown.extend::<Vec<_>>(others);
        }
        for name in unknown {
            log.warn(&format!(
                "process.capabilities: {name:?} is unknown, and left out"
            ));
        }
    }
}

impl Capabilities {
    fn sets_mut(&mut self) -> impl Iterator<Item = &mut Vec<String>> {
        let Capabilities { bounding, effective, permitted, inheritable, ambient } =
            self;
        [bounding, effective, permitted, inheritable, ambient].into_iter().flatten()
    }
}
