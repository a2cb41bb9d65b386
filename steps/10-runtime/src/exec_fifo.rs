//! The gate between `create` and `start`: a FIFO in the container's directory. The
//! first process has it open, so no other process needs to run meanwhile. See fifo(7).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use exec::EXEC_IS_NEXT;
use kit::{Context, Failure, FailureKind, Result, interrupt};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

/// The name of the FIFO in the container's directory.
const NAME: &str = "exec.fifo";

/// The go-ahead that `start` writes into it.
const GO_AHEAD: &[u8] = b"0";

/// The FIFO, open for reading and writing.
#[derive(Debug)]
pub(crate) struct ExecFifo(OwnedFd);

impl ExecFifo {
    /// Makes the FIFO in the container's directory.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn create(directory: &Path) -> Result<Self> {
        let path = directory.join(NAME);
        let why = "`start` opens this gate";
        kit::call(why, "mknod", format_args!("{}, S_IFIFO", path.display()), || {
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        })?;
        // For reading and writing: otherwise the open would wait for `start`.
        open_fifo(&path, OFlags::RDWR)
            .map(ExecFifo)
            .with_context(|| format!("open {}", path.display()))
    }
}

impl AsFd for ExecFifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Tells whether the first process waits at the gate: it has the FIFO open, and its
/// exec closes it.
///
/// # Errors
/// The kernel's reason of open(2).
pub(crate) fn is_waiting(directory: &Path) -> Result<bool> {
    let path = directory.join(NAME);
    let opened =
        open_gate(&path).with_context(|| format!("open {}", path.display()))?;
    Ok(opened.is_some())
}

// ANCHOR: start
/// Opens the gate, and returns once the first process has executed its program.
///
/// # Errors
/// When nobody waits at the gate, and when the process fails before the exec: its error
/// is in the FIFO.
pub(crate) fn start(directory: &Path, init: BorrowedFd<'_>) -> Result<()> {
    let path = directory.join(NAME);
    let opened =
        open_gate(&path).with_context(|| format!("open {}", path.display()))?;
    let Some(fifo) = opened else {
        let failure = Failure::new("cannot start an already running container");
        return Err(failure.with_kind(FailureKind::Conflict).into());
    };
    kit::call("the go-ahead", "write", "the exec FIFO, 1 byte", || {
        rustix::io::write(&fifo, GO_AHEAD).map(drop)
    })?;
    wait_for_exec(fifo.as_fd(), init)?;
    report_failure(&path)?;
    std::fs::remove_file(&path).with_context(|| format!("unlink {}", path.display()))
}
// ANCHOR_END: start

/// Opens the FIFO for writing. None: nobody waits at the gate.
fn open_gate(path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
    match open_fifo(path, OFlags::WRONLY) {
        // ENXIO: nobody has it open for reading.
        Err(rustix::io::Errno::NXIO | rustix::io::Errno::NOENT) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Waits until no process has the FIFO open for reading: POLLERR. A dead process has
/// closed it, too; the pidfd is polled beside it so that the wait ends in any case. A
/// signal ends the wait by an error: a hook of the image may never end.
fn wait_for_exec(fifo: BorrowedFd<'_>, init: BorrowedFd<'_>) -> Result<()> {
    let signals = interrupt::termination().context("signalfd(signals)")?;
    loop {
        let mut ready = [
            PollFd::new(fifo, PollFlags::empty()),
            PollFd::new(init, PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) if ready[..2].iter().any(|it| it.any() == Some(true)) => {
                return Ok(());
            }
            Ok(_) => interrupt::check()?,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll(the exec FIFO)"),
        }
    }
}

/// Fails unless the last word of the first process in the FIFO is that the exec is next.
/// The kernel keeps the contents as long as a process has the FIFO open.
fn report_failure(path: &Path) -> Result<()> {
    let fifo = open_fifo(path, OFlags::RDONLY)
        .with_context(|| format!("open {}", path.display()))?;
    let mut text = vec![0; 64 << 10];
    let length = match rustix::io::read(&fifo, &mut text) {
        Err(rustix::io::Errno::AGAIN) => 0, // it is empty, and somebody has it open
        read => read.with_context(|| format!("read {}", path.display()))?,
    };
    let text = &text[..length];
    if text.starts_with(GO_AHEAD) {
        // Nobody has read it: the process was killed at the gate.
        let failure = Failure::new("cannot start a container that has stopped");
        return Err(failure.with_kind(FailureKind::Conflict).into());
    }
    if text == EXEC_IS_NEXT {
        return Ok(());
    }
    let died = || {
        Failure::new("the first process died before it became the command").hint(
            "a signal has killed it: its seccomp filter's, the kernel's when memory ran out, or another's",
        )
    };
    let failure = text.strip_prefix(EXEC_IS_NEXT).unwrap_or(text);
    Err(serde_json::from_slice(failure).unwrap_or_else(|_| died()).into())
}

fn open_fifo(path: &Path, access: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // The gate itself is read by a process that is to wait.
    let flags = if access == OFlags::RDWR { flags - OFlags::NONBLOCK } else { flags };
    open(path, access | flags, Mode::empty())
}
