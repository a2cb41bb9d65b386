//! The options of this step's `run`.

use std::ffi::OsString;

use clap::CommandFactory;

use crate::reference::{Named, Reference};
use crate::store::StoreArgs;

/// What it is made of.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "image_options")]
pub struct Args {
    /// Run this image, instead of the directory --rootfs
    ///
    /// By its name or its id.
    #[arg(long, value_name = "NAME[:TAG]", conflicts_with = "rootfs")]
    pub(crate) image: Option<Named>,

    /// Run this program, with COMMAND as its arguments
    ///
    /// Instead of what the image says.
    #[arg(long, value_name = "PROGRAM", requires = "image", conflicts_with = "rootfs")]
    pub(crate) entrypoint: Option<OsString>,

    /// Keep what the command has written under this name
    ///
    /// As one more layer of the image.
    #[arg(
        long,
        value_name = "NAME[:TAG]",
        requires = "image",
        conflicts_with = "rootfs"
    )]
    pub(crate) commit: Option<Reference>,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// The command line of a program whose `run` takes an image: an image may say what to
/// run, so that COMMAND may be left out.
pub fn command_line<C: CommandFactory>() -> clap::Command {
    C::command().mut_subcommand("run", |run| {
        run.mut_arg("command", |command| {
            command.required(false).required_unless_present("image")
        })
    })
}
