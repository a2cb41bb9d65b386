//! The changes made to the host. Each is recorded before it is made, so that it can be
//! undone after a kill.

use serde::{Deserialize, Serialize};

use crate::network_namespace::NamespaceId;
use crate::nft::ChainId;

/// The changes made to the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostChanges {
    /// The network namespace in which they were made. They are undone only there, and a
    /// reboot undoes them all.
    #[serde(alias = "place")]
    pub(crate) namespace: NamespaceId,
    /// Kernel settings, in the order in which they were changed.
    pub(crate) sysctls: Vec<SavedSysctl>,
    /// Our rules in the chains of other programs.
    #[serde(alias = "opened")]
    pub(crate) rules: Vec<AddedRules>,
}

/// A setting below /proc/sys/net that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedSysctl {
    /// `ipv4/conf/eth0/forwarding`
    pub(crate) name: String,
    /// Its value before.
    pub(crate) before: String,
}

/// Our rules in a chain of another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddedRules {
    #[serde(alias = "door")]
    pub(crate) chain: ChainId,
    /// The comment by which these rules are found again.
    #[serde(alias = "tag")]
    pub(crate) comment: String,
}

impl HostChanges {
    /// Starts an empty record for a network namespace.
    pub(crate) fn in_namespace(namespace: NamespaceId) -> Self {
        HostChanges { namespace, ..HostChanges::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sysctls.is_empty() && self.rules.is_empty()
    }
}
