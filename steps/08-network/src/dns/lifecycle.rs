//! The responder's lifecycle: the first runtime that needs it starts it, and it exits
//! after the last runtime.
//!
//! Three files beside the lease file connect the responder and the runtimes. The kernel
//! closes and unlocks them when a process dies, however it dies:
//! - `dns.users`, a FIFO that every runtime has open. When the last one has closed it,
//!   or has died, the kernel tells the responder (poll(2), POLLHUP).
//! - `dns.alive`, on which the responder holds a lock. It contains its PID and its
//!   options.
//! - `dns.lock`, which is locked while a responder starts or exits.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use kit::{Failure, interrupt};
use nix::errno::Errno;
use rustix::fs::{CWD, OFlags};

use super::ResponderOptions;
use super::running_responder::RunningResponder;
use crate::lock_file::open_or_create;

pub(crate) const LOCK: &str = "dns.lock";
pub(crate) const USERS: &str = "dns.users";

/// How long a responder may take to start or to exit.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The line that the responder prints once it listens.
pub(crate) const READY: &str = "ready";

/// Keeps a responder running until it is dropped.
#[derive(Debug)]
pub(crate) struct Responder {
    options: ResponderOptions,
    /// Refers to the responder's process.
    process: OwnedFd,
    _users: File,
}

impl Responder {
    /// Starts a responder with these options, unless it runs already. The caller must
    /// not hold the lock of the networks: a compromised responder could keep this call
    /// waiting.
    pub(crate) fn ensure(options: &ResponderOptions) -> Result<Self> {
        Self::ensure_within(options, LOCK_TIMEOUT)?
            .ok_or_else(|| lock_is_taken(&options.leases).into())
    }

    /// Starts a responder like this one, unless another runtime has started it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn restart(&mut self) -> Result<Restart> {
        match Self::ensure_within(&self.options, Duration::ZERO)? {
            Some(started) => *self = started,
            None => return Ok(Restart::ByAnother),
        }
        Ok(Restart::Done)
    }

    /// None: another process has kept the lock for all this time.
    fn ensure_within(
        options: &ResponderOptions,
        timeout: Duration,
    ) -> Result<Option<Self>> {
        let leases = std::path::absolute(&options.leases)
            .context("the absolute path of the leases")?;
        let options = ResponderOptions { leases, ..options.clone() };
        let Some(_lock) = lock(&options.leases, timeout)? else { return Ok(None) };
        // Opened before the search, so that a responder that is found does not exit.
        let users = open_users(&options.leases)?;
        let process = find_or_start(&options)?;
        Ok(Some(Responder { options, process, _users: users }))
    }
}

/// The outcome of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Done,
    /// The runtime of another container has the lock: it starts the responder.
    ByAnother,
}

/// A pidfd of the responder: pidfd_open(2).
impl AsFd for Responder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

fn find_or_start(options: &ResponderOptions) -> Result<OwnedFd> {
    let json = options.to_json()?;
    match RunningResponder::find(&options.leases)? {
        Some(running) if running.options == json => return Ok(running.process),
        Some(other) => other.kill()?, // it belongs to an earlier network of this name
        None => {}
    }
    // It may be killed between the two. Then it is started again, once.
    for _ in 0..2 {
        start(&json)?;
        if let Some(started) = RunningResponder::find(&options.leases)? {
            return Ok(started.process);
        }
    }
    Err(Failure::new("the DNS responder has ended as soon as it was started").into())
}

/// Ends the responder of a network without containers.
pub(crate) fn stop(leases: &Path) -> Result<()> {
    RunningResponder::find(leases)?.map_or(Ok(()), RunningResponder::kill)
}

/// Locks `dns.lock`. None: another process has kept it for all this time.
fn lock(leases: &Path, timeout: Duration) -> Result<Option<File>> {
    let path = leases.with_file_name(LOCK);
    let why = "one responder starts or exits at a time";
    let locked = kit::call(why, "flock", path.display(), || {
        let file = open_or_create(CWD, &path)?;
        // A compromised responder could hold the lock for ever.
        interrupt::lock_within(timeout, &file)?;
        Ok::<_, std::io::Error>(file)
    });
    match locked {
        Err(error) if kit::errno(&error) == Some(Errno::EAGAIN) => Ok(None),
        locked => locked.map(Some),
    }
}

fn lock_is_taken(leases: &Path) -> Failure {
    let path = leases.with_file_name(LOCK);
    let what = format!("another process keeps {} locked", path.display());
    let hint = format!("`fuser {}` shows the process that holds it", path.display());
    Failure::new(what).hint(hint)
}

fn open_users(leases: &Path) -> Result<File> {
    use nix::sys::stat::Mode;
    let path = leases.with_file_name(USERS);
    let why = "the responder runs as long as a runtime has this open";
    kit::call(why, "open", path.display(), || {
        match nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // fifo(7): opened for reading and writing, it does not wait for another
        // process.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        File::options().read(true).write(true).custom_flags(flags).open(&path)
    })
}

/// Starts a responder, and returns once it listens. It is not a child of the runtime:
/// it may outlive the runtime, and a wait for any child must not return it.
fn start(options: &str) -> Result<()> {
    let (mut reader, writer) =
        std::io::pipe().context("pipe2(for the responder's output)")?;
    let operands = "/proc/self/exe, dns-responder";
    let output = kit::call("start the DNS responder", "execve", operands, || {
        let mut command = command(options);
        command.arg("--detach").stdout(writer.try_clone()?).stderr(writer);
        command.status()?;
        drop(command); // it has the write end of the pipe, too
        // Until it listens, or has exited. A responder that starts does not yet see
        // that the runtime has gone.
        let output = interrupt::patiently(|| interrupt::read_to_end(&mut reader))?;
        Ok::<_, std::io::Error>(Output(String::from_utf8_lossy(&output).into_owned()))
    })?;
    match output.0.trim() {
        READY => Ok(()),
        output => match serde_json::from_str::<Failure>(output) {
            Ok(failure) => Err(failure.into()),
            Err(_) => Err(Failure::new(format_args!(
                "the DNS responder did not start: {output}"
            ))
            .into()),
        },
    }
}

/// The output of a responder that starts.
struct Output(String);

impl kit::Outcome for Output {
    fn show(&self) -> Option<String> {
        Some(self.0.lines().next().unwrap_or_default().into())
    }
}

/// The command that starts a responder: this program, with a name that `ps` shows.
pub(crate) fn command(options: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("kiste-dns").args(["dns-responder", options]).env_clear();
    command.stdin(Stdio::null()).current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_another_process_keeps_is_no_error_of_a_call() {
        let scratch = tempfile::tempdir().unwrap();
        let leases = scratch.path().join("leases.json");
        let first = lock(&leases, Duration::ZERO).unwrap();
        assert!(first.is_some());
        assert!(lock(&leases, Duration::ZERO).unwrap().is_none());
        assert!(lock_is_taken(&leases).hint_text().unwrap().contains("fuser"));
    }
}
