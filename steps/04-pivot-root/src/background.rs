//! A background job whose container wants keys. The kernel stops a job that reads its
//! terminal from the background (SIGTTIN), and its shell (or sudo) can then give it the
//! foreground. Our command reads another terminal, the container's, so the kernel does
//! not stop us. The relay checks from time to time whether a program inside waits for
//! keys, and then asks for the foreground itself. It recognizes a process whose first
//! thread is in read(2), poll(2) or select(2). A program that waits in another call
//! gets the keyboard once the user brings the job to the foreground.

use std::fs::read_to_string;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{AtFlags, CWD, StatxFlags, major, minor, statx};
use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
    timerfd_create, timerfd_settime,
};

/// The interval between two checks, in nanoseconds. No signal tells us that a program
/// reads, nor that `fg` has brought us to the foreground.
const INTERVAL: i64 = 100_000_000;

/// The maximum number of processes to check: a container may have very many.
const MAX_PROCESSES: usize = 64;

/// The system calls in which a program waits for keys, among other events.
#[cfg(target_arch = "x86_64")]
const WAITING_CALLS: [i64; 4] =
    [libc::SYS_poll, libc::SYS_ppoll, libc::SYS_select, libc::SYS_pselect6];
#[cfg(not(target_arch = "x86_64"))]
const WAITING_CALLS: [i64; 2] = [libc::SYS_ppoll, libc::SYS_pselect6];

/// A timer that wakes the relay while it is in the background.
pub(crate) struct Background(OwnedFd);

impl Background {
    pub(crate) fn enter() -> Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .context("timerfd_create(to look for a reader)")?;
        let interval = Timespec { tv_sec: 0, tv_nsec: INTERVAL };
        let periodic = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &periodic)
            .context("timerfd_settime(to look for a reader)")?;
        Ok(Background(timer))
    }

    pub(crate) fn interest(&self) -> PollFd<'_> {
        PollFd::new(self.0.as_fd(), PollFlags::POLLIN)
    }

    /// Whether the timer has expired since the last call.
    pub(crate) fn is_due(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

/// Asks for the foreground: sets the attributes of the terminal. While our process
/// group is in the background, the kernel stops it for that (termios(3), SIGTTOU), and
/// the shell can continue it in the foreground.
///
/// # Errors
/// EIO in an orphaned process group (setpgid(2)), which no shell could continue.
pub(crate) fn ask_for_foreground() -> Result<()> {
    let settings = tcgetattr(stdin()).context("tcgetattr(stdin)")?;
    let sigttou: SigSet = [Signal::SIGTTOU].into_iter().collect();
    sigttou.thread_unblock().context("sigprocmask(unblock SIGTTOU)")?;
    let set = tcsetattr(stdin(), OptionalActions::Now, &settings);
    sigttou.thread_block().context("sigprocmask(block SIGTTOU)")?;
    set.context("tcsetattr(stdin), to ask for the foreground")
}

/// Whether a program at this terminal waits for keys. `peer` is the container's end of
/// the terminal.
pub(crate) fn waits_for_keys(master: BorrowedFd<'_>, peer: BorrowedFd<'_>) -> bool {
    // A shell with line editing, or a pager, is in noncanonical mode: termios(3).
    let is_noncanonical =
        |settings: Termios| !settings.local_modes.contains(LocalModes::ICANON);
    if tcgetattr(master).is_ok_and(is_noncanonical) {
        return true;
    }
    let (Ok(leader), Ok(peer)) = (tcgetpgrp(master), rustix::fs::fstat(peer)) else {
        return false;
    };
    let terminal = (major(peer.st_rdev), minor(peer.st_rdev));
    with_descendants(leader.as_raw_nonzero().get()).iter().any(|pid| {
        awaited_descriptor(*pid)
            .is_some_and(|number| device_of(*pid, number) == Some(terminal))
    })
}

/// Lists a process and its descendants.
fn with_descendants(leader: i32) -> Vec<i32> {
    let mut found = vec![leader];
    let mut next = 0;
    while let Some(pid) = found.get(next).filter(|_| found.len() < MAX_PROCESSES) {
        let children = read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let pids = children.unwrap_or_default();
        found.extend(pids.split_whitespace().flat_map(str::parse::<i32>));
        next += 1;
    }
    found.truncate(MAX_PROCESSES);
    found
}

/// Finds the descriptor that a process waits to read: /proc/PID/syscall shows its
/// current system call and the arguments. For poll(2) and select(2), stdin is assumed:
/// the descriptors are in the container's memory, and reading that memory could block
/// for ever.
fn awaited_descriptor(pid: i32) -> Option<u64> {
    let text = read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let mut words = text.split(' ');
    match words.next()?.parse().ok()? {
        libc::SYS_read => {
            u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()
        }
        call if WAITING_CALLS.contains(&call) => Some(0),
        _ => None,
    }
}

/// Finds the device that a descriptor of a process refers to. statx(2) does not ask a
/// file system in user space, which might not answer (AT_STATX_DONT_SYNC).
fn device_of(pid: i32, number: u64) -> Option<(u32, u32)> {
    let path = format!("/proc/{pid}/fd/{number}");
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
    Some((found.stx_rdev_major, found.stx_rdev_minor))
}
