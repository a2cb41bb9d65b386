//! Waiting for what a cgroup does: by its own events where it has them, and never for
//! ever.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::directory::{Directory, keyed};

/// How long anything is waited for. A process that does not die in this time is stuck
/// in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `key` is `value` in cgroup.events: `populated 0`, `frozen 1`.
///
/// A change is POLLPRI on the open file (cgroups(7), "cgroup.events file"), so there is
/// no interval at which to look.
pub(crate) fn wait(directory: &Directory, key: &str, value: u64) -> Result<()> {
    let path = directory.path().join("cgroup.events");
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let patience = Patience::new();
    while read(&file, key).with_context(|| format!("read {}", path.display()))?
        != Some(value)
    {
        let operands = format_args!("{}, {key} {value}", path.display());
        kit::call("wait until the kernel says so", "poll", operands, || {
            sleep(&file, &patience)
        })
        .hint_on(Errno::ETIMEDOUT, STUCK)?;
    }
    Ok(())
}

fn read(events: &File, key: &str) -> io::Result<Option<u64>> {
    let mut text = [0; 256];
    let length = events.read_at(&mut text, 0)?;
    Ok(keyed(&String::from_utf8_lossy(&text[..length]), key))
}

/// Until something changes, and not beyond what is left of the patience.
fn sleep(events: &File, patience: &Patience) -> io::Result<()> {
    let left = patience.left().ok_or(io::Error::from(Errno::ETIMEDOUT))?;
    match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], left) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Why a process neither stops nor dies.
pub(crate) const STUCK: &str = "a process in it is stuck in the kernel: look for state D in \
                                `ps -eo pid,stat,wchan,cmd`; remove what is left with `gc` later";

/// A wait with an end, for what has no event.
pub(crate) struct Patience {
    end: Instant,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Patience { end: Instant::now() + PATIENCE }
    }

    /// What is left of it.
    fn left(&self) -> Option<PollTimeout> {
        let left = self.end.checked_duration_since(Instant::now())?;
        PollTimeout::try_from(left.as_millis()).ok()
    }

    /// Lets a millisecond pass. False when there is none left.
    pub(crate) fn pause(&self) -> bool {
        // EINTR only makes it shorter.
        let _ = poll(&mut [], 1u8);
        self.left().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::tests::Fake;

    #[test]
    fn what_holds_is_not_waited_for_and_what_is_not_there_is_told() {
        let top = Fake::new("events");
        let cgroup = Directory::found(
            &top.unified(),
            top.with("it", &[("cgroup.events", "frozen 1\n")]),
        );
        wait(&cgroup, "frozen", 1).unwrap();
        let gone = Directory::found(&top.unified(), top.0.join("gone"));
        let error = wait(&gone, "frozen", 1).unwrap_err();
        assert!(format!("{error:#}").contains("gone/cgroup.events"), "{error:#}");
    }
}
