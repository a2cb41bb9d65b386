//! Waits for the OOM killer: a program that watches a container is told when memory has
//! run out.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::fs::inotify;

use crate::cgroup::Cgroup;
use crate::controller::{Controller, Version};
use crate::directory::Directory;
use crate::sys;

/// The kills by the OOM killer in a cgroup, as they happen.
#[derive(Debug)]
pub struct OomEvents {
    memory: Directory,
    notifier: Notifier,
    /// The kills that have been reported, or happened before.
    kills: u64,
}

#[derive(Debug)]
enum Notifier {
    /// Version 1: the kernel adds to the counter when memory runs out.
    Event(OwnedFd),
    /// Version 2: the kernel reports each change of memory.events as a modification.
    Watch(OwnedFd),
}

impl Cgroup {
    /// Begins to watch for kills by the OOM killer.
    ///
    /// # Errors
    /// When the cgroup has no memory controller, or the kernel refuses.
    pub fn oom_events(&self) -> Result<OomEvents> {
        let Some(memory) = self.directory_of(Controller::Memory) else {
            let what = "the container's cgroup has no memory controller";
            return Err(Failure::new(what)
                .hint("start the container with a memory limit, or as root")
                .into());
        };
        let notifier = match memory.version() {
            Version::V1 => register(memory)?,
            Version::V2 => watch(memory)?,
        };
        let kills = kills(memory).unwrap_or_default();
        Ok(OomEvents { memory: memory.clone(), notifier, kills })
    }
}

/// Registers an eventfd(2) for the file memory.oom_control (cgroup-v1/memory.rst, "OOM
/// Control").
fn register(memory: &Directory) -> Result<Notifier> {
    let event = sys::eventfd().context("eventfd")?;
    let path = memory.path().join("memory.oom_control");
    let control =
        File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let numbers = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    memory
        .write(
            "add to the counter when memory runs out",
            "cgroup.event_control",
            numbers,
        )
        .hint_on(Errno::ENOENT, "this kernel does not report it on version 1")?;
    Ok(Notifier::Event(event))
}

fn watch(memory: &Directory) -> Result<Notifier> {
    let path = memory.path().join("memory.events");
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let watch = inotify::init(flags).context("inotify_init1")?;
    kit::call("report each change", "inotify_add_watch", path.display(), || {
        inotify::add_watch(&watch, &path, inotify::WatchFlags::MODIFY).map(drop)
    })?;
    Ok(Notifier::Watch(watch))
}

impl OomEvents {
    /// Returns the number of processes that were killed since the last call. Call it
    /// when the descriptor is readable.
    ///
    /// # Errors
    /// When the notification cannot be read.
    pub fn take(&mut self) -> Result<u64> {
        drain(self.as_fd()).context("read a notification of the OOM killer")?;
        // After the cgroup is removed there is a last notification without a file.
        let Some(now) = kills(&self.memory) else { return Ok(0) };
        let new = now.saturating_sub(self.kills);
        self.kills = now;
        Ok(new)
    }
}

/// Reads the notifications that are there. Which they are does not matter: the counter
/// tells what has happened.
fn drain(notifier: BorrowedFd<'_>) -> rustix::io::Result<()> {
    loop {
        match rustix::io::read(notifier, &mut [0; 4096]) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn kills(memory: &Directory) -> Option<u64> {
    memory.read_keyed(
        memory.by_version("memory.events", "memory.oom_control"),
        "oom_kill",
    )
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let (Notifier::Event(notifier) | Notifier::Watch(notifier)) = &self.notifier;
        notifier.as_fd()
    }
}
