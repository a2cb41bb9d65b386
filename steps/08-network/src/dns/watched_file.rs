//! A file whose parsed content is kept, and read again when the file has changed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, openat, statat};

/// A file in a directory that stays open, and the value that was last parsed from it.
#[derive(Debug)]
pub(crate) struct WatchedFile<T> {
    directory: OwnedFd,
    name: OsString,
    /// The file's inode, size and time when it was read. None: it has not been read, or
    /// is missing.
    version: Option<(u64, i64, i64, u64)>,
    value: T,
}

/// The most that is read of a file, in bytes; 65536 leases take 16 MiB.
const MAX_SIZE: u64 = 32 << 20;

impl<T: Default> WatchedFile<T> {
    pub(crate) fn new(directory: OwnedFd, name: impl Into<OsString>) -> Self {
        WatchedFile { directory, name: name.into(), version: None, value: T::default() }
    }

    /// Returns the file's value, and parses the file before that if it has changed. A
    /// missing file has the default value. A file that cannot be parsed leaves the
    /// previous value, and is parsed again the next time.
    pub(crate) fn get(
        &mut self,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> io::Result<&T> {
        let status = match statat(&self.directory, &self.name, AtFlags::empty()) {
            Ok(status) => status,
            Err(rustix::io::Errno::NOENT) => {
                (self.version, self.value) = (None, T::default());
                return Ok(&self.value);
            }
            Err(error) => return Err(error.into()),
        };
        let version =
            (status.st_ino, status.st_size, status.st_mtime, status.st_mtime_nsec);
        if self.version == Some(version) {
            return Ok(&self.value);
        }
        if let Some(value) = parse(&self.read()?) {
            self.value = value;
            // File times have the resolution of the kernel's tick: a second write in
            // the same tick leaves the same time.
            self.version = is_older_than_a_tick(&status).then_some(version);
        }
        Ok(&self.value)
    }

    fn read(&self) -> io::Result<String> {
        // With O_NONBLOCK, the open of a FIFO does not wait for a writer (fifo(7)).
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.directory, &self.name, flags, Mode::empty())?;
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            let why = "it is no regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut text = String::new();
        file.take(MAX_SIZE).read_to_string(&mut text)?;
        Ok(text)
    }
}

fn is_older_than_a_tick(status: &Stat) -> bool {
    const TICK: Duration = Duration::from_millis(20);
    let seconds = status.st_mtime.max(0).unsigned_abs();
    let changed = Duration::new(seconds, status.st_mtime_nsec as u32);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(changed).is_some_and(|age| age > TICK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_changed_file_is_read_again_and_a_half_written_one_is_ignored() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path();
        let opened: OwnedFd = File::open(directory).unwrap().into();
        let mut watched = WatchedFile::new(opened, "file");
        let mut get = || *watched.get(|text| text.trim().parse::<u32>().ok()).unwrap();
        assert_eq!(get(), 0);
        fs::write(directory.join("file"), "1").unwrap();
        assert_eq!(get(), 1);
        fs::write(directory.join("file"), "2").unwrap();
        assert_eq!(get(), 2, "of the same size, in the same tick");
        fs::write(directory.join("file"), "{").unwrap();
        assert_eq!(get(), 2);
        fs::write(directory.join("new"), "3").unwrap();
        fs::rename(directory.join("new"), directory.join("file")).unwrap();
        assert_eq!(get(), 3);
        fs::remove_dir_all(directory).unwrap();
        assert_eq!(get(), 0);
    }

    #[test]
    fn a_fifo_in_its_place_is_an_error_and_is_not_waited_for() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("file");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let opened: OwnedFd = File::open(temporary.path()).unwrap().into();
        let mut watched = WatchedFile::<u32>::new(opened, "file");
        let error = watched.get(|text| text.parse().ok()).unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "1").unwrap();
        assert_eq!(*watched.get(|text| text.parse().ok()).unwrap(), 1);
    }
}
