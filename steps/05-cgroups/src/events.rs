//! Waits for the events of a cgroup of version 2.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use crate::deadline::{Deadline, STUCK};
use crate::directory::{Directory, keyed};

/// Waits until `key` is `value` in cgroup.events: `populated 0`, `frozen 1`.
///
/// The kernel reports each change as POLLPRI on the open file (cgroups(7),
/// "cgroup.events file").
pub(crate) fn wait(directory: &Directory, key: &str, value: u64) -> Result<()> {
    let path = directory.path().join("cgroup.events");
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let deadline = Deadline::new();
    while !has_value(&file, key, value)
        .with_context(|| format!("read {}", path.display()))?
    {
        let operands = format_args!("{}, {key} {value}", path.display());
        kit::call("wait until the kernel says so", "poll", operands, || {
            sleep(&file, &deadline)
        })
        .hint_on(Errno::ETIMEDOUT, STUCK)?;
    }
    Ok(())
}

/// Tells whether the key has the value, or the cgroup was removed meanwhile (ENODEV): then
/// no process is in it.
fn has_value(events: &File, key: &str, value: u64) -> io::Result<bool> {
    let mut text = [0; 256];
    match events.read_at(&mut text, 0) {
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(true),
        Err(error) => Err(error),
        Ok(length) => {
            Ok(keyed(&String::from_utf8_lossy(&text[..length]), key) == Some(value))
        }
    }
}

/// Sleeps until an event or the deadline comes.
fn sleep(events: &File, deadline: &Deadline) -> io::Result<()> {
    let timeout = deadline.time_left().ok_or(io::Error::from(Errno::ETIMEDOUT))?;
    match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHierarchy;

    #[test]
    fn wait_returns_at_once_if_the_value_is_there_and_fails_without_the_file() {
        let top = FakeHierarchy::new("events");
        let cgroup = Directory::existing(
            &top.unified(),
            top.make_cgroup("it", &[("cgroup.events", "frozen 1\n")]),
        );
        wait(&cgroup, "frozen", 1).unwrap();
        let gone = Directory::existing(&top.unified(), top.path().join("gone"));
        let error = wait(&gone, "frozen", 1).unwrap_err();
        assert!(format!("{error:#}").contains("gone/cgroup.events"), "{error:#}");
    }
}
