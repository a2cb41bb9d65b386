//! What was changed on the host and is to be undone, noted before it is done.

use serde::{Deserialize, Serialize};

use crate::nft::Family;
use crate::store::Place;

/// What was changed on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostChanges {
    /// Where: in another network namespace, or before a boot, there is nothing to undo
    /// any more.
    pub(crate) place: Place,
    /// Settings of the kernel, in the order in which they were changed.
    pub(crate) sysctls: Vec<Changed>,
    /// Chains of others that have rules of ours.
    pub(crate) opened: Vec<Opened>,
}

/// A setting below /proc/sys/net, and how it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// `ipv4/conf/eth0/forwarding`
    pub(crate) name: String,
    pub(crate) before: String,
}

/// Rules of ours in a chain of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) door: Door,
    /// What these rules, and no others there, have for a comment.
    pub(crate) tag: String,
}

/// A chain of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Door {
    pub(crate) family: Family,
    pub(crate) table: String,
    pub(crate) chain: String,
}

impl HostChanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.sysctls.is_empty() && self.opened.is_empty()
    }
}
