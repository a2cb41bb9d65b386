//! A lease: the addresses, ports and names of a container on a network.

use std::net::IpAddr;
use std::path::PathBuf;

use kit::ProcessIdentity;
use serde::{Deserialize, Serialize};

use crate::etc::NameServer;
use crate::netlink::Mac;
use crate::port::Port;

/// The addresses, ports and names of a container, as long as it is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) id: String,
    /// The container's run directory, which says whether it is alive. None: an older
    /// version made the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run_dir: Option<PathBuf>,
    /// The process that holds the lock of the run directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<ProcessIdentity>,
    /// The container's host name, by which other containers find it.
    pub(crate) hostname: String,
    /// More names by which other containers find it.
    pub(crate) aliases: Vec<String>,
    /// An IPv4 address, and an IPv6 address where the network has IPv6.
    pub(crate) addresses: Vec<IpAddr>,
    /// The DNS servers that are asked for it; if empty, those of the host.
    pub(crate) dns: Vec<NameServer>,
    pub(crate) mac: Mac,
    /// The name of the cable's end on the host, which is plugged into the bridge.
    pub(crate) link: String,
    pub(crate) ports: Vec<Port>,
}

/// The content of a network's lease file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LeaseFile {
    pub(crate) leases: Vec<Lease>,
}

/// A container's request for a lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseRequest {
    pub(crate) id: String,
    pub(crate) run_dir: PathBuf,
    pub(crate) runtime: Option<ProcessIdentity>,
    pub(crate) hostname: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) ip6: Option<IpAddr>,
    pub(crate) mac: Option<Mac>,
    pub(crate) dns: Vec<NameServer>,
    pub(crate) ports: Vec<Port>,
}
