//! The rules that let containers' packets through a chain of another program.

use crate::network::Network;
use crate::nft::Rule;
use crate::obstacle::{INPUT, Obstacle};
use crate::port::Protocol;

/// The form of a rule that asks for the state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As nft(8) writes it.
    Nftables,
    /// As iptables-nft(8) writes it.
    Iptables,
}

impl Obstacle {
    /// The comment of our rules in the chain.
    pub(crate) fn comment(network: &Network) -> String {
        format!("kiste: {}", network.name)
    }

    /// Makes rules that accept packets to other hosts and between containers, but not
    /// to other links of the host. Our own table still filters the accepted packets.
    pub(crate) fn rules(
        &self,
        network: &Network,
        uplinks: &[String],
        form: Form,
    ) -> Vec<Rule> {
        let (comment, bridge) = (Self::comment(network), &network.bridge);
        let from = || Rule::with_comment(&comment).iifname(bridge);
        let to = || Rule::with_comment(&comment).oifname(bridge);
        if self.chain.hook == Some(INPUT) {
            // To the gateway only: the host may have another DNS server.
            let gateways = network.gateways().into_iter();
            let family = self.target.family;
            let gateways = gateways.filter(|ip| family.sees(*ip));
            let to_gateway = |ip| {
                [Protocol::Udp, Protocol::Tcp].map(|protocol| {
                    from().daddr_in(family, ip).dport(protocol, 53).accept()
                })
            };
            return gateways.flat_map(to_gateway).collect();
        }
        let out = uplinks.iter().chain([bridge]);
        let mut rules: Vec<_> = out.map(|link| from().oifname(link).accept()).collect();
        let inbound = match form {
            Form::Iptables => [to().xt_established(), to().xt_dnat()],
            Form::Nftables => [to().ct_established(), to().ct_dnat()],
        };
        rules.extend(inbound.map(Rule::accept));
        rules
    }
}
