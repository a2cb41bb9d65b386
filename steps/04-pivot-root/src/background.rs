//! A run in the background whose container wants keys. The kernel stops whoever reads a
//! terminal from the background, by SIGTTIN, and its shell (or sudo) then gives it the
//! foreground. Here the command reads another terminal, its own, so the relay looks
//! whether it does, and asks in its place.

use std::fs::{self, read_to_string};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, killpg};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, getpgrp};
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
    timerfd_create, timerfd_settime,
};

/// How often to look, in nanoseconds: nothing tells that a reader waits, nor that `fg`
/// has brought us to the front.
const INTERVAL: i64 = 100_000_000;

/// The device number of /dev/tty: a reader's controlling terminal, whichever it is.
const DEV_TTY: u64 = 0x500;

#[cfg(target_arch = "x86_64")]
const POLLS: [i64; 2] = [libc::SYS_poll, libc::SYS_ppoll];
#[cfg(not(target_arch = "x86_64"))]
const POLLS: [i64; 1] = [libc::SYS_ppoll];

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

    /// Takes note that the timer has run out, so that it does not wake us again at once.
    pub(crate) fn wait_again(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

/// Asks for the foreground, as the kernel does in the place of a job that reads its
/// terminal from the background. Returns once we go on, wherever that is.
pub(crate) fn ask() -> Result<()> {
    let signal = Signal::SIGTTIN;
    killpg(getpgrp(), signal).context("killpg(SIGTTIN), to ask for the terminal")?;
    exec::stop_by(signal as i32)
}

/// Whether a program at this terminal waits for keys. `main` is our end of it, `peer`
/// the other one.
pub(crate) fn wants_keys(main: BorrowedFd<'_>, peer: BorrowedFd<'_>) -> bool {
    // A shell that edits its line, or a pager: termios(3), noncanonical mode.
    let edits = |settings: rustix::termios::Termios| {
        !settings.local_modes.contains(LocalModes::ICANON)
    };
    if tcgetattr(main).is_ok_and(edits) {
        return true;
    }
    let (Ok(leader), Ok(peer)) = (tcgetpgrp(main), rustix::fs::fstat(peer)) else {
        return false;
    };
    let leader = Pid::from_raw(leader.as_raw_nonzero().get());
    with_descendants(leader).iter().any(|pid| reads(*pid, peer.st_rdev))
}

/// A process and all below it.
fn with_descendants(leader: Pid) -> Vec<Pid> {
    let mut found = vec![leader];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let children = read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let pids = children.unwrap_or_default();
        found.extend(pids.split_whitespace().flat_map(str::parse).map(Pid::from_raw));
        next += 1;
    }
    found
}

/// Whether a process waits for what is typed at this terminal: /proc/PID/syscall,
/// proc(5), has the number of the call that it is in, and its arguments.
fn reads(pid: Pid, terminal: u64) -> bool {
    let text = read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let mut words = text.split(' ');
    let call = words.next().and_then(|number| number.parse().ok());
    let mut arguments = words
        .map_while(|word| usize::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    let (Some(call), Some(first), Some(second)) =
        (call, arguments.next(), arguments.next())
    else {
        return false;
    };
    let descriptors = match call {
        libc::SYS_read => vec![first as i32],
        _ if POLLS.contains(&call) => polled(pid, first, second),
        _ => Vec::new(),
    };
    let leads_there = |number: &i32| {
        let file = fs::metadata(format!("/proc/{pid}/fd/{number}"));
        file.is_ok_and(|file| [terminal, DEV_TTY].contains(&file.rdev()))
    };
    descriptors.iter().any(leads_there)
}

/// The descriptors that a process in poll(2) wants to read, as its memory has them.
fn polled(pid: Pid, address: usize, count: usize) -> Vec<i32> {
    let mut bytes = vec![0; count.min(64) * size_of::<libc::pollfd>()];
    let there = RemoteIoVec { base: address, len: bytes.len() };
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &[there]);
    let whole = bytes[..read.unwrap_or(0)].chunks_exact(size_of::<libc::pollfd>());
    whole
        .filter(|entry| i16::from_ne_bytes([entry[4], entry[5]]) & libc::POLLIN != 0)
        .map(|entry| i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]))
        .collect()
}
