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

use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use kit::{Failure, Hint, interrupt};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::ResponderOptions;

pub(crate) const LOCK: &str = "dns.lock";
pub(crate) const ALIVE: &str = "dns.alive";
pub(crate) const USERS: &str = "dns.users";

/// How long a responder may take to start or to exit.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The line that the responder prints once it listens.
pub(crate) const READY: &str = "ready";

/// Keeps a responder running until it is dropped.
#[derive(Debug)]
pub(crate) struct Responder {
    _users: File,
}

impl Responder {
    /// Starts a responder with these options, unless it runs already.
    pub(crate) fn ensure(options: &ResponderOptions) -> Result<Self> {
        let leases = std::path::absolute(&options.leases)
            .context("the absolute path of the leases")?;
        let options = &ResponderOptions { leases, ..options.clone() };
        let _lock = lock(&options.leases)?;
        // Opened before the search, so that a responder that is found does not exit.
        let users = open_users(&options.leases)?;
        let json = options.to_json()?;
        match RunningResponder::find(&options.leases)? {
            Some(running) if running.options == json => {}
            Some(other) => {
                other.wait_for_exit()?; // it belongs to an earlier network of this name
                start(&json)?;
            }
            None => start(&json)?,
        }
        Ok(Responder { _users: users })
    }
}

/// Waits until the responder of a network has exited. The network's last container has
/// ended, and its [`Responder`] is dropped.
pub(crate) fn wait_for_exit(leases: &Path) -> Result<()> {
    match RunningResponder::find(leases)? {
        Some(running) => running.wait_for_exit(),
        None => Ok(()),
    }
}

fn lock(leases: &Path) -> Result<File> {
    let path = leases.with_file_name(LOCK);
    let why = "one responder starts or exits at a time";
    kit::call(why, "flock", path.display(), || {
        let file = open_or_create(&path)?;
        // A compromised responder could hold the lock for ever.
        interrupt::lock_within(LOCK_TIMEOUT, &file)?;
        Ok::<_, std::io::Error>(file)
    })
    .hint_on(
        Errno::EAGAIN,
        format_args!("`fuser {}` shows the process that holds it", path.display()),
    )
}

pub(crate) fn open_or_create(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
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

/// The process of a responder that runs.
struct RunningResponder {
    process: OwnedFd,
    /// As JSON.
    options: String,
}

impl RunningResponder {
    /// How long the process may take to notice that the last runtime has gone, in
    /// milliseconds.
    const EXIT_TIMEOUT: u16 = 2000;

    /// Finds the process that holds the lock on `dns.alive`, if there is one.
    fn find(leases: &Path) -> Result<Option<Self>> {
        let path = leases.with_file_name(ALIVE);
        let finding = || format!("find the DNS responder ({})", path.display());
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            file => file.with_context(finding)?,
        };
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(finding)?;
        let (pid, options) = text.split_once('\n').unwrap_or_default();
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // The lock is tested last: if it is still held, the holder is the process that
        // the descriptor refers to, and not a later one with the same PID.
        match (file.try_lock(), process) {
            (Ok(()), _) => Ok(None),
            (Err(TryLockError::Error(error)), _) => Err(error).with_context(finding),
            (Err(TryLockError::WouldBlock), Some(process)) => {
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

    /// Waits until the process has exited by itself; kills it if it does not.
    fn wait_for_exit(self) -> Result<()> {
        let mut exited = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
        let waiting = "wait for the DNS responder to exit";
        if poll(&mut exited, Self::EXIT_TIMEOUT).context(waiting)? == 0 {
            // ESRCH: it has just exited.
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
            poll(&mut exited, PollTimeout::NONE).context(waiting)?;
        }
        Ok(())
    }
}
