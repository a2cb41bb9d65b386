//! Packs a directory into an archive: a container's upper directory as a layer, or a
//! whole root file system.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use rustix::fs::{major, minor};

use crate::archive::{ArchiveWriter, Entry, EntryKind};
use crate::attributes;
use crate::unpack::{OPAQUE_WHITEOUT, WHITEOUT_PREFIX, is_opaque};

/// The purpose of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PackAs {
    /// A layer: overlayfs's whiteouts become `.wh.` files.
    Layer,
    /// A root file system: whiteouts are left out.
    RootFs,
}

/// Packs everything in a directory but what is `left_out`, sorted by name, and returns
/// the output.
///
/// # Errors
/// A file is larger than `largest`, in bytes, or changes meanwhile.
pub(crate) fn pack<W: Write>(
    top: &Path,
    pack_as: PackAs,
    left_out: &BTreeSet<PathBuf>,
    largest: u64,
    output: W,
) -> Result<W> {
    let (archive, first_names) = (ArchiveWriter::new(output), HashMap::new());
    let mut packer = Packer { archive, top, pack_as, left_out, largest, first_names };
    packer.add(Path::new(""))?;
    packer.archive.finish()
}

struct Packer<'a, W> {
    archive: ArchiveWriter<W>,
    top: &'a Path,
    pack_as: PackAs,
    left_out: &'a BTreeSet<PathBuf>,
    largest: u64,
    /// The first name of each file that has several, by device and inode.
    first_names: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<'_, W> {
    /// Adds the file or directory at this path, and everything below it.
    fn add(&mut self, path: &Path) -> Result<()> {
        if self.left_out.contains(path) {
            return Ok(());
        }
        let full = self.top.join(path);
        let found = fs::symlink_metadata(&full)
            .with_context(|| format!("lstat({})", full.display()))?;
        let name = path.file_name().unwrap_or_default();
        match self.pack_as {
            PackAs::Layer if is_whiteout(&found) => {
                let name = [OsStr::new(WHITEOUT_PREFIX), name].join(OsStr::new(""));
                self.add_whiteout(&path.with_file_name(name), &found)
            }
            // In an image of one layer, a whiteout hides nothing.
            PackAs::RootFs if is_whiteout(&found) => Ok(()),
            PackAs::Layer if name.as_bytes().starts_with(WHITEOUT_PREFIX.as_bytes()) => bail!(
                Failure::new(format_args!(
                    "/{}: a layer cannot keep a file of this name",
                    path.display()
                ))
                .hint("names that begin with .wh. are whiteouts in layers: rename or remove it")
            ),
            _ if found.is_dir() => self.add_directory(path, &full, &found),
            _ => self.add_file(path, &full, &found),
        }
    }

    fn add_directory(
        &mut self,
        path: &Path,
        full: &Path,
        found: &Metadata,
    ) -> Result<()> {
        let mut entry = make_entry(EntryKind::Directory, path, found);
        entry.attributes = attributes::of_path(full.as_os_str())?;
        if path.as_os_str().is_empty() {
            entry.path = b".".to_vec();
        }
        entry.path.push(b'/');
        self.archive.write_entry(&entry, io::empty())?;
        let directory =
            File::open(full).with_context(|| format!("open({})", full.display()))?;
        if self.pack_as == PackAs::Layer && is_opaque(&directory) {
            self.add_whiteout(&path.join(OPAQUE_WHITEOUT), found)?;
        }
        let read = || format!("read {}", full.display());
        let mut names: Vec<_> = fs::read_dir(full)
            .with_context(read)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()
            .with_context(read)?;
        names.sort();
        names.iter().try_for_each(|name| self.add(&path.join(name)))
    }

    fn add_file(&mut self, path: &Path, full: &Path, found: &Metadata) -> Result<()> {
        if found.nlink() > 1 {
            let id = (found.dev(), found.ino());
            if let Some(first) = self.first_names.get(&id) {
                let kind = EntryKind::HardLink(first.as_os_str().as_bytes().into());
                return self
                    .archive
                    .write_entry(&make_entry(kind, path, found), io::empty());
            }
            self.first_names.insert(id, path.into());
        }
        let Some(kind) = kind(full, found)? else { return Ok(()) };
        let mut entry = make_entry(kind, path, found);
        entry.attributes = attributes::of_path(full.as_os_str())?;
        if entry.kind != EntryKind::File {
            return self.archive.write_entry(&entry, io::empty());
        }
        entry.size = found.len();
        ensure!(
            entry.size <= self.largest,
            Failure::new(format_args!(
                "/{}: it has {} bytes, holes included",
                path.display(),
                entry.size
            ))
            .hint("an archive has no holes, and there is no room for that")
        );
        let file =
            File::open(full).with_context(|| format!("open({})", full.display()))?;
        self.archive
            .write_entry(&entry, file)
            .with_context(|| full.display().to_string())
    }

    fn add_whiteout(&mut self, path: &Path, found: &Metadata) -> Result<()> {
        let mut entry = make_entry(EntryKind::File, path, found);
        (entry.mode, entry.mtime.1) = (0, 0);
        self.archive.write_entry(&entry, io::empty())
    }
}

/// Returns the kind of a file that is not a directory; None for a socket, on which no
/// process listens any more.
fn kind(full: &Path, found: &Metadata) -> Result<Option<EntryKind>> {
    let (file_type, device) = (found.file_type(), found.rdev());
    Ok(Some(match file_type {
        _ if file_type.is_file() => EntryKind::File,
        _ if file_type.is_symlink() => {
            let target = fs::read_link(full).context("readlink")?;
            EntryKind::SymbolicLink(target.as_os_str().as_bytes().into())
        }
        _ if file_type.is_char_device() => {
            EntryKind::CharacterDevice(major(device), minor(device))
        }
        _ if file_type.is_block_device() => {
            EntryKind::BlockDevice(major(device), minor(device))
        }
        _ if file_type.is_fifo() => EntryKind::Fifo,
        _ => return Ok(None),
    }))
}

/// Makes an entry without data and attributes.
fn make_entry(kind: EntryKind, path: &Path, found: &Metadata) -> Entry {
    Entry {
        uid: found.uid(),
        gid: found.gid(),
        mode: found.mode() & 0o7777,
        mtime: (found.mtime(), u32::try_from(found.mtime_nsec()).unwrap_or(0)),
        ..Entry::new(kind, path.as_os_str().as_bytes())
    }
}

fn is_whiteout(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == 0
}
