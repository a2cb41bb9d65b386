//! Creates an entry: a directory, link or device. Files are in `file.rs`.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use rustix::fs::{
    AtFlags, FileType, Mode, linkat, makedev, mkdirat, mknodat, statat, symlinkat,
};
use rustix::io::Errno;

use super::open::open_beneath;
use super::whiteout::{EntryName, WHITEOUT_PREFIX, is_whiteout, set_opaque};
use super::{Unpacker, aufs, path, remove};
use crate::archive::{Entry, EntryKind, shown};

impl Unpacker<'_> {
    /// Creates what an entry describes, with its data and metadata.
    pub(super) fn create_entry(
        &mut self,
        entry: &Entry,
        data: &mut impl Read,
    ) -> Result<()> {
        self.budget.spend_file()?;
        self.budget.spend_bytes(
            entry.attributes.iter().map(|(_, value)| value.len() as u64).sum(),
        )?;
        let path = path::normalize(&entry.path)?;
        if entry.path.starts_with(b"/") {
            self.unpacked.left_out.absolute.add(|| shown(&entry.path));
        }
        let (above, name) = path::split(&path);
        if path.is_empty() {
            return self.set_top(entry);
        }
        // This entry sets the times of the open parent. To close the parent later would
        // overwrite them.
        if self.parent.as_ref().is_some_and(|parent| parent.path == path) {
            self.close_parent()?;
        }
        let entry_name = match aufs::entry_name(&path, &entry.kind) {
            Some(entry_name) => entry_name,
            None => EntryName::parse(name),
        };
        let mut parts = above.split(|byte| *byte == b'/');
        let is_below_whiteout =
            parts.any(|part| part.starts_with(WHITEOUT_PREFIX.as_bytes()));
        match entry_name {
            EntryName::Ignored => return Ok(()),
            EntryName::AufsLink => self.has_aufs_links = true,
            _ if is_below_whiteout => bail!(Failure::new("it lies below a whiteout")),
            EntryName::Malformed => {
                bail!(Failure::new("it is a whiteout without a name"));
            }
            EntryName::Plain => {}
            EntryName::Whiteout(_) | EntryName::OpaqueWhiteout => {
                if self.is_replaced(above)? {
                    return Ok(());
                }
            }
        }
        self.open_parent(above)?;
        match entry_name {
            EntryName::Whiteout(hidden) => return self.hide(hidden),
            EntryName::OpaqueWhiteout => return set_opaque(self.parent()),
            _ => {}
        }
        match &entry.kind {
            EntryKind::Directory => self.create_directory(entry, name, &path),
            EntryKind::File => self.create_file(entry, name, data),
            EntryKind::HardLink(target) => self.create_hard_link(target, name),
            _ => self.create_node(entry, name),
        }
    }

    /// Applies the metadata of an entry to the layer's top.
    fn set_top(&mut self, entry: &Entry) -> Result<()> {
        ensure!(
            entry.kind == EntryKind::Directory,
            Failure::new("the top of a layer is a directory")
        );
        self.close_parent()?;
        self.lists_top = true;
        self.apply_metadata(OsStr::new("."), entry)
    }

    fn create_directory(
        &mut self,
        entry: &Entry,
        name: &OsStr,
        path: &[u8],
    ) -> Result<()> {
        let create = |unpacker: &Self| {
            mkdirat(unpacker.parent(), name, Mode::from(0o700)).context("mkdirat")
        };
        match statat(self.parent(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => create(self)?,
            found => {
                let found = found.context("fstatat")?;
                if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
                    remove::remove(self.parent(), name)?;
                    create(self)?;
                }
                if is_whiteout(&found) {
                    let directory = open_beneath(self.top, path);
                    set_opaque(&directory.context("open(the directory)")?)?;
                }
            }
        }
        self.unpacked.implied.remove(path);
        self.apply_metadata(name, entry)
    }

    fn create_hard_link(&mut self, target: &[u8], name: &OsStr) -> Result<()> {
        let context = || format!("its target {}", shown(target));
        let target = path::normalize(target).with_context(context)?;
        let (above, target_name) = path::split(&target);
        let directory = match open_beneath(self.top, above) {
            Err(Errno::LOOP) => {
                Err(Failure::new("there is a symbolic link above it").into())
            }
            opened => opened.map_err(anyhow::Error::from),
        };
        let directory = directory.with_context(context)?;
        let link = |parent: &OwnedFd| {
            linkat(&directory, target_name, parent, name, AtFlags::empty())
        };
        // A link to itself must not be replaced.
        let is_itself = target_name == name
            && self.parent.as_ref().is_some_and(|parent| parent.path == above);
        match link(self.parent()) {
            Err(Errno::EXIST) if is_itself => Ok(()),
            Err(Errno::EXIST) => self.replace(name, link)?.with_context(context),
            linked => linked.with_context(context),
        }
    }

    /// Creates a symbolic link, a FIFO or a device.
    fn create_node(&mut self, entry: &Entry, name: &OsStr) -> Result<()> {
        use EntryKind::{BlockDevice, CharacterDevice};
        ensure!(
            entry.kind != CharacterDevice(0, 0),
            Failure::new("overlayfs takes a device 0:0 for a whiteout")
        );
        let created = self.replace(name, |parent| {
            let (file_type, device) = match &entry.kind {
                EntryKind::SymbolicLink(target) => {
                    return symlinkat(OsStr::from_bytes(target), parent, name);
                }
                CharacterDevice(major, minor) => {
                    (FileType::CharacterDevice, makedev(*major, *minor))
                }
                BlockDevice(major, minor) => {
                    (FileType::BlockDevice, makedev(*major, *minor))
                }
                _ => (FileType::Fifo, 0),
            };
            mknodat(parent, name, file_type, Mode::from(0o600), device)
        })?;
        // user_namespaces(7): only root of the host may make devices.
        let is_device = matches!(entry.kind, CharacterDevice(..) | BlockDevice(..));
        if is_device && created == Err(Errno::PERM) {
            self.unpacked.left_out.devices.add(|| shown(&entry.path));
            return Ok(());
        }
        created.context("make it")?;
        self.apply_metadata(name, entry)
    }

    /// Creates a file in the parent directory, and removes the file of this name that an
    /// earlier entry has created.
    pub(super) fn replace<T>(
        &self,
        name: &OsStr,
        create: impl Fn(&OwnedFd) -> rustix::io::Result<T>,
    ) -> Result<rustix::io::Result<T>> {
        match create(self.parent()) {
            Err(Errno::EXIST) => {
                remove::remove(self.parent(), name)?;
                Ok(create(self.parent()))
            }
            created => Ok(created),
        }
    }
}
