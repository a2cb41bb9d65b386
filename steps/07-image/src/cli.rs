//! The subcommands of this step.

mod archive_file;
mod check;
mod diff;
mod export;
mod history;
mod images;
mod inspect;
mod load;
mod names;
mod output;
mod save;
mod template;

use std::process::ExitCode;

use anyhow::Result;
use kit::{Failure, RunDirArgs};

use crate::args::StoreArgs;
use crate::collect::collect_garbage;

/// Subcommands about images.
#[derive(clap::Subcommand)]
pub enum ImageCommand {
    /// Make an image from a tar archive of a root file system (plain, gzip, zstd)
    Import(load::Import),
    /// Load images that `save`, Docker, Podman or skopeo wrote: an archive or a directory
    Load(load::Load),
    /// Write images to an archive that `load`, Docker, Podman and skopeo can load
    Save(save::Save),
    /// List images
    Images(images::Images),
    /// Remove images, and the layers that only they used
    Rmi(names::Rmi),
    /// Give an image another name
    Tag(names::Tag),
    /// Verify images of the store, or of an archive without loading it
    Check(check::Check),
    /// Show the history of an image, the latest step first
    History(history::History),
    /// Show everything about images, as JSON
    Inspect(inspect::Inspect),
    /// Write the whole file system of an image to a tar archive
    Export(export::Export),
    /// List the changes of a container, or of the highest layer of an image
    Diff(diff::Diff),
}

impl ImageCommand {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// When it fails, with exit code 1.
    pub fn run(&self) -> Result<ExitCode> {
        let outcome = match self {
            ImageCommand::Import(args) => args.run(),
            ImageCommand::Load(args) => args.run(),
            ImageCommand::Save(args) => args.run(),
            ImageCommand::Images(args) => args.run(),
            ImageCommand::Rmi(args) => args.run(),
            ImageCommand::Tag(args) => args.run(),
            ImageCommand::Check(args) => args.run(),
            ImageCommand::History(args) => args.run(),
            ImageCommand::Inspect(args) => args.run(),
            ImageCommand::Export(args) => args.run(),
            ImageCommand::Diff(args) => args.run(),
        };
        exit_with_1_on_error(outcome)
    }
}

/// Options of `gc`, which from this step on also cleans up the store.
#[derive(clap::Args, Clone, Debug)]
pub struct Gc {
    #[command(flatten)]
    run_dirs: RunDirArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Gc {
    /// Removes what killed runs have left, and then the blobs and layers that no image
    /// and no container uses.
    ///
    /// # Errors
    /// When something could not be removed. The next `gc` tries again.
    pub fn run(&self) -> Result<ExitCode> {
        let store = self.store.open_existing();
        // Processes are ended before the files that they have written are removed.
        let runs = cgroups::gc_command(&self.run_dirs);
        let images = exit_with_1_on_error(store.and_then(|store| match store {
            Some(store) => store.as_root(|| collect_garbage(&store)),
            None => Ok(()),
        }));
        runs.and(images)
    }
}

fn exit_with_1_on_error(outcome: Result<()>) -> Result<ExitCode> {
    outcome
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::of(&error).with_exit_code(1).into())
}
