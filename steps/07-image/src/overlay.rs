//! Mounts layers one over the other: kernel documentation, "Overlay Filesystem".
//!
//! The kernel writes to the upper directory alone; the layers below never change. Root of
//! a user namespace may mount an overlay as well: with the option `userxattr`, the
//! attribute of opaque directories is in the `user.` namespace.

mod calls;
mod views;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kit::Failure;
use mount::Detached;
use nix::unistd::chdir;
use user::Helpers;

use crate::image::Image;
use crate::store::{Store, open_directory};
use crate::unpack::{copy_metadata, is_opaque};
use calls::{WORK, in_directory, mount_layers};

pub(crate) use calls::{UPPER, has_lowerdir_plus};
pub(crate) use views::OverlayViews;

/// The directories of an overlay.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    /// A directory that contains all the others. Their paths are relative to it, since
    /// the kernel limits the length of options, and splits some at `:` and `,`.
    pub(crate) base: PathBuf,
    /// The layers, the lowest first.
    pub(crate) layers: Vec<PathBuf>,
    /// The directory with `upper` and `work`; None for a read-only overlay.
    pub(crate) upper: Option<PathBuf>,
}

impl Overlay {
    /// Returns the overlay of an image. `upper` is the directory of a container of the
    /// store, with `upper` and `work`.
    ///
    /// # Errors
    /// When a layer of the image is not in the store.
    pub(crate) fn new(
        store: &Store,
        image: &Image,
        upper: Option<&Path>,
    ) -> Result<Self> {
        let chain = image.chain_ids()?;
        for layer in &chain {
            ensure!(
                store.layer(layer).is_dir(),
                Failure::new(format_args!(
                    "image {}: its layer {layer} is not in the store",
                    image.tagged.display_name()
                ))
                .hint("`load` it again")
            );
        }
        let layers =
            chain.iter().map(|id| Path::new("layers").join(id.hex())).collect();
        let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
        let upper = upper.map(|path| Path::new("containers").join(name(path)));
        Ok(Overlay { base: store.path().into(), layers, upper })
    }

    // ANCHOR: mount
    /// Mounts the overlay, without attaching it to a directory.
    ///
    /// # Errors
    /// The kernel's, from the mount calls; overlayfs's own message is the hint.
    // Task 7.4: the highest layer first, each as an option of its own.
    pub(crate) fn mount(&self) -> Result<Detached> {
        // Linux 6.8 has `lowerdir+`. An older kernel takes all layers as one option, of
        // one page at most.
        if !has_lowerdir_plus()? {
            return self.views()?.mount();
        }
        let base = self.base.display();
        let enter = || {
            kit::call("short names for the layers", "chdir", base, || chdir(&self.base))
        };
        in_directory(enter, || mount_layers(&self.visible(), self.upper.as_deref()))
    }
    // ANCHOR_END: mount

    /// Returns the visible layers, the highest first. A layer whose top directory is
    /// opaque hides all layers below; overlayfs itself does not check the top
    /// directory.
    pub(crate) fn visible(&self) -> Vec<&Path> {
        let mut visible = Vec::new();
        for layer in self.layers.iter().rev() {
            visible.push(layer.as_path());
            if open_directory(&self.base.join(layer)).is_ok_and(|top| is_opaque(&top)) {
                break;
            }
        }
        visible
    }

    /// Makes a view of each directory, so that its owners can be mapped before the
    /// overlay of the views is mounted.
    pub(crate) fn views(&self) -> Result<OverlayViews> {
        let layers: Vec<PathBuf> =
            self.visible().into_iter().map(|layer| self.base.join(layer)).collect();
        let upper = self.upper.as_ref().map(|upper| self.base.join(upper));
        OverlayViews::new(&layers, upper)
    }
}

/// Creates the upper and the work directory in a container's directory. The upper one
/// gets the metadata of the highest layer's top, since the container sees it as `/`.
pub(crate) fn make_upper(
    container: &Path,
    highest: &Path,
    helpers: &Helpers,
) -> Result<()> {
    for name in [UPPER, WORK] {
        let path = container.join(name);
        fs::create_dir(&path).with_context(|| format!("mkdir({})", path.display()))?;
    }
    let copy = || {
        copy_metadata(
            &open_directory(highest)?,
            &open_directory(&container.join(UPPER))?,
        )
    };
    // Only root of the user namespace may read and set some owners.
    copy().or_else(|_| user::as_root(helpers, copy))
}
