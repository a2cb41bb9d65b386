//! Conditions in the form in which iptables-nft(8) writes them. It lists a table only if
//! it can read every rule, and it does not know how nft(8) asks for the state of a
//! connection: both its list and what it saves would lack the whole table.

use super::Rule;
use crate::netlink::message::Attributes;

/// The states of a connection that --ctstate matches: linux/netfilter/xt_conntrack.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// XT_CONNTRACK_STATE_BIT of IP_CT_ESTABLISHED and of IP_CT_RELATED.
    EstablishedOrRelated = 1 << 1 | 1 << 2,
    /// XT_CONNTRACK_STATE_DNAT
    Dnat = 1 << 7,
}

impl Rule {
    /// Matches packets as [`Rule::ct_established`] does.
    pub(crate) fn xt_established(self) -> Self {
        self.describe("xt ctstate RELATED,ESTABLISHED")
            .xt_conntrack(State::EstablishedOrRelated)
    }

    /// Matches packets as [`Rule::ct_dnat`] does.
    pub(crate) fn xt_dnat(self) -> Self {
        self.describe("xt ctstate DNAT").xt_conntrack(State::Dnat)
    }

    fn xt_conntrack(self, state: State) -> Self {
        // struct xt_conntrack_mtinfo3: match_flags and state_mask are at these offsets.
        let mut info = [0; 168];
        info[146..148].copy_from_slice(&XT_CONNTRACK_STATE.to_ne_bytes());
        info[150..152].copy_from_slice(&(state as u16).to_ne_bytes());
        // NFTA_MATCH_NAME, NFTA_MATCH_REV, NFTA_MATCH_INFO
        let data =
            Attributes::default().text(1, "conntrack").be32(2, 3).bytes(3, &info);
        self.add("match", data)
    }
}

const XT_CONNTRACK_STATE: u16 = 1 << 0;
