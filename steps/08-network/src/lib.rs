//! Step 8: the network namespace. The container talks, and only as told. See
//! network_namespaces(7).
//!
//! In reading order:
//!
//! - [`Args`] and [`Connection`]: which network, and what the container has of it, from
//!   before it starts until after it ends.
//! - `endpoint`: a container on a bridge. Its `lease` and its `port`s; the cable is made
//!   by `netlink`.
//! - `network` and `ipam`: the bridge and its addresses.
//! - `rules`, by way of `nft`: who may reach whom. `sysctl`: which links pass packets
//!   on. `firewall`: what other tables than ours would drop.
//! - `host` makes all that so, and undoes it; `store` is what it goes by.
//! - [`etc`] and [`dns`]: names. `pasta`: a network without root.

mod args;
mod cli;
mod connection;
mod create;
pub mod dns;
mod doctor;
mod endpoint;
pub mod etc;
mod firewall;
mod forwarding;
mod gc;
mod host;
mod host_changes;
mod ipam;
mod json_file;
mod lease;
mod manage;
mod netlink;
mod network;
mod network_namespace;
mod nft;
mod options;
mod pasta;
mod port;
mod port_reservation;
mod rules;
mod show;
mod status;
mod store;
mod subnet;
mod sys;
mod sysctl;

pub use args::{Args, DirArgs, DnsResponderArgs, find_pasta};
pub use cli::{GcArgs, NetworkCommand};
pub use connection::{Connection, connect};
pub use doctor::checks;
pub use etc::mount_points;
pub use firewall::Firewall;
pub use netlink::Mac;
pub use network::NetworkName;
pub use options::{BridgeOptions, NetworkMode, NetworkOptions, PastaOptions};
pub use port::{Port, Protocol};
