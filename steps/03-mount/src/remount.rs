//! Changes of a mount that is there already: `remount`, or only a propagation.

use std::os::fd::AsFd;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;

use crate::attributes::{Attributes, Recursion};
use crate::change::NO_MOUNT_POINT;
use crate::detached::Detached;
use crate::fs_context::FsContext;
use crate::mount_options::MountOptions;

/// Changes the attributes of a mount, and without `bind` also the options of its file
/// system.
pub(crate) fn change(mount: &Detached, options: &MountOptions) -> Result<()> {
    let has_own_options = !options.data.is_empty() || !options.superblock.is_empty();
    if options.is_remount && options.bind.is_none() && has_own_options {
        reconfigure(mount, options)?;
    }
    mount
        .set_attributes(options.attributes, Recursion::Alone)
        .hint_on(Errno::EINVAL, NO_MOUNT_POINT)
}

fn reconfigure(mount: &Detached, options: &MountOptions) -> Result<()> {
    let read_only = options.attributes.set.contains(Attributes::MOUNT_ATTR_RDONLY);
    let mut message = None;
    let words = options.data.join(", ");
    let operands = format_args!("{}, {words}", mount.name());
    let changed =
        kit::call("other options for its file system", "fsconfig", operands, || {
            let context = FsContext::pick(mount.as_fd())?;
            let set = || {
                let words = options.data.iter().map(String::as_str);
                words
                    .chain(read_only.then_some("ro"))
                    .try_for_each(|word| context.set_word(word))?;
                options
                    .superblock
                    .iter()
                    .try_for_each(|name| context.set_flag(name))?;
                context.reconfigure()
            };
            set().inspect_err(|_: &rustix::io::Errno| message = context.message())
        });
    match message {
        Some(message) => changed.hint(message),
        None => changed,
    }
    .hint_on(Errno::EINVAL, NO_MOUNT_POINT)
}
