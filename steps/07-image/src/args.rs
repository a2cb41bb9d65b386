//! The options of this step: of `run`, and of every subcommand that works on a store.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::CommandFactory;
use kit::Failure;
use nix::unistd::geteuid;

use crate::base::ImageOptions;
use crate::reference::{ImageName, Reference};
use crate::store::Store;

/// The image that a container is made of.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "image_options")]
pub struct Args {
    /// Run this image, instead of the directory --rootfs
    ///
    /// By its name or its id.
    #[arg(long, value_name = "NAME[:TAG]", conflicts_with = "rootfs")]
    image: Option<ImageName>,

    /// Run this program, with COMMAND as its arguments
    ///
    /// Instead of the image's own program and arguments.
    #[arg(long, value_name = "PROGRAM", requires = "image", conflicts_with = "rootfs")]
    entrypoint: Option<OsString>,

    /// Keep the files that the command has written, as an image of this name
    ///
    /// They become one more layer of the image.
    #[arg(
        long,
        value_name = "NAME[:TAG]",
        requires = "image",
        conflicts_with = "rootfs"
    )]
    commit: Option<Reference>,

    /// Accepted for people who type it: a container is always removed when it ends
    #[arg(long = "rm")]
    _rm: bool,

    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    /// Returns the image to run; None if the root file system is a directory.
    ///
    /// # Errors
    /// When neither the options nor the environment say where images are kept.
    pub fn plan(&self) -> Result<Option<ImageOptions>> {
        let Some(name) = &self.image else { return Ok(None) };
        Ok(Some(ImageOptions {
            store: self.store.path()?,
            helpers: user::helpers(),
            name: name.clone(),
            entrypoint: self.entrypoint.clone(),
            commit: self.commit.clone(),
        }))
    }
}

/// The store of images.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "store_options")]
pub struct StoreArgs {
    /// Where images are kept; by default /var/lib/kiste, without root
    /// $XDG_DATA_HOME/kiste
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl StoreArgs {
    /// Returns the directory of the store: the given one, or the default one.
    ///
    /// # Errors
    /// When neither the options nor the environment say where images are kept.
    fn path(&self) -> Result<PathBuf> {
        self.store.clone().map_or_else(default_store, Ok)
    }

    /// Opens the store, and creates it if it is not there.
    pub(crate) fn open(&self) -> Result<Store> {
        Store::open(&self.path()?, &user::helpers())
    }

    /// Opens the store, if there is one.
    pub(crate) fn open_existing(&self) -> Result<Option<Store>> {
        Store::open_existing(&self.path()?, &user::helpers())
    }
}

/// Returns the user's default store. A relative path in an environment variable is
/// ignored: XDG base directory specification.
pub(crate) fn default_store() -> Result<PathBuf> {
    if geteuid().is_root() {
        return Ok("/var/lib/kiste".into());
    }
    let absolute = |name: &str| {
        std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
    };
    let in_home = || absolute("HOME").map(|home| home.join(".local/share"));
    let data = absolute("XDG_DATA_HOME").or_else(in_home);
    let unset = || {
        Failure::new("neither XDG_DATA_HOME nor HOME says where images are kept")
            .hint("use --store DIR")
    };
    Ok(data.ok_or_else(unset)?.join("kiste"))
}

/// Builds the command line of a program whose `run` takes an image, and makes COMMAND
/// optional with --image: an image has a command of its own.
pub fn command_line<C: CommandFactory>() -> clap::Command {
    C::command().mut_subcommand("run", |run| {
        run.mut_arg("command", |command| {
            command.required(false).required_unless_present("image")
        })
    })
}
