//! The files that a container sees: the sections `root`, `mounts` and `linux.devices`.

#[path = "files/bundle.rs"]
mod bundle;
#[path = "files/devices.rs"]
mod devices;
#[path = "files/hostile.rs"]
mod hostile;
#[path = "files/mounts.rs"]
mod mounts;
#[path = "files/options.rs"]
mod options;
#[path = "files/propagation.rs"]
mod propagation;
#[path = "files/root.rs"]
mod root;

pub(crate) use bundle::{Bundle, mounted};
