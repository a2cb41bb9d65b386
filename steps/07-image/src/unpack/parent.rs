//! The directory that an entry goes into. Entries of one directory mostly come one
//! after the other, so the last one is kept open; and what is made in it must not
//! change its times.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use kit::Failure;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timestamps, fchmod, fstat, futimens,
    mkdirat, openat2, statat,
};
use rustix::io::Errno;

use super::put::{NO_OWNER, times_of};
use super::whiteout;
use super::{MOST_IMPLIED, Tree, place};

/// A directory in which entries are being made.
pub(super) struct Parent {
    pub(super) path: Vec<u8>,
    pub(super) directory: OwnedFd,
    times: Timestamps,
}

const FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Tree<'_> {
    /// Opens the directory of this path, and makes it where it is missing.
    pub(super) fn enter_parent(&mut self, path: &[u8]) -> Result<()> {
        if self.parent.as_ref().is_some_and(|parent| parent.path == path) {
            return Ok(());
        }
        self.leave_parent()?;
        let directory = match self.open(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_all(path)?,
            opened => opened.map_err(|reason| refused(path, reason))?,
        };
        let times = times_of(&fstat(&directory).context("fstat(a directory)")?);
        self.parent = Some(Parent { path: path.to_vec(), directory, times });
        Ok(())
    }

    /// Gives the directory back the times that it had.
    pub(super) fn leave_parent(&mut self) -> Result<()> {
        let Some(parent) = self.parent.take() else { return Ok(()) };
        futimens(&parent.directory, &parent.times).context("utimensat(a directory)")
    }

    /// The parent that was entered last.
    pub(super) fn parent(&self) -> &OwnedFd {
        self.parent.as_ref().map_or(self.root, |parent| &parent.directory)
    }

    /// Opens a directory below the top, whatever links there are: none is followed.
    pub(super) fn open(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        open_beneath(self.root, path)
    }

    /// Makes what is missing of a path: the archive does not list it, or only later.
    fn make_all(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut above = self.open(b"").context("open(the top)")?;
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(index, _)| index);
        for end in ends.chain([path.len()]) {
            let (so_far, name) = (&path[..end], place::name(&path[..end]));
            let before = times_of(&fstat(&above).context("fstat(a directory)")?);
            let next = match self.open(so_far) {
                Ok(next) => next,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    self.make_implied(&above, name, so_far)?;
                    futimens(&above, &before).context("utimensat(a directory)")?;
                    self.open(so_far).map_err(|reason| refused(so_far, reason))?
                }
                Err(reason) => return Err(refused(so_far, reason)),
            };
            above = next;
        }
        Ok(above)
    }

    fn make_implied(
        &mut self,
        above: &OwnedFd,
        name: &OsStr,
        path: &[u8],
    ) -> Result<()> {
        let mut hides = false;
        if let Ok(found) = statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
            // What an earlier entry took away from below is there anew, without what
            // was in it.
            hides = whiteout::is_whiteout(&found);
            if !hides {
                let what =
                    if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
                        "a link"
                    } else {
                        "no directory"
                    };
                let above = crate::archive::shown(path);
                return Err(
                    Failure::new(format_args!("{above} above it is {what}")).into()
                );
            }
            place::remove(above, name)?;
        }
        mkdirat(above, name, Mode::from(0o755))
            .context("mkdirat(a directory above it)")?;
        if self.unpacked.implied.len() >= MOST_IMPLIED {
            return Err(Failure::new(
                "the archive leaves out more than 100,000 directories",
            )
            .into());
        }
        self.unpacked.implied.insert(path.to_vec());
        let made = self.open(path).context("open(a directory above it)")?;
        // Whatever the caller's umask.
        fchmod(&made, Mode::from(0o755)).context("fchmod(a directory above it)")?;
        super::put::chown(&made, 0, 0)
            .or_else(|error| if error == NO_OWNER { Ok(()) } else { Err(error) })
            .context("fchown")?;
        if hides { whiteout::set_opaque(&made) } else { Ok(()) }
    }
}

/// Opens a directory below another, whatever links there are: none is followed.
pub(crate) fn open_beneath(top: &OwnedFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let path = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
    loop {
        match openat2(top, path, FLAGS | OFlags::RDONLY, Mode::empty(), how) {
            // openat2(2): something was renamed while it was looked up; nothing is
            // wrong.
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
}

fn refused(path: &[u8], reason: Errno) -> anyhow::Error {
    let above = crate::archive::shown(path);
    match reason {
        Errno::LOOP => Failure::new(format_args!("{above} above it is a link"))
            .hint("an archive that writes through its own links wants to write elsewhere: refused")
            .into(),
        reason => anyhow::Error::from(reason).context(format!("open({above})")),
    }
}
