//! The trait of the runtimes that can take part. Each runtime is a module.

use std::process::Command;

use anyhow::{Result, bail};

use crate::session::Session;

mod bwrap;
mod crun;
mod docker;
mod kiste;
mod limit;
pub mod oci;
mod podman;
mod runc;
mod unshare;
mod youki;

/// The network namespace of a container. All other namespaces are the same for all
/// peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The host's.
    Host,
    /// Its own, with nothing but `lo`.
    Own,
}

/// The limit of processes of a container. No container reaches it.
pub const PIDS: u64 = 100;

/// The parameters of a start.
pub struct Start<'a> {
    /// A name that no other running container has.
    pub id: &'a str,
    /// The container's network namespace.
    pub network: Network,
    /// Its memory limit in bytes.
    pub memory: u64,
    /// The command, by its path in the container.
    pub argv: &'a [&'a str],
}

impl Start<'_> {
    /// Returns the options of `docker run` and `podman run`.
    fn engine_options(&self) -> Vec<String> {
        let network = if self.network == Network::Own { "none" } else { "host" };
        let (memory, pids) = (format!("{}b", self.memory), PIDS.to_string());
        let fixed = ["run", "--rm", "--cgroupns", "private", "--log-driver", "none"];
        let options = ["--name", self.id, "--network", network];
        let limits = ["--memory", &memory, "--pids-limit", &pids];
        [&fixed[..], &options, &limits].concat().into_iter().map(String::from).collect()
    }
}

/// How fast a peer is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Milliseconds a start: takes part in every round.
    Runtime,
    /// Tenths of seconds a start: takes part in every tenth round, and in no crowd
    /// unless `--against` names it.
    Engine,
}

/// How a peer reacts to a host with both versions of cgroups.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hybrid {
    /// It works there.
    Works,
    /// It refuses, so it is started in a mount namespace with version 1 only.
    Refused,
}

/// A runtime that starts containers.
pub trait Peer: Sync {
    /// Returns its name: `crun`.
    fn name(&self) -> &str;

    /// Returns its version.
    fn version(&self) -> String;

    /// Returns its differences from the common task: uts, pid, ipc, mount and cgroup
    /// namespaces, pivot_root, complete /dev, /proc and /sys, and limits of memory and
    /// processes. Empty if there are none.
    fn differs(&self) -> &str {
        ""
    }

    /// Returns whether it supports this kind of network namespace.
    fn has(&self, _network: Network) -> bool {
        true
    }

    /// Returns whether it limits memory.
    fn limits(&self) -> bool {
        true
    }

    /// Returns how it reacts to a hybrid host.
    fn hybrid(&self) -> Hybrid {
        Hybrid::Works
    }

    /// Returns how fast it is.
    fn pace(&self) -> Pace {
        Pace::Runtime
    }

    /// Returns the command that starts a container, stays until it has ended, and
    /// removes it.
    ///
    /// # Errors
    /// When its preparation fails, such as making a bundle.
    fn command(&self, start: &Start) -> Result<Command>;

    /// Returns the runtime if it has the commands of an OCI runtime.
    fn oci(&self) -> Option<&oci::Runtime<'_>> {
        None
    }

    /// Removes a container whose start has failed, with its processes.
    fn remove(&self, _id: &str) {}
}

/// The peers that can take part, and those that cannot.
pub struct Peers<'a> {
    /// The peers that take part.
    pub present: Vec<Box<dyn Peer + 'a>>,
    /// The peers that do not, and why.
    pub missing: Vec<String>,
}

/// The other runtimes, by their names for `--against`.
pub const OTHERS: [&str; 7] =
    ["crun", "runc", "youki", "bwrap", "unshare", "podman", "docker"];

/// Finds the peers: the given steps, the limit, and the other runtimes that `against`
/// names. If it names none, finds all other runtimes.
pub fn find_all<'a>(
    session: &'a Session,
    steps: &[String],
    against: &[String],
) -> Peers<'a> {
    let mut peers = Peers { present: Vec::new(), missing: Vec::new() };
    for step in steps {
        match step.as_str() {
            kiste::OCI_RUNTIME => {
                peers.add(step, kiste::find_runtime(session).map(boxed))
            }
            _ => peers.add(step, kiste::Kiste::find(session, step).map(boxed)),
        }
    }
    peers.add("limit", limit::Limit::find(session, limit::LimitKind::Full).map(boxed));
    peers.add(
        "limit-bare",
        limit::Limit::find(session, limit::LimitKind::Bare).map(boxed),
    );
    for name in OTHERS
        .into_iter()
        .filter(|name| against.is_empty() || against.iter().any(|it| it == name))
    {
        peers.add(name, find(session, name));
    }
    peers
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
        _ => bail!("there is no peer of this name"),
    }
}

fn boxed<'a>(peer: impl Peer + 'a) -> Box<dyn Peer + 'a> {
    Box::new(peer)
}

impl<'a> Peers<'a> {
    fn add(&mut self, name: &str, found: Result<Box<dyn Peer + 'a>>) {
        match found {
            Ok(peer) => self.present.push(peer),
            Err(why) => self.missing.push(format!("{name}: {why:#}")),
        }
    }
}
