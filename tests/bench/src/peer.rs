//! Who takes part: one module for each, behind one trait.

use std::process::Command;

use anyhow::{Result, bail};

use crate::session::Session;

mod bwrap;
mod crun;
mod docker;
mod kiste;
mod limit;
mod oci;
mod podman;
mod runc;
mod unshare;
mod youki;

/// Whether a container has a network namespace of its own. All others are the same for
/// everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It sees the host's devices.
    Host,
    /// It has one of its own, with nothing in it but `lo`.
    Own,
}

/// How many processes a container may have: it is asked for, and never reached.
pub const PIDS: u64 = 100;

/// A start to be made.
pub struct Start<'a> {
    /// No other container has this name at the same time.
    pub id: &'a str,
    /// Its network namespace.
    pub network: Network,
    /// How many bytes of memory it may have.
    pub memory: u64,
    /// What is executed, by its path inside.
    pub argv: &'a [&'a str],
}

/// How fast somebody is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Milliseconds a start: takes part in every round.
    Runtime,
    /// Tenths of seconds a start: takes part in every tenth round, and in no crowd
    /// unless `--against` names it.
    Engine,
}

/// What somebody makes of a host with both versions of cgroups.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hybrid {
    /// It works there.
    Works,
    /// It is started where only version 1 is to be seen.
    Refused,
}

/// Somebody who starts containers.
pub trait Peer: Sync {
    /// What it is called: `crun`.
    fn name(&self) -> &str;

    /// Its version.
    fn version(&self) -> String;

    /// What differs from uts, pid, ipc, mount and cgroup namespaces, pivot_root,
    /// furnished /dev, /proc and /sys, and limits of memory and processes. Empty:
    /// nothing.
    fn differs(&self) -> &str {
        ""
    }

    /// Whether it knows this kind of network namespace.
    fn has(&self, _network: Network) -> bool {
        true
    }

    /// Whether it limits memory.
    fn limits(&self) -> bool {
        true
    }

    /// What it makes of a hybrid host.
    fn hybrid(&self) -> Hybrid {
        Hybrid::Works
    }

    /// How fast it is.
    fn pace(&self) -> Pace {
        Pace::Runtime
    }

    /// The command that starts a container, stays until it has ended, and removes it.
    ///
    /// # Errors
    /// When what it needs beforehand, such as a bundle, cannot be made.
    fn command(&self, start: &Start) -> Result<Command>;

    /// Removes a container whose start has failed, and whatever runs in it.
    fn remove(&self, _id: &str) {}
}

/// What is known of everybody that could take part.
pub struct Field<'a> {
    /// Who does.
    pub present: Vec<Box<dyn Peer + 'a>>,
    /// Who does not, and why.
    pub missing: Vec<String>,
}

/// Who is not Kiste, as `--against` calls them.
pub const OTHERS: [&str; 7] =
    ["crun", "runc", "youki", "bwrap", "unshare", "podman", "docker"];

/// Looks for everybody: the steps that are asked for, the limit, and of the others
/// those that `against` names, or all.
pub fn look_for<'a>(
    session: &'a Session,
    steps: &[String],
    against: &[String],
) -> Field<'a> {
    let mut field = Field { present: Vec::new(), missing: Vec::new() };
    for step in steps {
        field.add(step, kiste::Kiste::find(session, step).map(boxed));
    }
    field.add("limit", limit::Limit::find(session, limit::Kind::Furnished).map(boxed));
    field.add("limit-bare", limit::Limit::find(session, limit::Kind::Bare).map(boxed));
    for name in OTHERS
        .into_iter()
        .filter(|name| against.is_empty() || against.iter().any(|it| it == name))
    {
        field.add(name, find(session, name));
    }
    field
}

fn find<'a>(session: &'a Session, name: &str) -> Result<Box<dyn Peer + 'a>> {
    match name {
        "crun" => crun::find(session).map(boxed),
        "runc" => runc::find(session).map(boxed),
        "youki" => youki::find(session).map(boxed),
        "bwrap" => bwrap::Bwrap::find(session).map(boxed),
        "unshare" => unshare::Unshare::find(session).map(boxed),
        "podman" => podman::Podman::find(session).map(boxed),
        "docker" => docker::Docker::find(session).map(boxed),
        _ => bail!("nobody is called so"),
    }
}

fn boxed<'a>(peer: impl Peer + 'a) -> Box<dyn Peer + 'a> {
    Box::new(peer)
}

impl<'a> Field<'a> {
    fn add(&mut self, name: &str, found: Result<Box<dyn Peer + 'a>>) {
        match found {
            Ok(peer) => self.present.push(peer),
            Err(why) => self.missing.push(format!("{name}: {why:#}")),
        }
    }
}
