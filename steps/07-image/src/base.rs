//! The root file system of a container: a directory, or the layers of an image with a
//! layer of its own on top.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use exec::Command;
use kit::{Failure, FailureKind, Hint, RunDir, interrupt};
use mount::inside::{self, TargetKind};
use mount::{Detached, Request};
use nix::sys::signal::Signal;
use pivot_root::{Root, RootView, Rootfs};
use user::{Account, Helpers, Ids, User};

use crate::collect::remove_stale;
use crate::commit::commit;
use crate::container::Container;
use crate::image::Image;
use crate::made_mount_points::mount_points;
use crate::overlay::{Overlay, OverlayViews};
use crate::reference::{ImageName, Reference};
use crate::run_config::RunConfig;
use crate::source::architecture;
use crate::store::Store;

/// The exit code for a command that was not found.
const NOT_FOUND: u8 = 127;

/// An image to run.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// The directory of the store.
    pub store: PathBuf,
    /// The programs that map the caller's subordinate ids, which own the files.
    pub helpers: Helpers,
    /// The image's name or id.
    pub name: ImageName,
    /// The program to run instead of the image's own; an empty name runs none.
    pub entrypoint: Option<OsString>,
    /// The name of a new image, which keeps the files that the container has written.
    pub commit: Option<Reference>,
}

/// The root file system that a container is made of.
#[derive(Debug)]
pub struct Base {
    rootfs: Rootfs,
    /// A view of the directory, if this is one and its owners are mapped.
    view: Option<RootView>,
    /// The view of the directory that the child opens, if the child will have other
    /// ids.
    own_view: OnceCell<RootView>,
    /// The image; None for a directory.
    layered: Option<Layered>,
    config: RunConfig,
}

#[derive(Debug)]
struct Layered {
    store: Store,
    image: Image,
    container: Container,
    overlay: Overlay,
    /// If the owners are mapped: views of the layers and of the container's own
    /// directory, which the parent makes.
    views: Option<OverlayViews>,
    commit: Option<Reference>,
}

impl Base {
    /// Finds the image and makes an upper directory for the container; without an
    /// image, takes the directory of `rootfs`. The runtime's own mount points among
    /// `requests` are no changes of the container.
    ///
    /// # Errors
    /// When there is no such image or directory.
    pub fn create(
        image: Option<&ImageOptions>,
        rootfs: &Rootfs,
        requests: &[Request],
        ids: &Ids,
        run_dir: &RunDir,
    ) -> Result<Self> {
        let rootfs = rootfs.clone();
        let Some(options) = image else {
            let (view, config) = (ids.root_view(&rootfs)?, RunConfig::default());
            let own_view = OnceCell::new();
            return Ok(Base { rootfs, view, own_view, layered: None, config });
        };
        let store = Store::open(&options.store, &options.helpers)?;
        // Nothing that the container uses is removed before its note is written.
        let _shared = store.lock_shared()?;
        if let Err(error) = remove_stale(&store) {
            interrupt::check()?;
            kit::warn_error("the files of an earlier run stay", &error);
        }
        let image = Image::find(&store, &options.name)?;
        let config = image.configuration.config().as_ref().map(RunConfig::parse);
        let mut config = config.transpose()?.unwrap_or_default();
        if let Some(program) = &options.entrypoint {
            config.replace_entrypoint(program);
        }
        warn_of_another_architecture(&image);
        let mount_points = mount_points(requests);
        let container = Container::create(&store, run_dir, &image, mount_points)?;
        let overlay = Overlay::new(&store, &image, Some(container.path()))?;
        let views = ids.needs_idmapped_mounts().then(|| overlay.views()).transpose()?;
        let commit = options.commit.clone();
        let layered = Layered { store, image, container, overlay, views, commit };
        let (view, own_view) = (None, OnceCell::new());
        Ok(Base { rootfs, view, own_view, layered: Some(layered), config })
    }

    /// Returns the mounts whose owners are to be mapped into the container's user
    /// namespace.
    pub fn views(&self) -> impl Iterator<Item = &Detached> {
        let layers = self.layered.iter().flat_map(|layered| &layered.views);
        let layers = layers.flat_map(OverlayViews::iter);
        self.view.iter().map(RootView::detached).chain(layers)
    }

    /// In the child, before it enters its user namespace: opens the directory, if this
    /// is one, with the caller's rights.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn open_in_child(&self, ids: &Ids) -> Result<()> {
        if self.layered.is_none()
            && let Some(view) = ids.root_view_in_child(&self.rootfs)?
        {
            self.own_view.get_or_init(|| view);
        }
        Ok(())
    }

    // ANCHOR: mount
    /// In the child: mounts the root file system.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(&self, requests: &[Request]) -> Result<Root> {
        let Some(layered) = &self.layered else {
            let view = self.view.as_ref().or(self.own_view.get());
            return user::open_root(view, &self.rootfs, requests);
        };
        let overlay = match &layered.views {
            Some(views) => views.mount()?,
            None => layered.overlay.mount()?,
        };
        let view = RootView::new(overlay, layered.image.tagged.display_name());
        self.make_directories(view.as_fd())?;
        Root::from_view(&view, self.rootfs.access, requests)
    }
    // ANCHOR_END: mount

    /// Makes the working directory of the image and those of its volumes, as Docker
    /// does.
    fn make_directories(&self, root: BorrowedFd<'_>) -> Result<()> {
        let make = |path: &PathBuf, field| {
            inside::make(root, path, TargetKind::Directory)
                .with_context(|| format!("{field} of the image"))
        };
        let RunConfig { command, volumes, .. } = &self.config;
        volumes.iter().try_for_each(|path| make(path, "Volumes"))?;
        command.workdir.iter().try_for_each(|path| make(path, "WorkingDir"))
    }

    /// In the child: returns the account of the user that was asked for, or else of the
    /// image's user.
    ///
    /// # Errors
    /// When the root file system has no such name, or the user namespace no such id.
    pub fn account(
        &self,
        asked: Option<&User>,
        root: BorrowedFd<'_>,
        ids: &Ids,
    ) -> Result<Account> {
        match (asked, &self.config.user) {
            (None, Some(user)) => {
                ids.account(root, Some(user)).context("User of the image")
            }
            _ => ids.account(root, asked),
        }
    }

    /// Completes a command by the image's configuration: the image's program comes
    /// first, and the image's arguments, variables and working directory apply where
    /// the command has none.
    ///
    /// # Errors
    /// A usage error (exit code 2) when neither the image nor the command names a
    /// program.
    pub fn command(&self, command: Command) -> Result<Command> {
        let mut command = command.with_defaults(self.config.command.clone());
        command.argv.splice(..0, self.config.entrypoint.iter().cloned());
        ensure!(
            !command.argv.is_empty(),
            Failure::new("the image does not say what to run")
                .with_kind(FailureKind::Usage)
                .hint("name a command behind the options, `sh` for one")
                .with_exit_code(2)
        );
        Ok(command)
    }

    /// Adds a hint to the error of a container that could not be started from a
    /// directory: its user may have meant an image, as in `docker run IMAGE`.
    ///
    /// # Errors
    /// Always: this error.
    pub fn add_image_hint<T>(
        &self,
        error: anyhow::Error,
        command: &Command,
    ) -> Result<T> {
        let first = command.argv.first().and_then(|word| word.to_str());
        let is_name = |word: &&str| word.parse::<ImageName>().is_ok();
        let failure = Failure::of(&error);
        let hint = match first.filter(is_name) {
            _ if self.layered.is_some() => return Err(error),
            _ if !self.rootfs.path.exists() => format!(
                "--image NAME runs an image (`images` lists them); {}",
                failure.hint_text().unwrap_or_default()
            ),
            Some(name) if failure.exit_code() == NOT_FOUND => {
                format!("if {name} is an image, run it by --image {name}")
            }
            _ => return Err(error),
        };
        Err(failure.hint(hint).into())
    }

    /// Returns the number of the signal that stops the command: SIGTERM, or the
    /// image's.
    pub fn stop_signal(&self) -> i32 {
        self.config.stop_signal.unwrap_or(Signal::SIGTERM as i32)
    }

    /// After the command has ended: keeps the files that the container has written, if
    /// `--commit` is given, and removes the container's own directory. The history of
    /// the new image says `created_by`.
    ///
    /// If the directory cannot be removed, that is a warning: `gc` tries again, and the
    /// command's exit code counts.
    ///
    /// # Errors
    /// When the files cannot be kept.
    pub fn finish(self, created_by: &str) -> Result<()> {
        let Some(layered) = self.layered else { return Ok(()) };
        let Layered { store, image, container, commit: name, .. } = layered;
        if let Some(name) = &name {
            // A signal may end a commit that takes long: it kills the child.
            let commit = || commit(&store, &container, &image, name, created_by);
            user::as_root_in_child(store.helpers(), commit)
                .inspect_err(|_| {
                    // An error here would hide the first one. `gc` tries again.
                    let _ = interrupt::patiently(|| remove_stale(&store));
                })
                .with_context(|| format!("--commit {name}"))
                .hint("the files that the command has written are lost")?;
        }
        if let Err(error) = container.remove() {
            let what =
                "the files that the container has written stay until the next `gc`";
            kit::warn_error(what, &error);
        }
        Ok(())
    }
}

fn warn_of_another_architecture(image: &Image) {
    let (of_image, of_machine) =
        (image.configuration.architecture().to_string(), architecture());
    if of_image != of_machine && !of_image.is_empty() {
        kit::warn(format_args!(
            "image {} is for {of_image}, and this machine is {of_machine}",
            image.tagged.display_name()
        ));
    }
}

#[cfg(test)]
mod tests {
    use pivot_root::Access;

    use super::*;

    #[test]
    fn no_program_in_the_image_or_the_command_is_a_usage_error() {
        let rootfs = Rootfs { path: "/".into(), access: Access::ReadOnly };
        let config = RunConfig::default();
        let own_view = OnceCell::new();
        let base = Base { rootfs, view: None, own_view, layered: None, config };
        let failure = Failure::of(&base.command(Command::default()).unwrap_err());
        assert_eq!((failure.kind(), failure.exit_code()), (FailureKind::Usage, 2));
    }
}
