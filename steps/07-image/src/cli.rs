//! The subcommands of this step: one a file.

mod export;
mod history;
mod images;
mod input;
mod inspect;
mod names;
mod output;

use std::process::ExitCode;

use anyhow::Result;
use kit::{Failure, RunDirArgs};

use crate::collect::collect;
use crate::store::StoreArgs;

/// Subcommands about images.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Make an image of a root file system's tar archive (plain, gzip, zstd)
    Import(input::Import),
    /// Take in images that `save`, Docker, Podman or skopeo wrote: an archive or a
    /// directory
    Load(input::Load),
    /// Write images to an archive that `load`, Docker, Podman and skopeo take in
    Save(output::Save),
    /// List images
    Images(images::Images),
    /// Remove images, and what only they used
    Rmi(names::Rmi),
    /// Give an image another name
    Tag(names::Tag),
    /// Show how an image came about, the latest step first
    History(history::History),
    /// Show all that is known of an image, as JSON
    Inspect(inspect::Inspect),
    /// Write the whole file system of an image to a tar archive
    Export(export::Export),
    /// List what a running container, or the highest layer of an image, has changed
    Diff(export::Diff),
}

impl Command {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Whatever stands in the way; exit code 1.
    pub fn run(&self) -> Result<ExitCode> {
        let done = match self {
            Command::Import(args) => args.run(),
            Command::Load(args) => args.run(),
            Command::Save(args) => args.run(),
            Command::Images(args) => args.run(),
            Command::Rmi(args) => args.run(),
            Command::Tag(args) => args.run(),
            Command::History(args) => args.run(),
            Command::Inspect(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Diff(args) => args.run(),
        };
        failed_with_1(done)
    }
}

/// Options of `gc`, which now also removes what no image uses.
#[derive(clap::Args, Clone, Debug)]
pub struct Gc {
    #[command(flatten)]
    run_dirs: RunDirArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Gc {
    /// Removes what dead runs have left, and what nothing uses.
    ///
    /// # Errors
    /// What could not be removed; it is kept for the next time.
    pub fn run(&self) -> Result<ExitCode> {
        let store = self.store.open_existing();
        // First the processes, then what they have written.
        let runs = cgroups::gc_command(&self.run_dirs);
        let images = failed_with_1(store.and_then(|store| match store {
            Some(store) => user::as_root(|| collect(&store)),
            None => Ok(()),
        }));
        runs.and(images)
    }
}

fn failed_with_1(done: Result<()>) -> Result<ExitCode> {
    done.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::of(&error).exit(1).into())
}
