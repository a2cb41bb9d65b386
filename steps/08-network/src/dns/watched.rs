//! A file that is read again when it has changed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, openat, statat};

/// A file in a directory that is held open, and what was last read from it.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    directory: OwnedFd,
    name: OsString,
    /// As it was when it was read: inode, size, time. None: it has not been read, or is
    /// not there.
    seen: Option<(u64, i64, i64, u64)>,
    value: T,
}

/// No file that we read is nearly as long, in bytes: 65536 leases are 16 MiB.
const LONGEST: u64 = 32 << 20;

impl<T: Default> Watched<T> {
    pub(crate) fn new(directory: OwnedFd, name: impl Into<OsString>) -> Self {
        Watched { directory, name: name.into(), seen: None, value: T::default() }
    }

    /// What is in the file now. A file that is gone is empty; one that cannot be read
    /// or understood leaves what there was, and is tried again.
    pub(crate) fn get(
        &mut self,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> io::Result<&T> {
        let now = match statat(&self.directory, &self.name, AtFlags::empty()) {
            Ok(status) => status,
            Err(rustix::io::Errno::NOENT) => {
                (self.seen, self.value) = (None, T::default());
                return Ok(&self.value);
            }
            Err(error) => return Err(error.into()),
        };
        let identity = (now.st_ino, now.st_size, now.st_mtime, now.st_mtime_nsec);
        if self.seen == Some(identity) {
            return Ok(&self.value);
        }
        if let Some(value) = parse(&self.read()?) {
            self.value = value;
            // The kernel's clock for files has ticks: one written in this tick may be
            // written again.
            self.seen = is_older_than_a_tick(&now).then_some(identity);
        }
        Ok(&self.value)
    }

    fn read(&self) -> io::Result<String> {
        let file = openat(
            &self.directory,
            &self.name,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut text = String::new();
        File::from(file).take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    }
}

fn is_older_than_a_tick(status: &Stat) -> bool {
    const TICK: Duration = Duration::from_millis(20);
    let changed = Duration::new(
        status.st_mtime.max(0).unsigned_abs(),
        status.st_mtime_nsec as u32,
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(changed).is_some_and(|age| age > TICK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_written_in_its_place_is_read_and_what_is_half_written_is_not() {
        let directory =
            std::env::temp_dir().join(format!("kiste-watched-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let opened: OwnedFd = File::open(&directory).unwrap().into();
        let mut watched = Watched::new(opened, "file");
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
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(get(), 0);
    }
}
