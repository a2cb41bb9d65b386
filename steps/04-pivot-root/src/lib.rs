//! Step 4: a root file system of its own. See pivot_root(2).
//!
//! - [`Rootfs`] names the directory; [`Root`] is its mount, ready to be entered.
//! - [`mount_defaults`] mounts /proc, /sys and /dev ([`dev`]).
//! - [`Terminal`] and [`Relay`] give the container a terminal of its own.

mod args;
mod background;
mod callers_terminal;
mod configured_root;
mod descriptor;
pub mod dev;
mod device_node;
mod devices;
mod doctor;
mod keyboard;
mod mount_defaults;
mod mounts;
mod no_pivot;
mod pty;
mod relay;
mod root;
mod root_propagation;
mod rootfs;
mod screen;
mod sys;
mod terminal;
mod view;
mod workdir;

pub use args::{Args, TerminalArgs};
pub use configured_root::{make_root_read_only, make_workdir};
pub use device_node::{DeviceNode, DeviceType};
pub use devices::{default_devices, make_dev_links, make_devices};
pub use doctor::{check_pivot, checks};
pub use mount_defaults::{MOUNT_POINTS, mount_defaults, sysfs};
pub use mounts::mount_entries;
pub use relay::Relay;
pub use root::Root;
pub use root_propagation::RootPropagation;
pub use rootfs::{Access, Rootfs};
pub use terminal::{Stream, Terminal};
pub use view::RootView;
pub use workdir::with_workdir;
