//! The state of a container, in files: any later command finds the container by them,
//! and no process has to run in between.

mod container;
mod status;

use std::collections::BTreeMap;
use std::path::PathBuf;

use cgroups::CgroupPaths;
use kit::ProcessIdentity;
use serde::{Deserialize, Serialize};

pub(crate) use container::{Container, Init, ids, is_not_found, not_running};
pub(crate) use status::Status;

/// The version of the runtime specification that this runtime implements.
pub(crate) const OCI_VERSION: &str = "1.3.0";

/// The file `state.json` in the directory of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The first process, in the fields that the kit's rule of liveness reads.
    #[serde(flatten)]
    pub process: ProcessIdentity,
    /// The version of the runtime specification in config.json.
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// The id of the container.
    pub id: String,
    /// The bundle: an absolute path.
    pub bundle: PathBuf,
    /// The root file system: an absolute path.
    pub rootfs: PathBuf,
    /// The annotations in config.json.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When it was created: RFC 3339.
    pub created: String,
    /// The user id that created it.
    pub owner: u32,
    /// How far the start has come.
    pub phase: Phase,
    /// The directories of its cgroup.
    pub cgroup: CgroupPaths,
}

/// How far the start of a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// It is being made.
    Creating,
    /// Everything is made.
    Created,
}

/// The state as the specification has it, with the fields that runc adds:
/// <https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state>
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OciState<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: Status,
    bundle: &'a PathBuf,
    rootfs: &'a PathBuf,
    created: &'a str,
    owner: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl State {
    /// Returns the state as the specification has it. A stopped container has no
    /// process.
    pub fn to_oci(&self, status: Status) -> OciState<'_> {
        OciState {
            oci_version: &self.oci_version,
            id: &self.id,
            pid: if status == Status::Stopped { 0 } else { self.process.pid },
            status,
            bundle: &self.bundle,
            rootfs: &self.rootfs,
            created: &self.created,
            owner: self.owner_name(),
            annotations: &self.annotations,
        }
    }

    /// Returns the state for the stdin of a hook.
    pub fn for_hook(&self, status: Status) -> String {
        serde_json::to_string(&self.to_oci(status)).unwrap_or_default()
    }

    pub fn owner_name(&self) -> String {
        match self.owner {
            0 => "root".into(),
            uid => uid.to_string(),
        }
    }
}
