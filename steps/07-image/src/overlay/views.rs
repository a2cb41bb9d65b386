//! An overlay of bind mounts. They are needed to map the layers' owners (idmapped mounts),
//! and on kernels that take all layers as one option.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kit::{Failure, Hint};
use mount::{Detached, Recursion};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::unistd::fchdir;
use rustix::fs::{Mode, OFlags, mkdirat};

use super::calls::{UPPER, WORK, has_lowerdir_plus, in_directory, mount_layers};

/// Bind mounts of an overlay's directories, which are not attached anywhere yet.
#[derive(Debug)]
pub(crate) struct OverlayViews {
    /// The highest layer first.
    layers: Vec<Detached>,
    upper: Option<Detached>,
}

impl OverlayViews {
    /// Makes a view of each layer, the highest first, and of the directory that holds
    /// the upper and the work directory.
    pub(super) fn new(layers: &[PathBuf], upper: Option<PathBuf>) -> Result<Self> {
        let bind = |path: &PathBuf| Detached::bind(path, Recursion::Alone);
        Ok(OverlayViews {
            layers: layers.iter().map(bind).collect::<Result<_>>()?,
            upper: upper.as_ref().map(bind).transpose()?,
        })
    }

    /// Returns all views.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Detached> {
        self.layers.iter().chain(&self.upper)
    }

    /// Mounts the overlay, in the current mount namespace.
    pub(crate) fn mount(&self) -> Result<Detached> {
        ensure!(!self.layers.is_empty(), Failure::new("an image without a layer"));
        let scaffold = self.attach_to_scaffold()?;
        let enter = || {
            kit::call("short names for the layers", "fchdir", "the scaffold", || {
                fchdir(&scaffold)
            })
        };
        in_directory(enter, || {
            let overlay = self.mount_in_scaffold();
            // Overlayfs keeps views of its own. A scaffold that stays mounted on the
            // host's `/` would cover it after pivot_root(2), and be unmounted instead
            // of it.
            kit::call("take the scaffold away", "umount2", "., MNT_DETACH", || {
                umount2(".", MntFlags::MNT_DETACH)
            })?;
            overlay
        })
    }

    /// Attaches the views to directories 0, 1, 2 and so on of a tmpfs. Unlike the store's
    /// path, these names are short, and have no `:` or `,`.
    fn attach_to_scaffold(&self) -> Result<OwnedFd> {
        let options = [("mode", "700")];
        let why = "short names for the layers";
        let tmpfs = Detached::new("tmpfs", &options, mount::NOSUID_NODEV_NOEXEC, why)?;
        tmpfs.attach(&mount::host_root()?, "/")?;
        let top = tmpfs
            .as_fd()
            .try_clone_to_owned()
            .context("fcntl(the scaffold, F_DUPFD_CLOEXEC)")?;
        for (name, layer) in self.layer_names().iter().zip(&self.layers) {
            attach(&top, name, layer)?;
        }
        if let Some(upper) = &self.upper {
            attach(&top, UPPER_VIEW, upper)?;
        }
        mkdirat(&top, MERGED, Mode::from(0o700)).context("mkdirat(merged)")?;
        Ok(top)
    }

    fn layer_names(&self) -> Vec<String> {
        (0..self.layers.len()).map(|number| number.to_string()).collect()
    }

    /// Mounts the overlay by the names in the scaffold, which is the current directory.
    fn mount_in_scaffold(&self) -> Result<Detached> {
        let layers = self.layer_names();
        let upper = self.upper.as_ref().map(|_| Path::new(UPPER_VIEW));
        if has_lowerdir_plus()? {
            let layers: Vec<&Path> = layers.iter().map(Path::new).collect();
            return mount_layers(&layers, upper);
        }
        let mut options = format!("userxattr,lowerdir={}", layers.join(":"));
        if self.upper.is_some() {
            options +=
                &format!(",upperdir={UPPER_VIEW}/{UPPER},workdir={UPPER_VIEW}/{WORK}");
        }
        kit::call(
            "the layers, one over the other",
            "mount",
            format_args!("overlay, {options}"),
            || {
                let (source, kind) = (Some("kiste"), Some("overlay"));
                let (flags, options) = (MsFlags::empty(), Some(options.as_str()));
                nix::mount::mount(source, MERGED, kind, flags, options)
            },
        )
        .hint_on(
            Errno::EINVAL,
            "the kernel's log (dmesg) has overlayfs's own message",
        )?;
        Detached::bind(Path::new(MERGED), Recursion::Alone)
    }
}

/// The scaffold's directories for the view of the upper directory, and for the overlay.
const UPPER_VIEW: &str = "above";
const MERGED: &str = "merged";

/// Attaches a view to a new directory of the scaffold.
fn attach(scaffold: &OwnedFd, name: &str, view: &Detached) -> Result<()> {
    mkdirat(scaffold, name, Mode::from(0o700))
        .with_context(|| format!("mkdirat({name})"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(scaffold, name, flags, Mode::empty())
        .with_context(|| format!("openat({name})"))?;
    view.attach(&target, name)
}
