//! Names on a network: a small DNS responder, one process a network.
//!
//! - `Responder::ensure` is called by a runtime whose container is on the network, once
//!   the bridge has its address and before anything is cloned. It starts the process
//!   unless it is there.
//! - The runtime keeps the `Responder` as long as its container lives. The process ends
//!   by itself when the last one is gone, whatever way it went; who is sure to be the
//!   last waits for that with `end`.
//! - [`respond`] is that process: the hidden subcommand `dns-responder` ([`Args`]).
//!
//! Names come from the network's lease file, which is read again whenever it has
//! changed (another inode, size or time). Of it, this is read, and everything else is
//! left alone:
//!
//! ```json
//! {"leases": [{"id": "0123456789ab", "hostname": "web", "aliases": ["www"],
//!              "addresses": ["10.88.0.2", "fd00::2"], "dns": ["192.0.2.1"]}]}
//! ```
//!
//! All but `addresses` may be left out; `dns` is whom this container's other questions
//! go to (`--dns`), else they go to the host's resolvers. The responder gives its
//! rights up and reads the file as nobody: the network's directory has mode 0711 and
//! the file 0644 (what is above may be 0700).

mod answer;
mod forward;
mod life;
mod names;
mod process;
mod server;
mod sys;
mod tcp;
mod watched;

use std::path::PathBuf;

use crate::subnet::Subnet;

pub(crate) use life::{Responder, end};
pub use process::respond;

/// Whether questions about other names are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Outside {
    /// To the host's resolvers.
    Forward,
    /// Not at all (`--internal`): there is no such name.
    Closed,
}

/// Options of the hidden subcommand `dns-responder`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The network's lease file
    #[arg(long, value_name = "FILE")]
    leases: PathBuf,

    /// The bridge that questions come by
    #[arg(long, value_name = "LINK")]
    bridge: String,

    /// Where it listens, and the network it listens to
    #[arg(long = "at", value_name = "ADDRESS/PREFIX", required = true)]
    gateways: Vec<Subnet>,

    /// What becomes of questions about other names
    #[arg(long, value_enum)]
    outside: Outside,

    /// Start the responder, and end without it
    #[arg(long)]
    detach: bool,
}
