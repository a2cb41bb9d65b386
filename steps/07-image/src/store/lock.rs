//! The locks of a store. Adding needs the shared lock, removing the exclusive one. See
//! flock(2): the kernel releases a lock when the process ends, however it ends.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use kit::interrupt;
use rustix::fs::OFlags;

use super::Store;

/// How long a command waits for a lock before it says so.
const QUIET_WAIT: Duration = Duration::from_secs(1);

/// A lock, which is released when this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code)] File);

impl Store {
    /// Takes the shared lock. While it is held, no blob and no layer is removed.
    pub(crate) fn lock_shared(&self) -> Result<Lock> {
        let path = self.path().join("lock");
        let file = match open(&path) {
            // flock(2) needs no permission to write, so that a store on a read-only
            // file system can still be read.
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                kit::open_regular(&path)
            }
            file => file,
        };
        let file = file.with_context(|| format!("open({})", path.display()))?;
        let blocker = "removes images of";
        let within = interrupt::lock_shared_within;
        self.wait_for(&file, within, interrupt::lock_shared, blocker)
            .context("flock(lock, LOCK_SH)")?;
        Ok(Lock(file))
    }

    /// Takes the exclusive lock, after all shared ones are released. While it is held,
    /// no image is added and no container is started.
    pub(crate) fn lock_exclusive(&self) -> Result<Lock> {
        let blocker = "adds or reads images of";
        self.lock_file_exclusive("lock", blocker)
    }

    /// Takes the lock of the names: one process at a time changes the list of images or
    /// writes a document. Its holder takes no other lock.
    pub(crate) fn lock_names(&self) -> Result<Lock> {
        self.lock_file_exclusive("names.lock", "changes the list of images of")
    }

    fn lock_file_exclusive(&self, name: &str, blocker: &str) -> Result<Lock> {
        let path = self.path().join(name);
        let file = open(&path).with_context(|| format!("open({})", path.display()))?;
        self.wait_for(&file, interrupt::lock_within, interrupt::lock, blocker)
            .with_context(|| format!("flock({name}, LOCK_EX)"))?;
        Ok(Lock(file))
    }

    /// Waits for a lock, and after a second says what the command that holds it does.
    fn wait_for(
        &self,
        file: &File,
        lock_within: fn(Duration, &File) -> io::Result<()>,
        lock: fn(&File) -> io::Result<()>,
        blocker: &str,
    ) -> io::Result<()> {
        match lock_within(QUIET_WAIT, file) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
        kit::notice(format_args!(
            "waiting for another command, which {blocker} the store {}",
            self.path().display()
        ));
        lock(file)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // O_NONBLOCK: to open a FIFO does not wait for a reader (fifo(7)).
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
}
