//! Finds the responder of a network that runs, and ends it.

use std::fs::TryLockError;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use kit::Failure;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The responder holds a lock on this file, which contains its PID and its options.
pub(crate) const ALIVE: &str = "dns.alive";

/// The longest content of `dns.alive`, in bytes: the options are a few hundred.
const LONGEST_NOTE: u64 = 64 << 10;

/// The process of a responder that runs.
pub(crate) struct RunningResponder {
    pub(crate) process: OwnedFd,
    /// As JSON.
    pub(crate) options: String,
}

impl RunningResponder {
    /// Finds the process that holds the lock on `dns.alive`, if there is one.
    pub(crate) fn find(leases: &Path) -> Result<Option<Self>> {
        let path = leases.with_file_name(ALIVE);
        let finding = || format!("find the DNS responder ({})", path.display());
        let opened = kit::if_exists(kit::open_regular(&path)).with_context(finding)?;
        let Some(file) = opened else { return Ok(None) };
        let mut text = String::new();
        (&file).take(LONGEST_NOTE).read_to_string(&mut text).with_context(finding)?;
        let (pid, options) = text.split_once('\n').unwrap_or_default();
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        let process = pid.and_then(|pid| match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => None,
            opened => Some(opened),
        });
        let opening = || format!("pidfd_open(the DNS responder, {})", path.display());
        // The lock is tested last: if it is still held, the holder is the process that
        // the descriptor refers to, and not a later one with the same PID.
        match (file.try_lock(), process) {
            (Ok(()), _) => Ok(None),
            (Err(TryLockError::Error(error)), _) => Err(error).with_context(finding),
            (Err(TryLockError::WouldBlock), Some(process)) => {
                let process = process.with_context(opening)?;
                let options = options.trim_end().into();
                Ok(Some(RunningResponder { process, options }))
            }
            (Err(TryLockError::WouldBlock), None) => {
                let what = format!("{} is locked by another program", path.display());
                let hint = format!("`fuser {}` shows which", path.display());
                Err(Failure::new(what).hint(hint).into())
            }
        }
    }

    /// Kills the process, and waits until it has exited. It has no state that could be
    /// lost, and may be compromised: nobody waits until it exits by itself.
    pub(crate) fn kill(self) -> Result<()> {
        // ESRCH: it has just exited.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let mut exited = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
        poll(&mut exited, PollTimeout::NONE)
            .context("wait for the DNS responder to exit")?;
        Ok(())
    }
}
