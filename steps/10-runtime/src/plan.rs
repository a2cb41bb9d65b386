//! The plan of a container, made from its config.json: one file for each section.

mod cgroup;
mod devices;
pub(crate) mod files;
mod id_maps;
mod mounts;
mod namespaces;
mod net_devices;
pub(crate) mod process;
pub(crate) mod resources;
mod root;
mod scheduling;
pub(crate) mod seccomp;

use std::collections::BTreeMap;
use std::path::PathBuf;

use cgroups::{CgroupPaths, Resources};
use kit::{Hint, Id, Result};
use network::NetDevice;
use oci_spec::runtime::Linux;
use security::Sysctl;
use user::Keyring;
use uts::HostName;

use crate::bundle::Bundle;
use crate::config::Config;
use crate::hooks::Hooks;
use crate::invalid::invalid;

pub(crate) use cgroup::CgroupManager;
pub(crate) use files::Files;
pub(crate) use namespaces::{CgroupNamespace, Namespaces};
pub(crate) use process::Process;

/// The plan of a container: the values of all rooms.
#[derive(Debug)]
pub struct Plan {
    pub(crate) id: Id,
    pub(crate) oci_version: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) bundle: PathBuf,
    /// When it is created: RFC 3339.
    pub(crate) created: String,
    pub(crate) files: Files,
    pub(crate) namespaces: Namespaces,
    pub(crate) net_devices: Vec<NetDevice>,
    pub(crate) hostname: Option<HostName>,
    pub(crate) domainname: Option<HostName>,
    pub(crate) keyring: Keyring,
    pub(crate) cgroup: CgroupPaths,
    pub(crate) resources: Resources,
    pub(crate) process: Process,
    pub(crate) sysctls: Vec<Sysctl>,
    pub(crate) masked_paths: Vec<PathBuf>,
    pub(crate) readonly_paths: Vec<PathBuf>,
    pub(crate) hooks: Hooks,
}

/// Makes the plan of the container with this id.
///
/// # Errors
/// When config.json asks for something invalid, or for something that this runtime or
/// this caller cannot do.
pub(crate) fn plan(
    bundle: &Bundle,
    id: &Id,
    keyring: Keyring,
    manager: CgroupManager,
) -> Result<Plan> {
    let config = &bundle.config;
    let linux = config.linux.clone().unwrap_or_default();
    refuse_unsupported(&linux)?;
    let process = process(config, &linux)?;
    let namespaces = namespaces::plan(&linux, user::helpers)?;
    let hostname = name("hostname", config.hostname.as_deref(), &namespaces)?;
    let domainname = name("domainname", config.domainname.as_deref(), &namespaces)?;
    let files = Files::plan(config, &linux, &bundle.directory, &namespaces)?;
    let resources = resources::plan(linux.resources().as_ref())?;
    Ok(Plan {
        id: id.clone(),
        oci_version: config.oci_version.clone(),
        annotations: config.annotations.clone().unwrap_or_default(),
        bundle: bundle.directory.clone(),
        created: jiff::Timestamp::now().to_string(),
        files,
        sysctls: sysctls(&linux, &namespaces)?,
        net_devices: net_devices::plan(&linux, &namespaces)?,
        namespaces,
        hostname,
        domainname,
        keyring,
        cgroup: cgroup::plan(config, &linux, id.as_str(), manager, &resources)?,
        resources,
        process,
        masked_paths: paths("maskedPaths", linux.masked_paths())?,
        readonly_paths: paths("readonlyPaths", linux.readonly_paths())?,
        hooks: Hooks::of(config.hooks.as_ref())?,
    })
}

/// Refuses the section that this runtime does not have: the container would run without
/// what it asks for.
fn refuse_unsupported(linux: &Linux) -> Result<()> {
    match linux.intel_rdt() {
        Some(_) => Err(invalid("linux.intelRdt: resctrl is not supported")).hint(
            "leave linux.intelRdt out: the container then shares the host's caches",
        ),
        None => Ok(()),
    }
}

/// Makes the plan of the container's own process.
pub(crate) fn process(config: &Config, linux: &Linux) -> Result<Process> {
    let Some(process) = &config.process else {
        return Err(invalid("process: config.json has none"));
    };
    process::plan(process, linux)
}

fn sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<Sysctl>> {
    let sorted: BTreeMap<_, _> = linux.sysctl().iter().flatten().collect();
    let sysctl = |(name, value): (&String, &String)| {
        let sysctl = Sysctl::new(name, value)
            .map_err(|why| invalid(format_args!("linux.sysctl: {why}")))?;
        sysctl.check(namespaces.kinds())?;
        Ok(sysctl)
    };
    sorted.into_iter().map(sysctl).collect()
}

fn paths(name: &str, section: &Option<Vec<String>>) -> Result<Vec<PathBuf>> {
    let path = |path: &String| match path.starts_with('/') {
        true => Ok(PathBuf::from(path)),
        false => Err(invalid(format_args!("linux.{name}: {path:?} is not absolute"))),
    };
    section.iter().flatten().map(path).collect()
}

/// Makes a name of the UTS namespace. Without a namespace of the container's own it
/// would be the host's.
fn name(
    section: &str,
    name: Option<&str>,
    namespaces: &Namespaces,
) -> Result<Option<HostName>> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    if !namespaces.has(uts::NAMESPACE) {
        let what = "without a UTS namespace of the container it would be the host's";
        return Err(invalid(format_args!("{section}: {what}")));
    }
    let name = HostName::of_config(name);
    name.map(Some).map_err(|why| invalid(format_args!("{section}: {why}")))
}
