//! Step 4: a root file system of its own. See pivot_root(2).
//!
//! - [`Root`] is what the container sees as `/`: opened, furnished, and entered.
//! - `dev` makes /dev, and [`furnish`] also /proc and /sys.
//! - [`TerminalArgs`] and [`Relay`] give it a terminal of its own.

mod args;
mod background;
mod dev;
mod doctor;
mod furnish;
mod link;
mod raw;
mod relay;
mod root;
mod screen;
mod sys;
mod terminal;
mod tree;

pub use args::Args;
pub use doctor::checks;
pub use furnish::furnish;
pub use relay::Relay;
pub use root::Root;
pub use terminal::{Terminal, TerminalArgs};
pub use tree::Tree;
