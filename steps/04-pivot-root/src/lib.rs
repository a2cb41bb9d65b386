//! Step 4: a root file system of its own. See pivot_root(2).
//!
//! - [`Rootfs`] names the directory; [`Root`] is its mount, ready to be entered.
//! - [`mount_defaults`] mounts /proc, /sys and /dev ([`dev`]).
//! - [`Terminal`] and [`Relay`] give the container a terminal of its own.

mod args;
mod background;
mod callers_terminal;
mod descriptor;
pub mod dev;
mod doctor;
mod keyboard;
mod mount_defaults;
mod pty;
mod relay;
mod root;
mod rootfs;
mod screen;
mod sys;
mod terminal;
mod view;
mod workdir;

pub use args::{Args, TerminalArgs};
pub use doctor::checks;
pub use mount_defaults::{MOUNT_POINTS, mount_defaults, sysfs};
pub use relay::Relay;
pub use root::Root;
pub use rootfs::{Access, Rootfs};
pub use terminal::{Stream, Terminal};
pub use view::RootView;
pub use workdir::with_workdir;
