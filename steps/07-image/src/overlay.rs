//! Layers, one over the other: overlayfs. See the kernel's documentation, "Overlay
//! Filesystem".
//!
//! What is written goes to the upper directory; the layers below are never changed.
//! Whoever is root of a user namespace may mount it, too, with the attribute of opaque
//! directories in `user.` (`userxattr`).

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Hint;
use mount::{Attributes, Detached, Recursion};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::unistd::{chdir, fchdir};
use rustix::fs::{Mode, OFlags, mkdirat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use crate::store::open_directory;
use crate::unpack::{copy_attributes, is_opaque};

/// What an overlay is made of, below one directory.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    /// The directory that holds all: the paths below are relative to it, since the
    /// kernel takes no longer ones, and splits some of them at `:` and `,`.
    pub(crate) base: PathBuf,
    /// The lowest first.
    pub(crate) layers: Vec<PathBuf>,
    /// What holds `upper` and `work`; None for a view that cannot be written.
    pub(crate) upper: Option<PathBuf>,
}

/// The names of the upper and the work directory.
pub(crate) const UPPER: &str = "upper";
pub(crate) const WORK: &str = "work";

impl Overlay {
    // ANCHOR: mount
    /// Mounts it, nowhere yet.
    ///
    /// # Errors
    /// What the kernel says of the mount calls, and what overlayfs says of its options.
    // Task 7.4: the highest layer first, each by an option of its own.
    pub(crate) fn mount(&self) -> Result<Detached> {
        // Linux 6.8 has `lowerdir+`. Before, all layers are one option, of one page at
        // most.
        if !has_lowerdir_plus()? {
            return mount_views(
                &self.views()?,
                self.upper.as_ref().map_or(Top::Layer, |_| Top::Upper),
            );
        }
        let upper =
            self.upper.as_ref().map(|upper| (upper.join(UPPER), upper.join(WORK)));
        let names = || {
            kit::call(
                "short names for the layers",
                "chdir",
                self.base.display(),
                || chdir(&self.base),
            )
        };
        from(names, || by_one_option_each(&self.shown(), upper.as_ref()))
    }
    // ANCHOR_END: mount

    /// The layers that show, the highest first, up to one that hides all below:
    /// overlayfs itself does not ask the top of a layer whether it is opaque.
    pub(crate) fn shown(&self) -> Vec<&Path> {
        let mut shown = Vec::new();
        for layer in self.layers.iter().rev() {
            shown.push(layer.as_path());
            if open_directory(&self.base.join(layer)).is_ok_and(|top| is_opaque(&top)) {
                break;
            }
        }
        shown
    }

    /// Views of the layers and of what is above, to be shown with other owners, and
    /// then mounted by [`mount_views`]. The highest layer first; what is above comes
    /// last.
    pub(crate) fn views(&self) -> Result<Vec<Detached>> {
        let layers = self.shown().into_iter();
        layers
            .chain(self.upper.as_deref())
            .map(|path| Detached::bind(&self.base.join(path), Recursion::Alone))
            .collect()
    }
}

/// What the last of some views is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Top {
    /// It holds the upper and the work directory.
    Upper,
    /// A layer like the others.
    Layer,
}

/// Mounts the views that [`Overlay::views`] has made, in the mount namespace that we
/// are in.
pub(crate) fn mount_views(views: &[Detached], top: Top) -> Result<Detached> {
    let (layers, upper) =
        match views.split_last().context("an image without a layer")? {
            (upper, layers) if top == Top::Upper => (layers, Some(upper)),
            _ => (views, None),
        };
    let scaffold = Scaffold::build(layers, upper)?;
    let names = || {
        kit::call("short names for the layers", "fchdir", "the scaffold", || {
            fchdir(&scaffold.top)
        })
    };
    from(names, || {
        let overlay = scaffold.mount();
        // Overlayfs has views of its own. What stayed on the host's root here would be
        // on top of it when pivot_root(2) has made way, and would be taken off in its
        // place.
        kit::call("take the scaffold away", "umount2", "., MNT_DETACH", || {
            umount2(".", MntFlags::MNT_DETACH)
        })?;
        overlay
    })
}

/// Works in another directory, and comes back: paths that were typed begin here.
fn from<T>(
    there: impl FnOnce() -> Result<()>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Root of a user namespace may not be able to reach where the caller is.
    let here = rustix::fs::open(".", flags, Mode::empty()).ok();
    there()?;
    let outcome = work();
    match here {
        Some(here) => kit::call(
            "back where typed paths begin",
            "fchdir",
            "where we were",
            || fchdir(&here),
        )?,
        None => kit::call("leave the layers' directory", "chdir", "/", || chdir("/"))?,
    }
    outcome
}

fn by_one_option_each(
    layers: &[&Path],
    upper: Option<&(PathBuf, PathBuf)>,
) -> Result<Detached> {
    let mut said = String::new();
    let shown = format!("overlay, {} layers", layers.len());
    let mount = kit::call("the layers, one over the other", "fsmount", shown, || {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        configure(context.as_fd(), layers, upper)
            .inspect_err(|_| said = mount::complaint(&context))?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, Attributes::empty())
    });
    let mount = if said.is_empty() { mount } else { mount.hint(said) };
    let mount = mount.hint_on(Errno::ENODEV, "this kernel has no overlayfs: modprobe overlay").hint_on(
        Errno::EINVAL,
        "the store's file system cannot be the upper one: --store DIR on ext4, xfs, btrfs or tmpfs",
    )?;
    Ok(Detached::made(mount, "overlay"))
}

fn configure(
    context: std::os::fd::BorrowedFd<'_>,
    layers: &[&Path],
    upper: Option<&(PathBuf, PathBuf)>,
) -> rustix::io::Result<()> {
    // what mountinfo and df show first
    fsconfig_set_string(context, "source", "kiste")?;
    fsconfig_set_flag(context, "userxattr")?;
    layers
        .iter()
        .try_for_each(|layer| fsconfig_set_string(context, "lowerdir+", *layer))?;
    if let Some((upper, work)) = upper {
        fsconfig_set_string(context, "upperdir", upper)?;
        fsconfig_set_string(context, "workdir", work)?;
    }
    fsconfig_create(context)
}

/// Whether this kernel takes layers one by one.
pub(crate) fn has_lowerdir_plus() -> Result<bool> {
    let context =
        fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen(overlay)")?;
    // Before Linux 6.5 all options are taken, and looked at when all are there.
    let looks_at_each =
        fsconfig_set_string(context.as_fd(), "no-such-option", "").is_err();
    let _ = mount::complaint(&context);
    let is_taken = match fsconfig_set_string(context.as_fd(), "lowerdir+", "/") {
        Err(rustix::io::Errno::INVAL) => {
            !mount::complaint(&context).contains("Unknown parameter")
        }
        _ => true,
    };
    Ok(looks_at_each && is_taken)
}

/// A small file system in memory with the layers mounted in it as 0, 1, 2 and so on:
/// names that are short, and have no `:` or `,`, whatever the store is called.
struct Scaffold {
    top: OwnedFd,
    layers: usize,
    has_upper: bool,
}

/// Where in it what is above is mounted, and where the overlay.
const ABOVE: &str = "above";
const MERGED: &str = "merged";

impl Scaffold {
    fn build(layers: &[Detached], upper: Option<&Detached>) -> Result<Self> {
        let options = [("mode", "700")];
        let why = "short names for the layers";
        let tmpfs = Detached::new("tmpfs", &options, mount::NOSUID_NODEV_NOEXEC, why)?;
        tmpfs.attach(&mount::host_root()?, "/")?;
        let top = tmpfs
            .as_fd()
            .try_clone_to_owned()
            .context("fcntl(the scaffold, F_DUPFD_CLOEXEC)")?;
        for (number, layer) in layers.iter().enumerate() {
            place(&top, &number.to_string(), layer)?;
        }
        upper.map_or(Ok(()), |upper| place(&top, ABOVE, upper))?;
        mkdirat(&top, MERGED, Mode::from(0o700)).context("mkdirat(merged)")?;
        Ok(Scaffold { top, layers: layers.len(), has_upper: upper.is_some() })
    }

    /// Mounts the overlay, by names in it, where we are.
    fn mount(&self) -> Result<Detached> {
        let layers: Vec<String> =
            (0..self.layers).map(|number| number.to_string()).collect();
        let upper = self
            .has_upper
            .then(|| (Path::new(ABOVE).join(UPPER), Path::new(ABOVE).join(WORK)));
        if has_lowerdir_plus()? {
            let layers: Vec<&Path> = layers.iter().map(Path::new).collect();
            return by_one_option_each(&layers, upper.as_ref());
        }
        let mut options = format!("userxattr,lowerdir={}", layers.join(":"));
        if let Some((upper, work)) = upper {
            options +=
                &format!(",upperdir={},workdir={}", upper.display(), work.display());
        }
        kit::call(
            "the layers, one over the other",
            "mount",
            format_args!("overlay, {options}"),
            || {
                nix::mount::mount(
                    Some("kiste"),
                    MERGED,
                    Some("overlay"),
                    MsFlags::empty(),
                    Some(options.as_str()),
                )
            },
        )
        .hint_on(
            Errno::EINVAL,
            "the kernel's log (dmesg) says what overlayfs does not like",
        )?;
        Detached::bind(Path::new(MERGED), Recursion::Alone)
    }
}

fn place(top: &OwnedFd, name: &str, mount: &Detached) -> Result<()> {
    mkdirat(top, name, Mode::from(0o700))
        .with_context(|| format!("mkdirat({name})"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(top, name, flags, Mode::empty());
    let target = target.with_context(|| format!("openat({name})"))?;
    mount.attach(&target, name)
}

/// Makes the directories that hold what a container writes; the upper one is like the
/// highest layer's top, since that is what the container sees as `/`.
pub(crate) fn make_upper(container: &Path, like: &Path) -> Result<()> {
    for name in [UPPER, WORK] {
        let path = container.join(name);
        fs::create_dir(&path).with_context(|| format!("mkdir({})", path.display()))?;
    }
    let dress = || {
        copy_attributes(
            &open_directory(like)?,
            &open_directory(&container.join(UPPER))?,
        )
    };
    // Its owner may be one of those whose files only root of a user namespace can read
    // and make.
    dress().or_else(|_| user::as_root(dress))
}
