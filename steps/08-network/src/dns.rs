//! Names on a network: a small DNS responder, one process for each network.
//!
//! - `Responder::ensure` starts the process unless it runs. The runtime of each
//!   container on the network calls it, once the bridge has its address and before the
//!   container's process exists.
//! - The runtime keeps the `Responder` until its container has ended. Each
//!   runtime holds a FIFO open; the responder exits when the last of them has closed
//!   it. `stop` ends one that does not.
//! - `WatchedResponder` starts the process again when it dies while a container runs.
//! - [`respond`] is the main function of that process, the hidden subcommand
//!   `dns-responder`.
//!
//! The names are in the network's lease file. The responder reads it again whenever its
//! inode, size or time has changed, and looks only at these fields:
//!
//! ```json
//! {"leases": [{"id": "0123456789ab", "hostname": "web", "aliases": ["www"],
//!              "addresses": ["10.88.0.2", "fd00::2"], "dns": ["192.0.2.1"]}]}
//! ```
//!
//! All but `addresses` are optional. The responder forwards questions about other names
//! to the servers in `dns` (`--dns`), or to those of the host if there are none. It
//! runs as nobody, so the network's directory has mode 0711 and the file mode 0644; the
//! directories above may have mode 0700, since it opens the network's directory before
//! it drops its privileges.

mod forward;
mod lifecycle;
mod pending;
mod process;
mod queue;
mod reply;
mod running_responder;
mod server;
mod tcp;
mod watched_file;
mod watched_responder;
mod zone;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::subnet::Subnet;

pub(crate) use lifecycle::{Responder, stop};
pub use process::{respond, respond_detached};
pub use watched_responder::WatchedResponder;

/// The options of a responder. The subcommand `dns-responder` takes them as JSON, and
/// the same JSON identifies a running responder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResponderOptions {
    /// The network's lease file.
    pub(crate) leases: PathBuf,
    /// The bridge on which questions arrive.
    pub(crate) bridge: String,
    /// The bridge's addresses, at which the responder listens, and their subnets.
    pub(crate) gateways: Vec<Subnet>,
    /// Whether questions about names outside the network are forwarded.
    pub(crate) forwarding: Forwarding,
}

/// Whether questions about names outside the network are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Forwarding {
    /// Other DNS servers are asked.
    On,
    /// The answer is that there is no such name: `network create --internal`.
    Off,
}

impl ResponderOptions {
    fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).context("the options of the DNS responder")
    }
}

impl FromStr for ResponderOptions {
    type Err = serde_json::Error;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(json)
    }
}
