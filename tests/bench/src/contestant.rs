//! A contestant: a peer with one kind of network namespace.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::peer::{Network, Pace, Peer, Start};
use crate::session::Session;
use crate::start::{self, Measured};

/// The memory limit of containers, where it is not the subject of the measurement.
pub const MEMORY: u64 = 64 << 20;

const TRUE: [&str; 1] = ["/bin/true"];

/// A participant in a measurement.
pub struct Contestant<'a> {
    /// The runtime that starts the containers.
    pub peer: &'a dyn Peer,
    /// The containers' network namespace.
    pub network: Network,
    session: &'a Session,
}

static NAMES: AtomicU32 = AtomicU32::new(0);

/// Returns a name that no other container has.
pub fn unique() -> String {
    format!(
        "kiste-bench-{}-{}",
        std::process::id(),
        NAMES.fetch_add(1, Ordering::Relaxed)
    )
}

impl<'a> Contestant<'a> {
    /// Combines every peer with each of these networks that it supports.
    pub fn all(
        session: &'a Session,
        peers: &'a [Box<dyn Peer + 'a>],
        networks: &[Network],
    ) -> Vec<Self> {
        let pairs = networks
            .iter()
            .flat_map(|network| peers.iter().map(|peer| (peer.as_ref(), *network)));
        let pairs = pairs.filter(|(peer, network)| peer.has(*network));
        pairs.map(|(peer, network)| Contestant { peer, network, session }).collect()
    }

    /// Returns its name in the tables: `crun`, or `crun +net`.
    pub fn label(&self) -> String {
        match self.network {
            Network::Host => self.peer.name().into(),
            Network::Own => format!("{} +net", self.peer.name()),
        }
    }

    /// Returns whether it takes part in this round.
    pub fn is_in_round(&self, round: usize) -> bool {
        self.peer.pace() == Pace::Runtime || round.is_multiple_of(10)
    }

    /// Returns the command that starts a container of this name.
    ///
    /// # Errors
    /// When a bundle cannot be made.
    pub fn command(&self, id: &str, memory: u64, argv: &[&str]) -> Result<Command> {
        let start = Start { id, network: self.network, memory, argv };
        let mut command = self.peer.command(&start)?;
        self.session.set_mount_namespace(self.peer.hybrid(), &mut command);
        Ok(command)
    }

    /// Returns the command that starts a container by way of another program, such as
    /// strace(1).
    ///
    /// # Errors
    /// When a bundle cannot be made.
    pub fn command_by(&self, mut starter: Command, id: &str) -> Result<Command> {
        let runtime = self.peer.command(&Start {
            id,
            network: self.network,
            memory: MEMORY,
            argv: &TRUE,
        })?;
        starter.arg(runtime.get_program()).args(runtime.get_args());
        self.session.set_mount_namespace(self.peer.hybrid(), &mut starter);
        Ok(starter)
    }

    /// Starts `true` and waits for its end.
    ///
    /// # Errors
    /// When the start fails. The container is removed then, too.
    pub fn start_true(&self, memory: u64) -> Result<Measured> {
        let id = unique();
        let mut command = self.command(&id, memory, &TRUE)?;
        let measured = start::run_to_end(&mut command);
        if measured.is_err() {
            self.peer.remove(&id);
        }
        measured.with_context(|| self.label())
    }
}
