//! A run in the background whose container wants keys. The kernel stops whoever reads a
//! terminal from the background, by SIGTTIN, and its shell (or sudo) then gives it the
//! foreground. Here the command reads another terminal, its own, so the relay looks
//! now and then whether it does, and asks in its place. It sees the first thread of each
//! process, in read(2), poll(2) or select(2); whoever waits otherwise gets the keyboard
//! once the user brings the job to the front.

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

/// How often to look, in nanoseconds: nothing tells that a reader waits, nor that `fg`
/// has brought us to the front.
const INTERVAL: i64 = 100_000_000;

/// How many processes are looked at: a container may have very many.
const MOST: usize = 64;

/// The calls in which a program waits for what is typed, and for other things.
#[cfg(target_arch = "x86_64")]
const WAITS: [i64; 4] =
    [libc::SYS_poll, libc::SYS_ppoll, libc::SYS_select, libc::SYS_pselect6];
#[cfg(not(target_arch = "x86_64"))]
const WAITS: [i64; 2] = [libc::SYS_ppoll, libc::SYS_pselect6];

/// Wakes the relay now and then, while it is in the background.
pub(crate) struct Background(OwnedFd);

impl Background {
    pub(crate) fn enter() -> Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .context("timerfd_create(to look for a reader)")?;
        let interval = Timespec { tv_sec: 0, tv_nsec: INTERVAL };
        let often = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &often)
            .context("timerfd_settime(to look for a reader)")?;
        Ok(Background(timer))
    }

    pub(crate) fn interest(&self) -> PollFd<'_> {
        PollFd::new(self.0.as_fd(), PollFlags::POLLIN)
    }

    /// Whether it is time to look again.
    pub(crate) fn is_due(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

/// Asks for the foreground: the kernel stops a job that sets its terminal from the
/// background, all of its process group, until it has the foreground. See termios(3),
/// SIGTTOU.
///
/// # Errors
/// When nobody could let us go on: EIO in an orphaned process group, setpgid(2).
pub(crate) fn ask() -> Result<()> {
    let settings = tcgetattr(stdin()).context("tcgetattr(stdin)")?;
    let only: SigSet = [Signal::SIGTTOU].into_iter().collect();
    only.thread_unblock().context("sigprocmask(unblock SIGTTOU)")?;
    let set = tcsetattr(stdin(), OptionalActions::Now, &settings);
    only.thread_block().context("sigprocmask(block SIGTTOU)")?;
    set.context("tcsetattr(stdin), to ask for the foreground")
}

/// Whether a program at this terminal waits for keys. `main` is our end of it, `peer`
/// the other one.
pub(crate) fn wants_keys(main: BorrowedFd<'_>, peer: BorrowedFd<'_>) -> bool {
    // A shell that edits its line, or a pager: termios(3), noncanonical mode.
    let edits = |settings: Termios| !settings.local_modes.contains(LocalModes::ICANON);
    if tcgetattr(main).is_ok_and(edits) {
        return true;
    }
    let (Ok(leader), Ok(peer)) = (tcgetpgrp(main), rustix::fs::fstat(peer)) else {
        return false;
    };
    let terminal = (major(peer.st_rdev), minor(peer.st_rdev));
    with_descendants(leader.as_raw_nonzero().get()).iter().any(|pid| {
        awaited(*pid).is_some_and(|number| leads_to(*pid, number) == Some(terminal))
    })
}

/// A process and those below it.
fn with_descendants(leader: i32) -> Vec<i32> {
    let mut found = vec![leader];
    let mut next = 0;
    while let Some(pid) = found.get(next).filter(|_| found.len() < MOST) {
        let children = read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let pids = children.unwrap_or_default();
        found.extend(pids.split_whitespace().flat_map(str::parse::<i32>));
        next += 1;
    }
    found.truncate(MOST);
    found
}

/// The descriptor that a process waits to read: /proc/PID/syscall has the number of the
/// call that it is in, and its arguments. What poll(2) waits for stands in the memory of
/// the container, which could have us wait there for ever, so it is taken for stdin.
fn awaited(pid: i32) -> Option<u64> {
    let text = read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let mut words = text.split(' ');
    match words.next()?.parse().ok()? {
        libc::SYS_read => {
            u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()
        }
        call if WAITS.contains(&call) => Some(0),
        _ => None,
    }
}

/// The device that a descriptor of a process leads to. A file system in user space is
/// not asked, since it may not answer: statx(2).
fn leads_to(pid: i32, number: u64) -> Option<(u32, u32)> {
    let path = format!("/proc/{pid}/fd/{number}");
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
    Some((found.stx_rdev_major, found.stx_rdev_minor))
}
