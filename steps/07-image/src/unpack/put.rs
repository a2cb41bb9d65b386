//! One entry, made with all its attributes.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, Result};
use kit::Failure;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
    chmodat, chownat, fchmod, fchown, fsetxattr, fstat, ftruncate, futimens, linkat,
    lsetxattr, makedev, mkdirat, mknodat, openat, symlinkat, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::whiteout::{self, Name};
use super::{Tree, place};
use crate::archive::{Entry, Kind, Segment};

/// chown(2): EINVAL for an id that is not mapped into the user namespace.
pub(super) const NO_OWNER: Errno = Errno::INVAL;

/// How much is copied at once.
const BLOCK: usize = 128 * 1024;

impl Tree<'_> {
    /// Makes what an entry asks for.
    pub(super) fn put(&mut self, entry: &Entry, data: &mut impl Read) -> Result<()> {
        self.budget.spend_file()?;
        self.budget.spend(
            entry.attributes.iter().map(|(_, value)| value.len() as u64).sum(),
        )?;
        let path = place::normal(&entry.path)?;
        let (above, name) = place::split(&path);
        if path.is_empty() {
            return self.put_top(entry);
        }
        // A directory may be the very one whose times are being kept.
        if self.parent.as_ref().is_some_and(|parent| parent.path == path) {
            self.leave_parent()?;
        }
        if above.split(|byte| *byte == b'/').any(|part| part.starts_with(b".wh.")) {
            return Err(Failure::new("it lies below a whiteout").into());
        }
        self.enter_parent(above)?;
        match whiteout::meaning(name) {
            Name::Plain => {}
            Name::Gone(hidden) => return self.hide(hidden),
            Name::Opaque => return whiteout::set_opaque(self.parent()),
            Name::Ignored => return Ok(()),
            Name::Malformed => {
                return Err(Failure::new("it is a whiteout of nothing").into());
            }
        }
        match &entry.kind {
            Kind::Directory => self.put_directory(entry, name, &path),
            Kind::File => self.put_file(entry, name, data),
            Kind::HardLink(target) => self.put_hard_link(target, name),
            _ => self.put_node(entry, name),
        }
    }

    fn put_top(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Failure::new("the top of a layer is a directory").into());
        }
        self.leave_parent()?;
        self.has_top = true;
        let top = self.open(b"").context("open(the top)")?;
        self.dress(&top, entry)
    }

    fn put_directory(
        &mut self,
        entry: &Entry,
        name: &OsStr,
        path: &[u8],
    ) -> Result<()> {
        let make = |tree: &Self| mkdirat(tree.parent(), name, Mode::from(0o700));
        let mut hides = false;
        match make(self) {
            Err(Errno::EXIST) if self.is_directory(name) => {
                self.unpacked.implied.remove(path);
            }
            Err(Errno::EXIST) => {
                hides = self.make_room(name)?;
                make(self).context("mkdirat")?;
            }
            made => made.context("mkdirat")?,
        }
        let directory = self.open(path).context("open(the directory)")?;
        if hides {
            whiteout::set_opaque(&directory)?;
        }
        self.dress(&directory, entry)
    }

    fn is_directory(&self, name: &OsStr) -> bool {
        let found = rustix::fs::statat(self.parent(), name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| {
            FileType::from_raw_mode(found.st_mode) == FileType::Directory
        })
    }

    fn put_file(
        &mut self,
        entry: &Entry,
        name: &OsStr,
        data: &mut impl Read,
    ) -> Result<()> {
        // EXCL: never a file that is there already, of which another name may be
        // outside.
        let flags = OFlags::CREATE
            | OFlags::EXCL
            | OFlags::WRONLY
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let make = |tree: &Self| openat(tree.parent(), name, flags, Mode::from(0o600));
        let file = match make(self) {
            Err(Errno::EXIST) => {
                self.make_room(name)?;
                make(self)
            }
            made => made,
        }
        .context("openat")?;
        match &entry.segments {
            None => {
                self.copy(data, &file, Segment { offset: 0, length: entry.size })?
            }
            Some((segments, whole)) => {
                ftruncate(&file, *whole).context("ftruncate")?;
                segments
                    .iter()
                    .try_for_each(|segment| self.copy(data, &file, *segment))?;
            }
        }
        self.dress(&file, entry)
    }

    /// Copies data to where it belongs in a file.
    fn copy(
        &mut self,
        data: &mut impl Read,
        file: &OwnedFd,
        segment: Segment,
    ) -> Result<()> {
        let Segment { mut offset, length } = segment;
        let mut left = length;
        let mut block = vec![0; BLOCK.min(usize::try_from(length).unwrap_or(BLOCK))];
        while left > 0 {
            let most = block.len().min(usize::try_from(left).unwrap_or(BLOCK));
            let count = data.read(&mut block[..most]).context("read the archive")?;
            if count == 0 {
                return Err(Failure::new("it has less data than it says").into());
            }
            self.budget.spend(count as u64)?;
            let mut rest = &block[..count];
            while !rest.is_empty() {
                let written = pwrite(file, rest, offset).context("write")?;
                rest = &rest[written..];
                offset += written as u64;
            }
            left -= count as u64;
        }
        self.unpacked.bytes += length;
        Ok(())
    }

    fn put_hard_link(&mut self, target: &[u8], name: &OsStr) -> Result<()> {
        let shown = || format!("its target {}", crate::archive::shown(target));
        let target = place::normal(target).with_context(shown)?;
        let (above, target_name) = place::split(&target);
        let directory = self.open(above).map_err(|reason| match reason {
            Errno::LOOP => Failure::new("there is a link above it").into(),
            reason => anyhow::Error::from(reason),
        });
        let directory = directory.with_context(shown)?;
        let link = |tree: &Self| {
            linkat(&directory, target_name, tree.parent(), name, AtFlags::empty())
        };
        match link(self) {
            Err(Errno::EXIST)
                if self.parent.as_ref().is_some_and(|it| it.path == above)
                    && target_name == name =>
            {
                Ok(())
            }
            Err(Errno::EXIST) => {
                self.make_room(name)?;
                link(self).with_context(shown)
            }
            linked => linked.with_context(shown),
        }
    }

    /// A link, a FIFO or a device: what has no data, and is not opened.
    fn put_node(&mut self, entry: &Entry, name: &OsStr) -> Result<()> {
        let make = |tree: &Self| match &entry.kind {
            Kind::SymbolicLink(target) => {
                symlinkat(OsStr::from_bytes(target), tree.parent(), name)
            }
            kind => {
                let (file_type, device) = node(kind);
                mknodat(tree.parent(), name, file_type, Mode::from(0o600), device)
            }
        };
        if matches!(entry.kind, Kind::CharacterDevice(0, 0)) {
            return Err(Failure::new(
                "a device 0:0 means to overlayfs that something is gone",
            )
            .into());
        }
        let made = match make(self) {
            Err(Errno::EXIST) => {
                self.make_room(name)?;
                make(self)
            }
            made => made,
        };
        match made {
            // user_namespaces(7): only root of the host may make devices.
            Err(Errno::PERM)
                if matches!(
                    entry.kind,
                    Kind::CharacterDevice(..) | Kind::BlockDevice(..)
                ) =>
            {
                self.unpacked
                    .left_out
                    .devices
                    .add(|| crate::archive::shown(&entry.path));
                return Ok(());
            }
            made => made.context("make it")?,
        }
        self.dress_node(entry, name)
    }

    /// Owner, attributes, mode and times, in this order: each changes what comes before
    /// it here.
    fn dress(&mut self, file: &OwnedFd, entry: &Entry) -> Result<()> {
        match chown(file, entry.uid, entry.gid) {
            Err(NO_OWNER) => self.without_owner(entry),
            done => done.context("fchown")?,
        }
        for (name, value) in &entry.attributes {
            // chown(2) takes file capabilities away, so they come after it.
            let set = |name: &OsStr| fsetxattr(file, name, value, XattrFlags::empty());
            self.set_attribute(entry, name, set)?;
        }
        fchmod(file, Mode::from(entry.mode)).context("fchmod")?;
        futimens(file, &times(entry)).context("utimensat")
    }

    /// The same, of what cannot be opened.
    fn dress_node(&mut self, entry: &Entry, name: &OsStr) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        match chownat(
            self.parent(),
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Err(NO_OWNER) => self.without_owner(entry),
            done => done.context("fchownat")?,
        }
        for (attribute, value) in &entry.attributes {
            // proc(5): by the parent's descriptor; the name is of our own making.
            let mut path =
                format!("/proc/self/fd/{}/", self.parent().as_raw_fd()).into_bytes();
            path.extend(name.as_bytes());
            let set = |attribute: &OsStr| {
                lsetxattr(
                    OsStr::from_bytes(&path),
                    attribute,
                    value,
                    XattrFlags::empty(),
                )
            };
            self.set_attribute(entry, attribute, set)?;
        }
        if !matches!(entry.kind, Kind::SymbolicLink(_)) {
            chmodat(self.parent(), name, Mode::from(entry.mode), AtFlags::empty())
                .context("fchmodat")?;
        }
        utimensat(self.parent(), name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .context("utimensat")
    }

    fn set_attribute(
        &mut self,
        entry: &Entry,
        name: &[u8],
        set: impl FnOnce(&OsStr) -> rustix::io::Result<()>,
    ) -> Result<()> {
        let shown = || {
            format!(
                "{} of {}",
                crate::archive::shown(name),
                crate::archive::shown(&entry.path)
            )
        };
        // What is overlayfs's own would say what the layers below show.
        if crate::attributes::is_overlayfs(name) {
            self.unpacked.left_out.attributes.add(shown);
            return Ok(());
        }
        match set(&std::ffi::OsString::from_vec(name.to_vec())) {
            // xattr(7): not to be had without root, or on this file system.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => {
                self.unpacked.left_out.attributes.add(shown);
                Ok(())
            }
            done => done.with_context(|| {
                format!("setxattr({})", String::from_utf8_lossy(name))
            }),
        }
    }

    fn without_owner(&mut self, entry: &Entry) {
        let shown = || {
            format!(
                "{} of {}:{}",
                crate::archive::shown(&entry.path),
                entry.uid,
                entry.gid
            )
        };
        self.unpacked.left_out.owners.add(shown);
    }
}

fn node(kind: &Kind) -> (FileType, u64) {
    match kind {
        Kind::CharacterDevice(major, minor) => {
            (FileType::CharacterDevice, makedev(*major, *minor))
        }
        Kind::BlockDevice(major, minor) => {
            (FileType::BlockDevice, makedev(*major, *minor))
        }
        _ => (FileType::Fifo, 0),
    }
}

pub(super) fn chown(file: &OwnedFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn times(entry: &Entry) -> Timestamps {
    let (seconds, nanoseconds) = entry.mtime;
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn times_of(found: &Stat) -> Timestamps {
    let (accessed, modified) = (
        time_of(found.st_atime, found.st_atime_nsec),
        time_of(found.st_mtime, found.st_mtime_nsec),
    );
    Timestamps { last_access: accessed, last_modification: modified }
}

pub(crate) fn time_of(seconds: i64, nanoseconds: u64) -> Timespec {
    Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() }
}

/// Makes a directory like another: owner, mode, times and attributes, but for
/// overlayfs's own.
pub(crate) fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let found = fstat(from).context("fstat(a directory)")?;
    chown(to, found.st_uid, found.st_gid).context("fchown(a directory)")?;
    for (name, value) in crate::attributes::of(from.as_fd())? {
        fsetxattr(to, OsStr::from_bytes(&name), &value, XattrFlags::empty())
            .context("fsetxattr(a directory)")?;
    }
    fchmod(to, Mode::from_raw_mode(found.st_mode & 0o7777))
        .context("fchmod(a directory)")?;
    futimens(to, &times_of(&found)).context("utimensat(a directory)")
}
