//! Creates and removes the networks that a user names: `network create`, `network rm`.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};

use crate::create::{self, NewNetwork};
use crate::dns;
use crate::gc;
use crate::mtu;
use crate::network::{NetworkName, Origin};
use crate::store::NetworkRecord;
use crate::subnet::Subnet;

/// Creates a network and its bridge.
///
/// # Errors
/// When there is a network of this name, or the host uses the subnet; and the kernel's
/// reason. Nothing is left then.
pub(crate) fn create(dir: &Path, new: &NewNetwork) -> Result<()> {
    if let Some(subnet) = new.subnet {
        refuse_unusable_subnet(subnet)?;
    }
    refuse_small_mtu(new)?;
    let mut host = gc::open_host(dir, None)?;
    if host.store.find(&new.name.0).is_some() {
        let what = format!("the network {} already exists", new.name.0);
        return Err(Failure::new(what)
            .with_kind(FailureKind::Conflict)
            .hint("choose another name, or remove it with `network rm`")
            .into());
    }
    let network = create::named_network(&mut host, new)?;
    host.store.add(network.clone())?;
    network.bring_up(&mut host.netlink).inspect_err(|_| {
        let _ = network.remove_bridge(&mut host.netlink); // it may exist already
        let _ = host.store.remove(&network.name);
    })
}

/// Removes a network and its bridge, and the automatic networks without containers.
pub(crate) fn remove(dir: &Path, name: &NetworkName) -> Result<()> {
    let mut host = gc::open_host(dir, None)?;
    let NetworkRecord { network, leases } = host.store.network(&name.0)?.clone();
    if !leases.is_empty() {
        let containers: Vec<_> = leases
            .iter()
            .map(|lease| format!("{} ({})", lease.id, lease.hostname))
            .collect();
        let what =
            format!("{} has containers: {}", network.name, containers.join(", "));
        return Err(Failure::new(what)
            .with_kind(FailureKind::Conflict)
            .hint("end them first")
            .into());
    }
    if network.origin == Origin::UserCreated {
        dns::stop(&host.store.leases_path(&network.name))?;
        network.remove_bridge(&mut host.netlink)?;
        host.store.remove(&network.name)?;
    }
    kit::combine_errors(host.reconcile()).hint("`gc` tries again")
}

/// Refuses an MTU with which a network cannot have IPv6.
fn refuse_small_mtu(new: &NewNetwork) -> Result<()> {
    match new.mtu.filter(|mtu| new.has_ipv6 && *mtu < mtu::MIN_IPV6) {
        None => Ok(()),
        Some(mtu) => {
            let what = format!("--mtu {mtu}: IPv6 needs {}", mtu::MIN_IPV6);
            let failure = Failure::new(what).with_kind(FailureKind::Usage);
            Err(failure.hint("choose a larger one, or leave --ipv6 out").into())
        }
    }
}

/// Refuses a subnet in which a bridge and a container cannot have addresses.
fn refuse_unusable_subnet(subnet: Subnet) -> Result<()> {
    let first = subnet.network().ip();
    let why = match subnet.prefix() {
        _ if first.is_ipv6() => "is an IPv6 subnet: --ipv6 chooses one",
        31.. => "is too small: it has no address for a container",
        0..8 => "is too large: the prefix must be at least /8",
        _ if first != subnet.ip() => "has host bits set",
        _ if is_special(first) => "is reserved for another purpose (RFC 6890)",
        _ => return Ok(()),
    };
    Err(Failure::new(format_args!("--subnet {subnet} {why}"))
        .with_kind(FailureKind::Usage)
        .hint("for example 10.88.0.0/24")
        .into())
}

/// Whether an address is one of "this network", loopback, link-local, multicast or
/// above: RFC 6890.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [0 | 127 | 224.., ..] | [169, 254, ..]),
        IpAddr::V6(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_that_cannot_be_used_is_a_usage_error() {
        for subnet in ["10.0.0.0/31", "127.0.0.0/24", "10.0.0.1/24", "fd00::/64"] {
            let error = refuse_unusable_subnet(subnet.parse().unwrap()).unwrap_err();
            let kind = Failure::of(&error).kind();
            assert_eq!(kind, FailureKind::Usage, "{subnet}");
        }
        refuse_unusable_subnet("10.0.0.0/24".parse().unwrap()).unwrap();
    }
}
