//! The subcommands of this step besides `run`.

mod show;

pub use show::Show;
