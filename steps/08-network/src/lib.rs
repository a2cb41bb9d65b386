//! Step 8: the network namespace. The container talks, and only as told. See
//! network_namespaces(7).
//!
//! In reading order:
//!
//! - [`Args`] and [`Connection`]: which network, and what the container has of it, from
//!   before it starts until after it ends.
//! - `member`: a container on a bridge. Its `lease` and its `port`s; the cable is made
//!   by `netlink`.
//! - `network` and `pool`: the bridge and its addresses.
//! - `rules`, by way of `nft`: who may reach whom. `sysctl`: which links pass packets
//!   on. `firewall`: what other tables than ours would drop.
//! - `host` makes all that so, and undoes it; `store` is what it goes by.
//! - [`etc`] and [`dns`]: names. `pasta`: a network without root.

mod args;
mod cli;
mod connection;
pub mod dns;
mod doctor;
pub mod etc;
mod firewall;
mod gc;
mod holder;
mod host;
mod lease;
mod member;
mod netlink;
mod network;
mod nft;
mod options;
mod pasta;
mod pool;
mod port;
mod rules;
mod show;
mod store;
mod subnet;
mod sysctl;
mod undo;

pub use args::{Args, DirArgs, find_pasta};
pub use cli::{Command, GcArgs, command, gc_command};
pub use connection::{Connection, connect};
pub use doctor::checks;
pub use etc::places;
pub use firewall::Firewall;
pub use netlink::Mac;
pub use network::Name;
pub use options::{BridgeOptions, NetworkMode, NetworkOptions, PastaOptions};
pub use port::{Port, Protocol};
pub use show::show;
