//! The changes made to the host. Each is recorded before it is made, so that it can be
//! undone after a kill.

use serde::{Deserialize, Deserializer, Serialize};

use crate::network_namespace::NamespaceId;
use crate::nft::ChainId;
use crate::sysctl;

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
    #[serde(deserialize_with = "changed_sysctl")]
    pub(crate) name: String,
    /// Its value before: a number.
    #[serde(deserialize_with = "number")]
    pub(crate) before: String,
}

/// Refuses the name of a setting that this step does not change: it becomes a path.
fn changed_sysctl<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let name = String::deserialize(input)?;
    match sysctl::is_changed_for_networks(&name) {
        true => Ok(name),
        false => Err(serde::de::Error::custom(format_args!(
            "{name:?} is no setting that is changed for networks"
        ))),
    }
}

fn number<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let value = String::deserialize(input)?;
    value.parse::<i32>().map_err(serde::de::Error::custom).map(|_| value)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_only_settings_of_links_that_networks_change() {
        let parse = |name: &str, before: &str| {
            let sysctl = serde_json::json!({ "name": name, "before": before });
            serde_json::from_value::<SavedSysctl>(sysctl)
        };
        for name in [
            "ipv4/conf/eth0/forwarding",
            "ipv4/conf/kiste0/route_localnet",
            "ipv6/conf/eth0.7/accept_ra",
            "ipv6/conf/all/forwarding",
        ] {
            parse(name, "0").unwrap();
            for before in ["", "1\n", "|/tmp/x", "99999999999"] {
                assert!(parse(name, before).is_err(), "{name} {before:?}");
            }
        }
        for name in [
            "",
            "../kernel/core_pattern",
            "ipv4/ip_forward",
            "ipv4/conf/eth0/rp_filter",
            "ipv4/conf/eth0/accept_ra",
            "ipv4/conf/../forwarding",
            "ipv4/conf/./forwarding",
            "ipv4/conf//forwarding",
            "ipv4/conf/a b/forwarding",
            "ipv4/conf/eth0/../../../../kernel/core_pattern",
            "ipv4/conf/eth0/forwarding/",
            "/ipv4/conf/eth0/forwarding",
            "ipv4/neigh/eth0/forwarding",
        ] {
            assert!(parse(name, "0").is_err(), "{name}");
        }
    }
}
