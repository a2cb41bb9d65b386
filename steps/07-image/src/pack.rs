//! Packs a directory into an archive: a container's upper directory as a layer, or a
//! whole root file system.

mod entry;
mod left_out;

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kit::Failure;

use crate::archive::{ArchiveWriter, EntryKind};
use crate::attributes;
use crate::limits::LONGEST_NAME;
use crate::store::open_directory;
use crate::unpack::{OPAQUE_WHITEOUT, WHITEOUT_PREFIX, is_opaque, open_beneath};
use entry::{is_whiteout, kind, make_entry};
use left_out::LeftOut;

/// The purpose of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PackAs {
    /// A layer: overlayfs's whiteouts become `.wh.` files.
    Layer,
    /// A root file system: whiteouts are left out.
    RootFs,
}

/// Packs everything in a directory but what is `excluded`, sorted by name, and returns
/// the output. Warns of files that an archive cannot have.
///
/// # Errors
/// A file is larger than `largest`, in bytes, or changes meanwhile.
pub(crate) fn pack<W: Write>(
    top: &Path,
    pack_as: PackAs,
    excluded: &BTreeSet<PathBuf>,
    largest: u64,
    output: W,
) -> Result<W> {
    let mut packer = Packer {
        archive: ArchiveWriter::new(output),
        top: open_directory(top)?,
        pack_as,
        excluded,
        largest,
        first_names: HashMap::new(),
        left_out: LeftOut::default(),
    };
    packer.add_all()?;
    packer.left_out.warn();
    packer.archive.finish()
}

struct Packer<'a, W> {
    archive: ArchiveWriter<W>,
    top: OwnedFd,
    pack_as: PackAs,
    excluded: &'a BTreeSet<PathBuf>,
    largest: u64,
    /// The first name of each file that has several, by device and inode.
    first_names: HashMap<(u64, u64), PathBuf>,
    left_out: LeftOut,
}

/// Whether a directory has been added, with files that are to be added as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    Directory,
    Other,
}

impl<W: Write> Packer<'_, W> {
    /// Adds everything in the directory. It does not recurse, and has one directory open
    /// at once: a container may make them deeper than our stack, with paths that no
    /// call takes.
    fn add_all(&mut self) -> Result<()> {
        let mut path = PathBuf::new();
        let mut here = self.open(&path)?;
        self.add(&path, &here, OsStr::new("."))?;
        // The names that are left in each directory on the way.
        let mut on_the_way = vec![read_names(&here, &path)?];
        while let Some(names) = on_the_way.last_mut() {
            let Some(name) = names.next() else {
                on_the_way.pop();
                if path.pop() {
                    here = self.open(&path)?;
                }
                continue;
            };
            path.push(&name);
            if self.excluded.contains(&path) {
                path.pop();
            } else if self.add(&path, &here, &name)? == Added::Directory {
                here = self.open(&path)?;
                on_the_way.push(read_names(&here, &path)?);
            } else {
                path.pop();
            }
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<OwnedFd> {
        open_beneath(&self.top, path.as_os_str().as_bytes())
            .with_context(|| format!("open({})", shown(path)))
    }

    /// Adds the file or directory of this name. `path` is its path from the top.
    fn add(&mut self, path: &Path, here: &OwnedFd, name: &OsStr) -> Result<Added> {
        // No call takes an open directory, a name and an attribute.
        let full = format!("/proc/self/fd/{}", here.as_raw_fd());
        let full = Path::new(&full).join(name);
        let found = fs::symlink_metadata(&full)
            .with_context(|| format!("lstat({})", shown(path)))?;
        let is_named_as_whiteout =
            name.as_bytes().starts_with(WHITEOUT_PREFIX.as_bytes());
        match self.pack_as {
            _ if path.as_os_str().len() >= LONGEST_NAME => {
                self.left_out.too_long.add(|| shown(path));
            }
            PackAs::Layer if is_whiteout(&found) => {
                let name = [OsStr::new(WHITEOUT_PREFIX), name].join(OsStr::new(""));
                self.add_whiteout(&path.with_file_name(name), &found)?;
            }
            // In an image of one layer, a whiteout hides nothing.
            PackAs::RootFs if is_whiteout(&found) => {}
            PackAs::Layer if is_named_as_whiteout => {
                self.left_out.named_as_whiteouts.add(|| shown(path));
            }
            _ if found.is_dir() => {
                self.add_directory(path, &full, &found)?;
                return Ok(Added::Directory);
            }
            _ => self.add_file(path, &full, &found)?,
        }
        Ok(Added::Other)
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
            File::open(full).with_context(|| format!("open({})", shown(path)))?;
        if self.pack_as == PackAs::Layer && is_opaque(&directory) {
            self.add_whiteout(&path.join(OPAQUE_WHITEOUT), found)?;
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path, full: &Path, found: &Metadata) -> Result<()> {
        let Some(kind) = kind(full, found)? else { return Ok(()) };
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
        let mut entry = make_entry(kind, path, found);
        entry.attributes = attributes::of_path(full.as_os_str())?;
        if entry.kind != EntryKind::File {
            return self.archive.write_entry(&entry, io::empty());
        }
        entry.size = found.len();
        ensure!(
            entry.size <= self.largest,
            Failure::new(format_args!(
                "{}: it has {} bytes, holes included",
                shown(path),
                entry.size
            ))
            .hint("an archive has no holes, and there is no room for that")
        );
        let file =
            File::open(full).with_context(|| format!("open({})", shown(path)))?;
        self.archive.write_entry(&entry, file).with_context(|| shown(path))
    }

    fn add_whiteout(&mut self, path: &Path, found: &Metadata) -> Result<()> {
        if path.as_os_str().len() >= LONGEST_NAME {
            self.left_out.too_long.add(|| shown(path));
            return Ok(());
        }
        let mut entry = make_entry(EntryKind::File, path, found);
        (entry.mode, entry.mtime.1) = (0, 0);
        self.archive.write_entry(&entry, io::empty())
    }
}

/// Reads the names in a directory, in order.
fn read_names(here: &OwnedFd, path: &Path) -> Result<std::vec::IntoIter<OsString>> {
    let read = || format!("read {}", shown(path));
    let names = fs::read_dir(format!("/proc/self/fd/{}", here.as_raw_fd()))
        .with_context(read)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>();
    let mut names = names.with_context(read)?;
    names.sort();
    Ok(names.into_iter())
}

/// Returns a path as the container sees it, for errors.
fn shown(path: &Path) -> String {
    crate::archive::shown(Path::new("/").join(path).as_os_str().as_bytes())
}
