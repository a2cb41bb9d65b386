//! The mount calls for overlayfs.

use std::path::Path;

use anyhow::{Context, Result};
use kit::Hint;
use mount::{Attributes, Detached, FsContext};
use nix::errno::Errno;
use nix::unistd::{chdir, fchdir};

/// The names of the upper and the work directory, in the directory that holds both.
pub(crate) const UPPER: &str = "upper";
pub(crate) const WORK: &str = "work";

/// Mounts an overlay of these layers, the highest first. The directory `upper` contains
/// the upper and the work directory. Each layer is an option of its own.
pub(super) fn mount_layers(layers: &[&Path], upper: Option<&Path>) -> Result<Detached> {
    Detached::configured(
        "overlay",
        format_args!("overlay, {} layers", layers.len()),
        Attributes::empty(),
        "the layers, one over the other",
        |context| {
            context.set("source", "kiste")?; // the name in mountinfo and df
            context.set_flag("userxattr")?;
            layers.iter().try_for_each(|layer| context.set("lowerdir+", *layer))?;
            if let Some(upper) = upper {
                context.set("upperdir", upper.join(UPPER))?;
                context.set("workdir", upper.join(WORK))?;
            }
            Ok(())
        },
    )
    .hint_on(
        Errno::EINVAL,
        "the upper directory cannot be on the store's file system: --store DIR on ext4, xfs, btrfs or tmpfs",
    )
}

/// Tells whether this kernel takes each layer by an option `lowerdir+`: Linux 6.8.
pub(crate) fn has_lowerdir_plus() -> Result<bool> {
    let context = FsContext::open("overlay").context("fsopen(overlay)")?;
    // Before Linux 6.5 the kernel takes every option, and checks all of them at the end.
    let checks_each = context.set("no-such-option", "").is_err();
    context.message();
    let is_known = match context.set("lowerdir+", "/") {
        Err(rustix::io::Errno::INVAL) => {
            let message = context.message().unwrap_or_default();
            !message.contains("Unknown parameter")
        }
        _ => true,
    };
    Ok(checks_each && is_known)
}

/// Does work in another working directory, and returns to the caller's: the command
/// line may have paths relative to it.
pub(super) fn in_directory<T>(
    enter: impl FnOnce() -> Result<()>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    // Root of a user namespace may have no access to the caller's directory.
    let caller_directory = kit::open_directory(Path::new(".")).ok();
    enter()?;
    let outcome = work();
    match caller_directory {
        Some(directory) => kit::call(
            "back where typed paths begin",
            "fchdir",
            "where we were",
            || fchdir(&directory),
        )?,
        None => kit::call("leave the layers' directory", "chdir", "/", || chdir("/"))?,
    }
    outcome
}
