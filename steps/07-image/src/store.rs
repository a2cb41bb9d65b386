//! The store: blobs by digest, layers unpacked once, images by name.
//!
//! It is an OCI image layout, which other tools can read, and beside it what is
//! unpacked:
//!
//! ```text
//! oci-layout, index.json     images by name and tag
//! blobs/sha256/HEX           manifests, configurations, layers as archives
//! layers/HEX/                a layer unpacked, by its chain id: a lower directory of overlayfs
//! containers/ID/             upper and work directory of a running container; locked while it lives
//! tmp/                       what is not finished; renamed once it is
//! lock                       shared by who adds, exclusive for who removes
//! ```

mod blob;
mod index;
mod lock;
mod temporary;

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::digest::Digest;
use crate::unpack::FreeSpace;

pub(crate) use blob::{LARGEST_DOCUMENT, WholeBlob};
pub(crate) use index::{Tagged, layout_index, manifest_descriptor};
pub(crate) use temporary::{Files, Temporary};

/// Where images are kept.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "store_options")]
pub struct StoreArgs {
    /// Where images are kept; by default /var/lib/kiste, without root
    /// $XDG_DATA_HOME/kiste
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl StoreArgs {
    /// The store, made where it is not there yet.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to somebody else.
    pub(crate) fn open(&self) -> Result<Store> {
        Store::open(&self.path()?)
    }

    /// The store, if there is one.
    ///
    /// # Errors
    /// When it belongs to somebody else, or is none.
    pub(crate) fn open_existing(&self) -> Result<Option<Store>> {
        let path = self.path()?;
        path.exists().then(|| Store::open(&path)).transpose()
    }

    fn path(&self) -> Result<PathBuf> {
        match &self.store {
            Some(path) => Ok(path.clone()),
            None => usual(),
        }
    }
}

fn usual() -> Result<PathBuf> {
    if geteuid().is_root() {
        return Ok("/var/lib/kiste".into());
    }
    let set = |name: &str| {
        std::env::var_os(name).filter(|value| Path::new(value).is_absolute())
    };
    let data = set("XDG_DATA_HOME").map(PathBuf::from);
    let data =
        data.or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share")));
    let none = || {
        Failure::new("neither XDG_DATA_HOME nor HOME says where images are kept")
            .hint("use --store DIR")
    };
    Ok(data.ok_or_else(none)?.join("kiste"))
}

/// OCI image specification, "oci-layout file".
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A store that is there.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    fn open(path: &Path) -> Result<Self> {
        let make = |path: &Path| {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
        };
        kit::call("the store, where images are kept", "mkdir", path.display(), || {
            make(path)
        })
        .hint_on(Errno::EACCES, "--store DIR chooses another place")
        .hint_on(Errno::EROFS, "--store DIR chooses another place")?;
        // By the whole path, since others are told of it, and we go elsewhere.
        let path = path
            .canonicalize()
            .with_context(|| format!("the store {}", path.display()))?;
        let found =
            path.metadata().with_context(|| format!("stat({})", path.display()))?;
        kit::ensure_private(&path, &found).hint(format_args!(
            "each user has a store of their own: leave --store out, or use sudo, or `chmod 700 {}`",
            path.display()
        ))?;
        let layout = path.join("oci-layout");
        let has_something =
            || fs::read_dir(&path).map(|mut entries| entries.next().is_some());
        // It comes first of all, and says that this is a store: gc removes what it does
        // not know, and a directory of somebody's must not become one.
        if has_something().with_context(|| format!("read {}", path.display()))?
            && !layout.exists()
        {
            let failure = Failure::new(format_args!(
                "{} is no store, and has something else in it",
                path.display()
            ));
            return Err(failure
                .hint("--store DIR names a store, or a directory that is new or empty")
                .into());
        }
        if !layout.exists() {
            fs::File::create(&layout)
                .with_context(|| format!("open({})", layout.display()))
                .hint(
                    "the store must be writable: --store DIR chooses another place",
                )?;
        }
        let store = Store { path };
        for below in ["blobs/sha256", "layers", "containers", "tmp"] {
            let below = store.path.join(below);
            if !below.is_dir() {
                make(&below)
                    .with_context(|| format!("mkdir({})", below.display()))
                    .hint(
                        "the store must be writable: --store DIR chooses another place",
                    )?;
            }
        }
        if fs::metadata(&layout)
            .with_context(|| format!("stat({})", layout.display()))?
            .len()
            == 0
        {
            store.write_whole(&layout, LAYOUT)?;
        }
        Ok(store)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a blob is, whether it is there or not.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// Where an unpacked layer is, by its chain id.
    pub(crate) fn layer(&self, chain_id: &Digest) -> PathBuf {
        self.path.join("layers").join(chain_id.hex())
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.path.join("containers")
    }

    /// What may still be written.
    pub(crate) fn room(&self) -> Result<FreeSpace> {
        let found = rustix::fs::statvfs(&self.path)
            .with_context(|| format!("statvfs({})", self.path.display()))?;
        // A twentieth is left to others.
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        // 0: this file system does not count its files (btrfs).
        let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
        Ok(FreeSpace { bytes: free - free / 20, files: files - files / 20 })
    }

    /// Writes a file so that it is there whole, or as it was.
    fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix("file-")
                .tempfile_in(self.path.join("tmp"))?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        kit::call("whole, or as it was", "rename", path.display(), write)
    }
}

/// Opens a directory, to work in it by its descriptor.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .with_context(|| format!("open({})", path.display()))
}
