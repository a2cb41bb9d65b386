//! Step 8: the network namespace. A container has an address and a name on a network of
//! its own, and is reached at its published ports only. See network_namespaces(7).
//!
//! In reading order:
//!
//! - [`Args`], [`NetworkOptions`] and [`Connection`]: the network that a container asks
//!   for, and its connection to it, from before it starts until after it ends.
//! - `endpoint`: a container on a bridge. It has a `lease` of addresses, which `ipam`
//!   chooses, and of `port`s; `netlink` makes the cable.
//! - `network`: the bridge. `create` describes a new one.
//! - `rules`, by way of `nft`: which packets may pass. `forwarding`: the kernel
//!   settings that let packets through the host. `firewall`: the tables of other
//!   programs that would drop them, which `obstacle` finds.
//! - `store`: the files with the networks, the leases and the changes that were
//!   made to the host. `host` adapts the host to them. `gc` removes the leases of
//!   containers that are gone.
//! - [`NetDevice`]: a link of the host that a container of step 10 gets.
//! - [`etc`] and [`dns`]: the names that a container can resolve. `pasta`: the network
//!   of a container that was started without root.

mod added_rules;
mod args;
mod cli;
mod connection;
mod create;
mod directory;
pub mod dns;
mod doctor;
mod endpoint;
pub mod etc;
mod firewall;
mod firewall_walk;
mod forwarding;
mod free_port;
mod gc;
mod host;
mod host_changes;
mod ipam;
mod json_file;
mod lease;
mod lock_file;
mod loopback;
mod manage;
mod mtu;
mod net_device;
mod netlink;
mod network;
mod network_namespace;
mod nft;
mod obstacle;
mod options;
mod pasta;
mod port;
mod port_reservation;
mod rules;
mod show;
mod source_filter;
mod status;
mod store;
mod subnet;
mod sys;
mod sysctl;
mod unprivileged;

pub use args::{Args, DirArgs, DnsResponderArgs, find_pasta};
pub use cli::{GcArgs, NetworkCommand};
pub use connection::{Connection, connect};
pub use doctor::checks;
pub use etc::mount_points;
pub use firewall::Firewall;
pub use loopback::turn_on_loopback;
pub use net_device::{MovedDevice, NetDevice};
pub use netlink::Mac;
pub use network::NetworkName;
pub use options::{BridgeOptions, NetworkMode, NetworkOptions, PastaOptions};
pub use port::{Port, Protocol};
