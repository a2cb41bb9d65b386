//! A directory whose files are found by its descriptor. The path is looked up once:
//! whatever it leads to later does not matter.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, fchmod, mkdirat, openat, renameat, unlinkat,
};

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    file: File,
    /// Its path when it was opened, for messages and for the DNS responder.
    path: PathBuf,
}

impl Directory {
    /// Wraps an open directory.
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        Directory { file, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory in this one. None: there is no directory of this name; a
    /// symbolic link is none.
    pub(crate) fn open(&self, name: &OsStr) -> io::Result<Option<Self>> {
        let flags =
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.file, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            file => {
                Ok(Some(Directory { file: file?.into(), path: self.path.join(name) }))
            }
        }
    }

    /// Creates a directory in this one, unless it exists, and opens it.
    pub(crate) fn create(&self, name: &OsStr, mode: u32) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(mode);
        let is_new = match mkdirat(&self.file, name, mode) {
            Err(rustix::io::Errno::EXIST) => false,
            made => made.map(|()| true)?,
        };
        let directory = self.open(name)?.ok_or(io::ErrorKind::NotADirectory)?;
        if is_new {
            fchmod(&directory.file, mode)?; // the umask has cleared bits of the mode
        }
        Ok(directory)
    }

    /// Lists the names in the directory.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.file)? {
            names.push(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned());
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    /// Renames a file in the directory.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.file, from, &self.file, to)?)
    }

    /// Removes a file from the directory, if it exists. A symbolic link is removed, not
    /// its target.
    pub(crate) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        let removed = unlinkat(&self.file, name, AtFlags::empty());
        kit::if_exists(removed.map_err(io::Error::from)).map(drop)
    }

    /// Removes an empty directory from the directory, if it exists.
    pub(crate) fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        let removed = unlinkat(&self.file, name, AtFlags::REMOVEDIR);
        kit::if_exists(removed.map_err(io::Error::from)).map(drop)
    }
}

impl kit::Outcome for Directory {}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
