//! Step 7: images. An archive becomes layers in a store, and a container sees them one
//! over the other. See the OCI image specification, and the kernel's documentation of
//! overlayfs.
//!
//! - `load` and `import` take archives in: [`cli`] has the subcommands.
//! - [`Args::base`] finds what a container is made of: a directory, or an image with a
//!   layer of its own on top.
//! - [`Base::finish`] keeps what was written, or forgets it.

mod archive;
mod args;
mod attributes;
mod base;
mod changes;
pub mod cli;
mod collect;
mod commit;
mod compression;
mod container;
mod digest;
mod doctor;
mod document;
mod image;
mod layer;
mod load;
mod overlay;
mod pack;
mod progress;
mod read_ahead;
mod reference;
mod save;
mod source;
mod store;
mod unpack;

pub use archive::read as read_archive;
pub use args::{Args, command_line};
pub use base::Base;
pub use doctor::checks;
pub use reference::{Named, Reference};
pub use store::StoreArgs;
