//! The options of this step.

use std::path::PathBuf;

/// What the container sees as `/`.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "root_options")]
pub struct Args {
    /// The directory that the container sees as /
    #[arg(long, value_name = "DIR", default_value = "./rootfs")]
    pub(crate) rootfs: PathBuf,

    /// Let nothing in it be written, but for what is mounted on it
    #[arg(long)]
    read_only: bool,
}

impl Args {
    /// Whether the root can be written.
    pub(crate) fn access(&self) -> Access {
        if self.read_only { Access::ReadOnly } else { Access::ReadWrite }
    }
}

/// Whether the root can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}
