//! The store: blobs by digest, each layer unpacked once, images by name.
//!
//! It is an OCI image layout, which other tools can read, with the unpacked layers
//! beside it:
//!
//! ```text
//! oci-layout, index.json     images by name and tag
//! blobs/sha256/HEX           manifests, configurations, layers as archives
//! layers/HEX/                an unpacked layer, by its chain id: a lower directory of overlayfs
//! complete/HEX               the record of a layer whose files are all on the disk
//! containers/ID/             upper and work directory of a container, and its container.json
//! tmp/                       unfinished directories, which are renamed to their place once they are complete
//! lock                       shared while something is added, exclusive while something is removed
//! names.lock                 exclusive while index.json or a document is written
//! ```

mod blob;
mod complete;
mod full_disk;
mod index;
mod lock;
mod temporary;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kit::{Failure, Hint};
use nix::errno::Errno;
use user::Helpers;

use crate::digest::Digest;
use crate::unpack::FreeSpace;

pub(crate) use complete::{LayerRecord, RECORDS};
pub(crate) use full_disk::{hint_if_disk_is_full, is_disk_full};
pub(crate) use index::{Index, TaggedImage, layout_index};
pub(crate) use temporary::Temporary;

/// The hint for a store that we cannot write to.
pub(crate) const NOT_WRITABLE: &str =
    "the store must be writable: --store DIR chooses another place";
/// The hint for a store that another user could exchange for another directory.
const PRIVATE_PARENTS: &str =
    "let --store be below directories that only root and you can write to";

/// OCI image specification, "oci-layout file".
pub(crate) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A store that exists.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
    helpers: Helpers,
}

impl Store {
    /// Opens the store in this directory, and creates it if it is not there.
    ///
    /// # Errors
    /// When it cannot be created, belongs to another user, or is a directory with other
    /// files.
    pub(crate) fn open(path: &Path, helpers: &Helpers) -> Result<Self> {
        kit::refuse_exchangeable(path).hint(PRIVATE_PARENTS)?;
        kit::call("the store, where images are kept", "mkdir", path.display(), || {
            create_directory(path)
        })
        .hint_on(Errno::EACCES, NOT_WRITABLE)
        .hint_on(Errno::EROFS, NOT_WRITABLE)?;
        // The path must be absolute: we change our working directory, and mountinfo and
        // `inspect` show it.
        let path = path
            .canonicalize()
            .with_context(|| format!("the store {}", path.display()))?;
        let found =
            path.metadata().with_context(|| format!("stat({})", path.display()))?;
        kit::ensure_private(&path, &found).hint(format_args!(
            "each user has a store of their own: leave --store out, or use sudo, or `chmod 700 {}`",
            path.display()
        ))?;
        kit::refuse_exchangeable(&path).hint(PRIVATE_PARENTS)?;
        let store = Store { path, helpers: helpers.clone() };
        store.create_missing_files().hint(NOT_WRITABLE)?;
        Ok(store)
    }

    /// Opens the store in this directory, if there is one.
    ///
    /// # Errors
    /// When it belongs to another user, or is not a store.
    pub(crate) fn open_existing(
        path: &Path,
        helpers: &Helpers,
    ) -> Result<Option<Self>> {
        path.exists().then(|| Store::open(path, helpers)).transpose()
    }

    /// Does work on the store's files, which have many owners, by [`user::as_root`].
    ///
    /// # Errors
    /// The error of the work, and the kernel's when it refuses the namespace.
    pub(crate) fn as_root(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        user::as_root(&self.helpers, work)
    }

    /// Returns the programs that map the ids of the files' owners.
    pub(crate) fn helpers(&self) -> &Helpers {
        &self.helpers
    }

    /// Creates the files and directories of a store. The file `oci-layout` comes first
    /// and marks the directory as a store. A directory with other files never becomes a
    /// store, since `gc` removes all files that it does not know.
    fn create_missing_files(&self) -> Result<()> {
        let (path, layout) = (self.path(), self.path().join("oci-layout"));
        let mut entries =
            fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        ensure!(
            entries.next().is_none() || layout.exists(),
            Failure::new(format_args!(
                "{} is not a store of images, and is not empty",
                path.display()
            ))
            .hint("--store DIR names a store, or a directory that is new or empty")
        );
        if !layout.exists() {
            fs::File::options()
                .create(true)
                .append(true)
                .open(&layout)
                .with_context(|| format!("open({})", layout.display()))?;
        }
        for name in ["blobs", "blobs/sha256", "layers", "containers", "tmp"] {
            let path = path.join(name);
            if !is_directory(&path)? {
                create_directory(&path)
                    .with_context(|| format!("mkdir({})", path.display()))?;
            }
        }
        is_directory(&path.join(RECORDS))?; // stores of older versions have none
        let is_empty = || fs::metadata(&layout).is_ok_and(|found| found.len() == 0);
        if is_empty() {
            let _names = self.lock_names()?;
            if is_empty() {
                self.write_first_index()?;
                self.write_document(&layout, LAYOUT)?;
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a blob, whether the store has it or not.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.path.join(digest.blob_path())
    }

    /// Returns the path of an unpacked layer, by its chain id.
    pub(crate) fn layer(&self, chain_id: &Digest) -> PathBuf {
        self.path.join("layers").join(chain_id.hex())
    }

    /// Returns the directory in which each container has its own.
    pub(crate) fn containers(&self) -> PathBuf {
        self.path.join("containers")
    }

    /// Returns how much may be written: the free space, except a twentieth that is left
    /// to other programs.
    pub(crate) fn free_space(&self) -> Result<FreeSpace> {
        let found = rustix::fs::statvfs(&self.path)
            .with_context(|| format!("statvfs({})", self.path.display()))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        // 0: this file system does not count its files (btrfs).
        let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
        Ok(FreeSpace { bytes: free - free / 20, files: files - files / 20 })
    }

    /// Writes a document, under the lock of the names. A reader sees the old content or
    /// the new one, never a part.
    fn write_document(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let why = "written beside it, then renamed";
        hint_if_disk_is_full(kit::call(why, "rename", path.display(), || {
            kit::write_atomically(path, bytes, 0o600, kit::Durability::PowerCut)
        }))
    }
}

fn create_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Tells whether a directory of the store exists.
///
/// # Errors
/// When it is no directory: if it were a symbolic link, `gc` would remove all files that
/// it does not know from a directory elsewhere.
fn is_directory(path: &Path) -> Result<bool> {
    let what = || path.display().to_string();
    match kit::if_exists(path.symlink_metadata()).with_context(what)? {
        None => Ok(false),
        Some(found) if found.is_dir() => Ok(true),
        Some(_) => Err(Failure::new(format_args!("{}: it is no directory", what()))
            .hint("the store is damaged, and nothing is removed: see what it is")
            .into()),
    }
}

/// Opens a directory for reading: its entries are looked up by the descriptor.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .with_context(|| format!("open({})", path.display()))
}
