//! A profile in a file: `--security-opt seccomp=FILE`.
//!
//! Two formats are in use. Docker's has conditions on capabilities, architectures and the
//! kernel ([docs.docker.com](https://docs.docker.com/engine/security/seccomp/)); Podman,
//! Buildah and containerd read the same. The section `linux.seccomp` of the OCI runtime
//! specification is a part of it.

use kit::{Context, Failure, Result};
use nix::errno::Errno;
use serde::Deserialize;

use super::arch::{Arch, is_foreign};
use super::host::{Host, KernelVersion};
use super::profile::{Action, Condition, Flags, Listener, Profile, Rule};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    default_action: String,
    default_errno_ret: Option<u32>,
    default_errno: Option<String>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    flags: Vec<String>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Vec<Syscalls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syscalls {
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    errno: Option<String>,
    args: Option<Vec<Argument>>,
    includes: Option<HostFilter>,
    excludes: Option<HostFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u64,
    #[serde(default)]
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HostFilter {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// Reads a profile in Docker's or OCI's format, for this host.
///
/// # Errors
/// If it is no JSON, or has a value that does not exist.
pub fn parse(json: &[u8], host: &Host) -> Result<Profile> {
    let document: Document = serde_json::from_slice(json)
        .map_err(|error| Failure::new(error).hint(HINT))
        .context("read the seccomp profile")?;
    let number = errno(document.default_errno_ret, document.default_errno.as_deref())?;
    let mut rules = Vec::new();
    for syscalls in &document.syscalls {
        if syscalls.applies_to(host)? {
            rules.push(syscalls.rule()?);
        }
    }
    let mut flags = Flags::default();
    for flag in &document.flags {
        flags.insert(Flags::from_oci(flag)?);
    }
    let listener = document.listener_path.as_ref().map(|path| Listener {
        path: path.into(),
        metadata: document.listener_metadata.clone(),
    });
    Profile {
        default_action: Action::from_oci(&document.default_action, number)?,
        architectures: architectures(&document, host)?,
        flags,
        listener,
        rules,
    }
    .checked()
}

const HINT: &str =
    "a profile is JSON as in https://docs.docker.com/engine/security/seccomp/";

fn architectures(document: &Document, host: &Host) -> Result<Vec<Arch>> {
    if !document.architectures.is_empty() && !document.arch_map.is_empty() {
        return Err(Failure::new(
            "seccomp: the profile has both \"architectures\" and \"archMap\"",
        )
        .hint("use one of them")
        .into());
    }
    let of_host =
        document.arch_map.iter().find(|it| it.architecture == host.arch.oci_name());
    let subs = of_host.and_then(|it| it.sub_architectures.as_deref());
    with_native(host.arch, subs.unwrap_or(&document.architectures))
}

/// Returns the architectures of these names, and the native one first.
///
/// # Errors
/// If a name is unknown.
pub fn with_native(native: Arch, names: &[String]) -> Result<Vec<Arch>> {
    let mut all = vec![native];
    for name in names {
        match Arch::from_oci(name) {
            Some(arch) if !all.contains(&arch) => all.push(arch),
            Some(_) => {}
            None if name == "SCMP_ARCH_NATIVE" || is_foreign(name) => {}
            None => {
                return Err(Failure::new(format_args!(
                    "seccomp: unknown architecture {name:?}"
                ))
                .hint("architectures are written as in SCMP_ARCH_X86_64")
                .into());
            }
        }
    }
    Ok(all)
}

impl Syscalls {
    fn applies_to(&self, host: &Host) -> Result<bool> {
        let none = HostFilter::default();
        let includes = self.includes.as_ref().unwrap_or(&none);
        let excludes = self.excludes.as_ref().unwrap_or(&none);
        let arch = |list: &[String]| list.iter().any(|it| it == host.arch.go_name());
        let is_included = includes.caps.iter().all(|it| host.has(it))
            && (includes.arches.is_empty() || arch(&includes.arches))
            && includes.kernel()?.is_none_or(|it| host.kernel >= it);
        let is_excluded = excludes.caps.iter().any(|it| host.has(it))
            || arch(&excludes.arches)
            || excludes.kernel()?.is_some_and(|it| host.kernel >= it);
        Ok(is_included && !is_excluded)
    }

    fn rule(&self) -> Result<Rule> {
        let names: Vec<_> = self.names.iter().chain(&self.name).cloned().collect();
        if names.is_empty() || names.iter().any(String::is_empty) {
            return Err(Failure::new(
                "seccomp: a rule without the name of a system call",
            )
            .hint("each entry of \"syscalls\" needs \"names\"")
            .into());
        }
        let number = errno(self.errno_ret, self.errno.as_deref())?;
        let condition = |it: &Argument| {
            Condition::from_oci(it.index, &it.op, it.value, it.value_two)
        };
        Ok(Rule {
            names,
            action: Action::from_oci(&self.action, number)?,
            conditions: self
                .args
                .iter()
                .flatten()
                .map(condition)
                .collect::<Result<_>>()?,
        })
    }
}

impl HostFilter {
    fn kernel(&self) -> Result<Option<KernelVersion>> {
        let Some(text) = &self.min_kernel else { return Ok(None) };
        match KernelVersion::parse(text) {
            Some(version) => Ok(Some(version)),
            None => Err(Failure::new(format_args!(
                "seccomp: minKernel {text:?} is no version"
            ))
            .hint("for example \"4.8\"")
            .into()),
        }
    }
}

/// Returns the error number of a rule, which Podman's profiles have by name, too.
fn errno(number: Option<u32>, name: Option<&str>) -> Result<Option<u32>> {
    let Some(name) = name.filter(|name| number.is_none() && !name.is_empty()) else {
        return Ok(number);
    };
    // The numbers of Linux end at 133, EHWPOISON.
    let named = (1..=133).find(|it| format!("{:?}", Errno::from_raw(*it)) == name);
    let unknown = || {
        Failure::new(format_args!("seccomp: unknown errno {name:?}"))
            .hint("for example \"EPERM\"; `man 3 errno` lists the names")
    };
    Ok(Some(named.ok_or_else(unknown)? as u32))
}

#[cfg(test)]
mod tests;
