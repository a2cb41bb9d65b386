//! A container that an earlier command has made.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use cgroups::Cgroup;
use kit::{
    Context, Failure, FailureKind, Hint, Id, Liveness, ProcessIdentity, Result, RunDir,
    STATE_FILE,
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::bundle::{self, CONFIG};
use crate::config::Config;
use crate::exec_fifo;
use crate::log::Log;
use crate::state::{Phase, State, Status};

/// A container that an earlier command has made.
#[derive(Debug)]
pub(crate) struct Container {
    /// The directory with its files.
    pub directory: PathBuf,
    /// Its state.
    pub state: State,
}

impl Container {
    /// Describes a container that this command has made.
    pub fn of(state: State, run_dir: &RunDir) -> Self {
        Container { directory: run_dir.path().into(), state }
    }

    /// Finds the container with this id below `root`.
    ///
    /// # Errors
    /// When there is none, its state cannot be read, or others can write to its directory.
    pub fn find(root: &Path, id: &Id) -> Result<Self> {
        let directory = root.join(id.as_str());
        let text = RunDir::read_state(root, id)
            .hint("containers of root are seen by root: use sudo")?;
        let Some(text) = text else { return Err(not_found(id)) };
        let state = serde_json::from_str(&text)
            .with_context(|| directory.join(STATE_FILE).display().to_string())
            .hint(format_args!("`delete --force {id}` removes it"))?;
        Ok(Container { directory, state })
    }

    /// Finds the container and locks it, so that no other command changes it.
    ///
    /// # Errors
    /// As [`Container::find`].
    pub fn lock(root: &Path, id: &Id) -> Result<(Self, RunDir)> {
        let Some(run_dir) = RunDir::open(root, id)? else { return Err(not_found(id)) };
        Ok((Container::find(root, id)?, run_dir))
    }

    // ANCHOR: status
    /// Finds out its status.
    ///
    /// # Errors
    /// When its first process, its gate or its cgroup cannot be examined.
    pub fn status(&self) -> Result<Status> {
        Ok(match (self.state.process.liveness()?, self.state.phase) {
            (Liveness::Gone, _) => Status::Stopped,
            (Liveness::Alive, Phase::Creating) => Status::Creating,
            (Liveness::Alive, Phase::Created)
                if exec_fifo::is_waiting(&self.directory)? =>
            {
                Status::Created
            }
            (Liveness::Alive, Phase::Created) => match self.cgroup()? {
                Some(cgroup) if cgroup.is_frozen()? => Status::Paused,
                _ => Status::Running,
            },
        })
    }
    // ANCHOR_END: status

    /// Opens its first process. None: it has ended.
    ///
    /// # Errors
    /// When it cannot be examined.
    pub fn init(&self) -> Result<Option<Init>> {
        Init::open(&self.state.process)
    }

    /// Finds what is left of its cgroup. None: it has none, or it is removed already. A
    /// directory that another program has made in its place is left out.
    ///
    /// # Errors
    /// When the hierarchies cannot be examined.
    pub fn cgroup(&self) -> Result<Option<Cgroup>> {
        let cgroup = Cgroup::open(&self.state.cgroup)?;
        Ok(Some(cgroup).filter(|cgroup| !cgroup.directories().is_empty()))
    }

    /// Finds the cgroup that the container must have.
    ///
    /// # Errors
    /// When it has none, as without root and without delegation; when it was removed
    /// while the container runs, and perhaps another one made in its place.
    pub fn require_cgroup(&self) -> Result<Cgroup> {
        self.state.cgroup.require_same()?;
        let what = "the container has no cgroup of its own";
        let hint = "without root, have systemd or root delegate one: `systemd-run --user --scope -p Delegate=yes COMMAND`";
        Ok(self.cgroup()?.ok_or_else(|| Failure::new(what).hint(hint))?)
    }

    /// Reads the config.json that it was created from.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub fn config(&self) -> Result<Config> {
        let path = self.directory.join(CONFIG);
        bundle::parse(&bundle::read(&path)?, &Log::silent())
            .with_context(|| path.display().to_string())
    }
}

/// The first process of a container.
#[derive(Debug)]
pub(crate) struct Init {
    /// Its process id, as the host sees it.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

impl Init {
    fn open(process: &ProcessIdentity) -> Result<Option<Self>> {
        let pid = process.pid;
        let raw = Pid::from_raw(pid)
            .with_context(|| format!("{STATE_FILE}: no process id: {pid}"))?;
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            pidfd => pidfd.with_context(|| format!("pidfd_open({pid})"))?,
        };
        // A pidfd always refers to the same process. If the id still belongs to it now,
        // it did so at the open.
        match process.liveness()? {
            Liveness::Alive => Ok(Some(Init { pid, pidfd })),
            Liveness::Gone => Ok(None),
        }
    }

    /// Sends it the signal of this number.
    ///
    /// # Errors
    /// ESRCH when it has ended, and the kernel's other reasons.
    #[track_caller]
    pub fn signal(&self, signal: i32) -> Result<()> {
        let operands = format_args!("{}, {signal}", self.pid);
        kit::call("to its first process", "pidfd_send_signal", operands, || {
            exec::pidfd_send_signal(self.pidfd.as_fd(), signal)
        })
    }

    /// Kills it, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end within 10 seconds.
    pub fn kill(&self) -> Result<()> {
        match self.signal(Signal::KILL.as_raw()) {
            Err(error) if kit::errno(&error) != Some(nix::errno::Errno::ESRCH) => {
                return Err(error);
            }
            _ => {}
        }
        let wait = kit::interrupt::Wait::new().context("signalfd(signals)")?;
        let time = std::time::Duration::from_secs(10);
        match wait.is_readable_within(time, &self.pidfd)? {
            true => Ok(()),
            false => {
                let what = format!("process {} is killed, and does not end", self.pid);
                Err(Failure::new(what)
                    .hint("it is stuck in the kernel, or its cgroup is frozen")
                    .into())
            }
        }
    }
}

/// Lists the ids of all containers below `root`.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn ids(root: &Path) -> Result<Vec<Id>> {
    let read = || format!("read {}", root.display());
    let entries = kit::if_exists(fs::read_dir(root)).with_context(read)?;
    let mut ids = Vec::new();
    for entry in entries.into_iter().flatten() {
        let name = entry.with_context(read)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse::<Id>().ok()));
    }
    ids.sort();
    Ok(ids)
}

/// Makes the error for a container without processes, in the words by which engines
/// recognize it.
pub(crate) fn not_running() -> anyhow::Error {
    Failure::new("container not running").with_kind(FailureKind::Conflict).into()
}

fn not_found(id: &Id) -> anyhow::Error {
    let failure = Failure::new(format_args!("container {id} does not exist"));
    failure.with_kind(FailureKind::NotFound).into()
}

/// Tells whether an error says that something does not exist.
pub(crate) fn is_not_found(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|failure| failure.kind() == FailureKind::NotFound)
}
