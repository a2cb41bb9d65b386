//! Who adds shares the store with others who add; who removes is alone. See flock(2):
//! the kernel lets go when the process ends, however it ends.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::Store;

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code)] File);

impl Store {
    /// Nothing is removed while this is held: what has been found or added stays.
    pub(crate) fn share(&self) -> Result<Lock> {
        let path = self.path().join("lock");
        let file = match open(&path) {
            // A store that nobody can write can be looked at all the same; flock(2)
            // needs no right to write.
            Err(error) if is_read_only(&error) => File::open(&path)
                .with_context(|| format!("open({})", path.display()))?,
            file => file?,
        };
        file.lock_shared().context("flock(lock, LOCK_SH)")?;
        Ok(Lock(file))
    }

    /// Nobody adds or starts anything while this is held. Waits until all who do have
    /// ended.
    pub(crate) fn be_alone(&self) -> Result<Lock> {
        let file = open(&self.path().join("lock"))?;
        file.lock().context("flock(lock, LOCK_EX)")?;
        Ok(Lock(file))
    }

    /// Names are read, changed and written by one at a time.
    pub(crate) fn lock_names(&self) -> Result<Lock> {
        let file = open(&self.path().join("names.lock"))?;
        file.lock().context("flock(names.lock, LOCK_EX)")?;
        Ok(Lock(file))
    }
}

fn is_read_only(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::ReadOnlyFilesystem)
}

fn open(path: &Path) -> Result<File> {
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    file.with_context(|| format!("open({})", path.display()))
}
