//! Step 7: images. An archive becomes layers in a store, and a container sees them one
//! over the other. See the OCI image specification, and the kernel's documentation of
//! overlayfs.
//!
//! - [`cli`] has the subcommands; `load` and `import` add images to the store.
//! - [`Base::create`] makes the root file system of a container: a directory, or an
//!   image with a layer of its own on top.
//! - [`Base::finish`] keeps the files that the container has written, or removes them.

mod archive;
mod args;
mod attributes;
mod base;
mod changes;
mod check;
pub mod cli;
mod collect;
mod commit;
mod compression;
mod container;
mod digest;
mod doctor;
mod document;
mod fingerprint;
mod image;
mod instruction;
mod json;
mod layer;
mod layers;
mod limits;
mod load;
mod lower_layers;
mod made_mount_points;
mod overlay;
mod pack;
mod progress;
mod read_ahead;
mod reference;
mod run_config;
mod save;
mod source;
mod store;
mod unpack;

pub use archive::read as read_archive;
pub use args::{Args, StoreArgs, command_line};
pub use base::{Base, ImageOptions};
pub use doctor::checks;
pub use reference::{ImageName, Reference};
