//! The responder's life: started by the first runtime that needs it, ended with the
//! last.
//!
//! Three files beside the lease file hold it together, by what the kernel undoes when a
//! process dies:
//! - `dns.users`, a FIFO that every runtime holds open. When the last one has closed
//!   it, or died, the responder is told so (poll(2), POLLHUP).
//! - `dns.alive`, which the responder holds a lock on, and which says who it is and
//!   where it listens.
//! - `dns.lock`, a lock for the moments in which a responder begins or ends.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Outside;
use crate::subnet::Subnet;

pub(crate) const LOCK: &str = "dns.lock";
pub(crate) const ALIVE: &str = "dns.alive";
pub(crate) const USERS: &str = "dns.users";

/// How long a beginning or an end may take.
const LOCK_TAKES: Duration = Duration::from_secs(20);

/// What the responder says once it listens.
pub(crate) const READY: &str = "ready";

/// A responder that is there, and stays as long as this lives.
#[derive(Debug)]
pub(crate) struct Responder {
    _users: File,
}

impl Responder {
    /// Sees to it that a responder answers what comes by `bridge` to `gateways`, port
    /// 53, for the network whose lease file is `leases`.
    ///
    /// # Errors
    /// When it cannot be started: another program has port 53 there, or the lease file
    /// cannot be read.
    pub(crate) fn ensure(
        leases: &Path,
        bridge: &str,
        gateways: &[Subnet],
        outside: Outside,
    ) -> Result<Self> {
        let leases = std::path::absolute(leases).context("where the leases are")?;
        let _lock = lock(&leases)?;
        // First of all we are one that it lives for.
        let users = open_users(&leases)?;
        let words = words(&leases, bridge, gateways, outside);
        match living(&leases)? {
            Some(living) if living.words == words.join(" ") => {}
            Some(other) => {
                other.end()?; // it is of a network that had this name before
                start(&words)?;
            }
            None => start(&words)?,
        }
        Ok(Responder { _users: users })
    }
}

/// The network's last container is gone, and no [`Responder`] is left: returns once the
/// process is gone, too.
///
/// # Errors
/// When it cannot be waited for.
pub(crate) fn end(leases: &Path) -> Result<()> {
    match living(leases)? {
        Some(living) => living.end(),
        None => Ok(()),
    }
}

/// The command line of a responder; it is also how one is told from another.
pub(crate) fn words(
    leases: &Path,
    bridge: &str,
    gateways: &[Subnet],
    outside: Outside,
) -> Vec<String> {
    let outside = match outside {
        Outside::Forward => "forward",
        Outside::Closed => "closed",
    };
    let leases = leases.display().to_string();
    let mut words: Vec<String> =
        ["--leases", &leases, "--bridge", bridge, "--outside", outside]
            .map(Into::into)
            .into();
    words.extend(
        gateways.iter().flat_map(|gateway| ["--at".into(), gateway.to_string()]),
    );
    words
}

fn lock(leases: &Path) -> Result<File> {
    let path = leases.with_file_name(LOCK);
    kit::call("one responder starts or ends at a time", "flock", path.display(), || {
        let file = open(&path)?;
        // A responder that was taken over could hold it for ever.
        let until = Instant::now() + LOCK_TAKES;
        while let Err(error) = file.try_lock() {
            if Instant::now() > until {
                return Err(error.into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok::<_, std::io::Error>(file)
    })
    .hint_on(
        Errno::EAGAIN,
        format_args!("`fuser {}` says who holds it", path.display()),
    )
}

pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
}

fn open_users(leases: &Path) -> Result<File> {
    let path = leases.with_file_name(USERS);
    kit::call(
        "as long as one holds it open, names are answered",
        "open",
        path.display(),
        || {
            match nix::unistd::mkfifo(
                &path,
                nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR,
            ) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            // fifo(7): opened for both it does not wait for another side.
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
            File::options()
                .read(true)
                .write(true)
                .custom_flags(flags.bits() as i32)
                .open(&path)
        },
    )
}

/// Starts a responder, and returns once it listens. It is no child of ours: whoever
/// waits for a child does not wait for it, and it goes on when we are gone.
fn start(words: &[String]) -> Result<()> {
    let (mut ours, theirs) =
        std::io::pipe().context("pipe2(for what the responder says)")?;
    let said = kit::call(
        "the responder for names",
        "execve",
        "/proc/self/exe, dns-responder",
        || {
            let mut command = command(words);
            command
                .arg("--detach")
                .stdout(theirs.try_clone()?)
                .stderr(theirs)
                .status()?;
            drop(command); // it holds the other end of the pipe
            let mut said = String::new();
            ours.read_to_string(&mut said).map(|_| ())?; // until it is ready, or gone
            Ok::<_, std::io::Error>(Said(said))
        },
    )?;
    match said.0.trim() {
        READY => Ok(()),
        said => match serde_json::from_str::<Failure>(said) {
            Ok(failure) => Err(failure.into()),
            Err(_) => Err(Failure::new(format_args!(
                "the DNS responder did not start: {said}"
            ))
            .into()),
        },
    }
}

struct Said(String);

impl kit::Outcome for Said {
    fn show(&self) -> Option<String> {
        Some(self.0.lines().next().unwrap_or_default().into())
    }
}

pub(crate) fn command(words: &[String]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("kiste-dns").arg("dns-responder").args(words).env_clear();
    command.stdin(Stdio::null()).current_dir("/");
    command
}

/// A responder that lives.
struct Living {
    process: OwnedFd,
    words: String,
}

/// The responder that holds the lock on `dns.alive`, if there is one.
fn living(leases: &Path) -> Result<Option<Living>> {
    let path = leases.with_file_name(ALIVE);
    let found = || format!("look for a responder ({})", path.display());
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(found)?,
    };
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(found)?;
    let (pid, words) = text.split_once('\n').unwrap_or_default();
    let process = pid
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|it| pidfd_open(it, PidfdFlags::empty()).ok());
    // The lock is asked for last: if it is still held, the process that was just opened
    // is the holder, and not another one that has its number now.
    match (file.try_lock(), process) {
        (Ok(()), _) => Ok(None),
        (Err(TryLockError::Error(error)), _) => Err(error).with_context(found),
        (Err(TryLockError::WouldBlock), Some(process)) => {
            Ok(Some(Living { process, words: words.trim_end().into() }))
        }
        (Err(TryLockError::WouldBlock), None) => {
            let failure = Failure::new(format_args!(
                "{} is locked, and not by a responder",
                path.display()
            ));
            Err(failure
                .hint(format_args!("`fuser {}` says by whom", path.display()))
                .into())
        }
    }
}

impl Living {
    /// How long it may take to notice that nobody needs it, in milliseconds.
    const PATIENCE: u16 = 2000;

    /// Returns once it is gone, as it goes by itself; where it does not, it is killed.
    fn end(self) -> Result<()> {
        let mut gone = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
        let wait = "wait for the end of the DNS responder";
        if poll(&mut gone, Self::PATIENCE).context(wait)? == 0 {
            // ESRCH: gone just now
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
            poll(&mut gone, PollTimeout::NONE).context(wait)?;
        }
        Ok(())
    }
}
