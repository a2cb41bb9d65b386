//! What a container is made of: a directory, or an image's layers with one of its own
//! on top.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result};
use exec::{Command, CommandArgs, Defaults, Signals};
use kit::{Failure, Hint, Id};
use mount::inside::{self, TargetKind};
use mount::{Detached, Request};
use nix::sys::signal::Signal;
use oci_spec::image::Config;
use pivot_root::{Root, RootView, Rootfs};
use user::{Account, Ids, User};

use crate::args::Args;
use crate::collect::clean;
use crate::commit::commit;
use crate::container::Container;
use crate::image::Image;
use crate::overlay::{Overlay, OverlayViews};
use crate::source::architecture;
use crate::store::Store;

/// What a container is made of.
#[derive(Debug)]
pub struct Base<'a> {
    args: &'a Args,
    kind: Of,
}

#[derive(Debug)]
enum Of {
    /// The directory that `--rootfs` names; with other owners, a view of it.
    Directory(Option<RootView>),
    Image(Box<Layered>),
}

#[derive(Debug)]
struct Layered {
    store: Store,
    image: Image,
    container: Container,
    overlay: Overlay,
    /// With other owners: a view of each layer, made by who may, and shown with them.
    views: Option<OverlayViews>,
}

impl Args {
    /// Finds what the container is made of, and makes it an upper directory.
    ///
    /// # Errors
    /// When there is no such image or directory.
    pub fn base<'a>(&'a self, id: &Id, ids: &Ids, root: &Rootfs) -> Result<Base<'a>> {
        let Some(named) = &self.image else {
            return Ok(Base { args: self, kind: Of::Directory(ids.root_view(root)?) });
        };
        let store = self.store.open()?;
        // What is found stays, until the container itself is noted.
        let _shared = store.share()?;
        if let Err(error) = clean(&store) {
            kit::program::say(format_args!(
                "warning: what an earlier run has left stays: {error:#}"
            ));
        }
        let image = Image::find(&store, named)?;
        let container = Container::create(&store, id, &image)?;
        let overlay = container.overlay(&store, &image)?;
        let views = ids.are_shown_by_root().then(|| overlay.views()).transpose()?;
        let base = Base {
            args: self,
            kind: Of::Image(Box::new(Layered {
                store,
                image,
                container,
                overlay,
                views,
            })),
        };
        base.stop_signal()?; // before anything starts
        base.warn_of_another_machine();
        Ok(base)
    }
}

impl Base<'_> {
    /// What must be shown with the owners of the container's user namespace.
    pub fn views(&self) -> impl Iterator<Item = &Detached> {
        let (tree, views) = match &self.kind {
            Of::Directory(tree) => (tree.as_ref(), None),
            Of::Image(layered) => (None, layered.views.as_ref()),
        };
        let views = views.into_iter().flat_map(OverlayViews::iter);
        tree.map(RootView::detached).into_iter().chain(views)
    }

    // ANCHOR: mount
    /// In the child: what it sees as `/`.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(&self, root: &Rootfs, requests: &[Request]) -> Result<Root> {
        let layered = match &self.kind {
            Of::Directory(tree) => {
                return user::open_root(tree.as_ref(), root, requests);
            }
            Of::Image(layered) => layered,
        };
        let overlay = match &layered.views {
            Some(views) => views.mount()?,
            None => layered.overlay.mount()?,
        };
        let view = RootView::new(overlay, layered.image.called());
        self.make_workdir(view.as_fd())?;
        Root::from_view(&view, root.access, requests)
    }
    // ANCHOR_END: mount

    /// The directory that the command starts in is made, as Docker has it.
    fn make_workdir(&self, root: BorrowedFd<'_>) -> Result<()> {
        let workdir = self.config().and_then(|config| config.working_dir().as_deref());
        let Some(workdir) = workdir.filter(|workdir| !workdir.is_empty()) else {
            return Ok(());
        };
        inside::make(root, &Path::new("/").join(workdir), TargetKind::Directory)
            .context("WorkingDir of the image")
    }

    fn warn_of_another_machine(&self) {
        let Of::Image(layered) = &self.kind else { return };
        let (theirs, ours) =
            (layered.image.configuration.architecture().to_string(), architecture());
        if theirs != ours {
            let image = layered.image.called();
            kit::program::say(format_args!(
                "warning: image {image} is for {theirs}, and this machine is {ours}"
            ));
        }
    }

    fn config(&self) -> Option<&Config> {
        match &self.kind {
            Of::Directory(_) => None,
            Of::Image(layered) => layered.image.configuration.config().as_ref(),
        }
    }

    /// In the child: who the command runs as, by the options, else by the image.
    ///
    /// # Errors
    /// When the root file system has no such name, or the namespace no such id.
    pub fn account(
        &self,
        asked: Option<&User>,
        root: BorrowedFd<'_>,
        ids: &Ids,
    ) -> Result<Account> {
        let user = self
            .config()
            .and_then(|config| config.user().as_deref())
            .filter(|user| !user.is_empty());
        let parse = |user: &str| {
            let parsed = user.parse::<User>().map_err(Failure::new);
            parsed.with_context(|| format!("User of the image, {user:?}"))
        };
        let user = user.map(parse).transpose()?;
        match asked {
            Some(_) => ids.account(root, asked),
            None => ids.account(root, user.as_ref()).context("User of the image"),
        }
    }

    /// What to run: by the command line, else by the image.
    ///
    /// # Errors
    /// A usage error (exit code 2) when neither says.
    pub fn command(
        &self,
        args: &CommandArgs,
        hostname: &str,
        home: Option<&str>,
    ) -> Result<Command> {
        let strings = |list: &Option<Vec<String>>| -> Vec<OsString> {
            list.iter().flatten().map(OsString::from).collect()
        };
        let (mut defaults, mut entrypoint) = (Defaults::default(), Vec::new());
        if let Some(config) = self.config() {
            defaults.env = strings(config.env());
            defaults.workdir = config
                .working_dir()
                .as_deref()
                .filter(|it| !it.is_empty())
                .map(|it| Path::new("/").join(it));
            defaults.argv = strings(config.cmd());
            entrypoint = strings(config.entrypoint());
        }
        if let Some(program) = &self.args.entrypoint {
            // What the image has for arguments was meant for its own program.
            (defaults.argv, entrypoint) = (Vec::new(), vec![program.clone()]);
            entrypoint.retain(|program| !program.is_empty());
        }
        let mut command = args.with_defaults(&defaults, hostname, home);
        command.argv.splice(..0, entrypoint);
        if command.argv.is_empty() {
            let failure = Failure::new("the image does not say what to run");
            return Err(failure
                .hint("name a command behind the options, `sh` for one")
                .exit(2)
                .into());
        }
        Ok(command)
    }

    /// With this the image wants to be ended, where somebody sends TERM.
    ///
    /// # Errors
    /// When the image names no signal.
    pub fn stop_signal(&self) -> Result<Signal> {
        let name = self
            .config()
            .and_then(|config| config.stop_signal().as_deref())
            .filter(|name| !name.is_empty());
        let Some(name) = name else { return Ok(Signal::SIGTERM) };
        let number =
            name.parse().ok().and_then(|number: i32| Signal::try_from(number).ok());
        let by_name = || {
            let name = name.to_ascii_uppercase();
            if name.starts_with("SIG") { name } else { format!("SIG{name}") }
                .parse()
                .ok()
        };
        number.or_else(by_name).ok_or_else(|| {
            Failure::new(format_args!("StopSignal of the image: {name:?} is no signal"))
                .into()
        })
    }

    /// At the end: what the command has written is kept, if it was asked for, or else
    /// forgotten.
    ///
    /// # Errors
    /// What could not be kept, or removed.
    pub fn finish(self, child_command: &CommandArgs) -> Result<()> {
        let Of::Image(layered) = self.kind else { return Ok(()) };
        let Layered { store, image, container, .. } = *layered;
        if let Some(name) = &self.args.commit {
            // It may take its time, and be ended: the store is as it was then, and `gc`
            // does the rest.
            Signals::unblock()?;
            let said = child_command.shown();
            let kept =
                user::as_root(|| commit(&store, &container, &image, name, &said));
            kept.with_context(|| format!("--commit {name}"))
                .hint("what it has written is lost")?;
        }
        container.remove()
    }
}
