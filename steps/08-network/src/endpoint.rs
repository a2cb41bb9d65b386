//! A container's endpoint on a bridge: its lease, its cable and its published ports.

use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Result;
use kit::{Failure, interrupt};

use crate::create;
use crate::dns::{Forwarding, Responder, ResponderOptions};
use crate::firewall::{self, Firewall};
use crate::gc;
use crate::host::Host;
use crate::ipam;
use crate::lease::{Lease, LeaseRequest};
use crate::mtu;
use crate::netlink::Netlink;
use crate::network::{DEFAULT, Isolation, Network, NetworkName};
use crate::nft;
use crate::options::BridgeOptions;
use crate::port::{Port, Protocol};
use crate::port_reservation;
use crate::store::NetworkRecord;
use crate::sysctl;

/// A container's endpoint on a network. Dropping it takes the container off the
/// network.
pub(crate) struct Endpoint {
    dir: PathBuf,
    network: Network,
    lease: Lease,
    /// The longest packet that its cable carries. None: the kernel's default.
    mtu: Option<u32>,
    /// The ports of the host that are reserved for it. None after it has left the
    /// network.
    ports: Option<Vec<OwnedFd>>,
    responder: Option<Responder>,
}

/// The name of the link in the container.
const INSIDE: &str = "eth0";

impl Endpoint {
    /// Puts a container on a network: leases its addresses, reserves its ports and
    /// prepares the host. Its run directory must exist already: `gc` keeps the lease
    /// while the run directory says that the container is alive.
    ///
    /// # Errors
    /// When an address or a port is taken, a firewall would drop the packets, or the
    /// kernel refuses. Nothing is left then.
    pub(crate) fn join(options: &BridgeOptions, request: LeaseRequest) -> Result<Self> {
        let mut host = gc::open_host(&options.dir, Some(&request.run_dir))?;
        let record = find_or_describe(&mut host, options.network.as_ref())?;
        refuse_unreachable_ports(&record.network, &request.ports)?;
        let lease = ipam::lease(&record, request)?;
        let network = record.network;
        let has_ipv6 = network.subnet6.is_some();
        let mtu = mtu::of_network(&mut host, &network)?;
        let ports = port_reservation::reserve(&host.store, &lease.ports, has_ipv6)?;
        if let Err(error) = attach(&mut host, &network, &lease, options.firewall) {
            // The first error is the cause. The next start, or `gc`, removes what
            // could not be removed here.
            let _ = detach(&mut host, &network.name, &lease);
            return Err(error);
        }
        let responder = responder_options(&host, &network);
        let (dir, ports) = (options.dir.clone(), Some(ports));
        let mut endpoint =
            Endpoint { dir, network, lease, mtu, ports, responder: None };
        drop(host); // a responder may keep its own network waiting, and no other
        endpoint.responder = Some(Responder::ensure(&responder)?);
        Ok(endpoint)
    }

    pub(crate) fn responder(&mut self) -> Option<&mut Responder> {
        self.responder.as_mut()
    }

    pub(crate) fn ports(&self) -> &[Port] {
        &self.lease.ports
    }

    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.lease.addresses
    }

    pub(crate) fn gateways(&self) -> Vec<IpAddr> {
        self.network.gateways()
    }

    // ANCHOR: plug-in
    /// Makes the cable from the bridge into the container's network namespace. The
    /// parent calls it while the child waits.
    // Task 8.3: the other end is created in the namespace, never on the host.
    pub(crate) fn plug_in(&self, namespace: BorrowedFd<'_>) -> Result<()> {
        let mut netlink = Netlink::open()?;
        netlink.add_veth(&self.lease.link, INSIDE, self.lease.mac, namespace)?;
        let cable = netlink.existing_link(&self.lease.link)?;
        let bridge = self.network.link(&mut netlink)?;
        self.mtu.map_or(Ok(()), |mtu| netlink.set_mtu(&cable, mtu))?;
        netlink.plug(&cable, &bridge)
    }
    // ANCHOR_END: plug-in

    // ANCHOR: configure
    /// Gives the link in the container its addresses, and a default route unless the
    /// network is internal. The child calls it.
    pub(crate) fn configure(&self, netlink: &mut Netlink) -> Result<()> {
        let link = netlink.existing_link(INSIDE)?;
        self.mtu.map_or(Ok(()), |mtu| netlink.set_mtu(&link, mtu))?;
        sysctl::refuse_router_advertisements(INSIDE, self.network.subnet6.is_some())?;
        let addresses = self.lease.addresses.iter();
        for address in addresses.filter_map(|ip| self.network.with_prefix(*ip)) {
            let why = "its address on the network";
            netlink.add_address(why, link.index, INSIDE, address)?;
        }
        netlink.turn_on(&link)?;
        match self.network.isolation {
            Isolation::Internal => Ok(()),
            Isolation::Open | Isolation::Isolated => self
                .network
                .gateways()
                .into_iter()
                .try_for_each(|gateway| netlink.add_default_route(gateway)),
        }
    }
    // ANCHOR_END: configure

    /// Takes the container off the network. If it is the last one, removes the rules,
    /// the settings and an automatic network as well.
    ///
    /// # Errors
    /// Names all that could not be undone. Everything else is undone.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        let Some(ports) = self.ports.take() else { return Ok(()) };
        interrupt::patiently(|| {
            let mut host = Host::open(&self.dir)?;
            drop(ports);
            self.responder = None; // it exits when no runtime uses it
            detach(&mut host, &self.network.name, &self.lease)
        })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Another error is returned already, and is the cause. `gc` removes the rest.
        let _ = self.release();
    }
}

/// Finds the network. The default network is described where it does not exist yet.
fn find_or_describe(
    host: &mut Host,
    name: Option<&NetworkName>,
) -> Result<NetworkRecord> {
    match (name, host.store.find(DEFAULT)) {
        (Some(name), _) => host.store.network(&name.0).cloned(),
        (None, Some(record)) => Ok(record.clone()),
        (None, None) => Ok(NetworkRecord {
            network: create::default_network(host)?,
            leases: Vec::new(),
        }),
    }
}

fn refuse_unreachable_ports(network: &Network, ports: &[Port]) -> Result<()> {
    let needs_ipv6 = |port: &&Port| port.ip.is_some_and(|ip| ip.is_ipv6());
    let (port, why) = match (network.isolation, ports.first()) {
        (_, None) => return Ok(()),
        (Isolation::Internal, Some(port)) => {
            (port, "is an internal network, which nobody outside reaches")
        }
        _ => match ports.iter().find(needs_ipv6) {
            Some(port) if network.subnet6.is_none() => (port, "has no IPv6"),
            _ => return Ok(()),
        },
    };
    let failure = Failure::new(format_args!("-p {port}: {} {why}", network.name));
    Err(failure.hint("choose another network, or leave -p out").into())
}

/// Records the lease, and prepares the host for it.
fn attach(
    host: &mut Host,
    network: &Network,
    lease: &Lease,
    firewall: Firewall,
) -> Result<()> {
    let store = &mut host.store;
    if store.find(&network.name).is_none() {
        store.add(network.clone())?;
    }
    let mut leases = store.network(&network.name)?.leases.clone();
    leases.push(lease.clone());
    store.set_leases(&network.name, leases)?;

    let uplinks = host.uplinks()?;
    firewall::check_or_adjust(&mut host.store, network, &uplinks, firewall)?;
    network.bring_up(&mut host.netlink)?;
    kit::combine_errors(host.reconcile())?;
    forget_connections(host, lease)
}

fn responder_options(host: &Host, network: &Network) -> ResponderOptions {
    ResponderOptions {
        leases: host.store.leases_path(&network.name),
        bridge: network.bridge.clone(),
        gateways: network.subnets().collect(),
        forwarding: match network.isolation {
            Isolation::Internal => Forwarding::Off,
            Isolation::Open | Isolation::Isolated => Forwarding::On,
        },
    }
}

/// Removes the cable and the lease, and reconciles the host with the remaining leases.
fn detach(host: &mut Host, name: &str, lease: &Lease) -> Result<()> {
    let mut errors = Vec::new();
    // The kernel removes the cable with the namespace as well, but some time later.
    errors.extend(host.netlink.remove_link(&lease.link).err());
    if let Some(record) = host.store.find(name) {
        let remaining = record.leases.iter().filter(|other| other.id != lease.id);
        let remaining = remaining.cloned().collect();
        errors.extend(host.store.set_leases(name, remaining).err());
    }
    errors.extend(host.reconcile());
    // The next container with its address deletes the others when it starts.
    if lease.ports.iter().any(|port| port.protocol == Protocol::Udp) {
        errors.extend(forget_connections(host, lease).err());
    }
    kit::combine_errors(errors)
}

/// Removes the connections that must not continue from the kernel's connection
/// tracking. Called once the new rules are in place.
fn forget_connections(host: &mut Host, lease: &Lease) -> Result<()> {
    let host_addresses = host.netlink.addresses()?;
    let host_addresses: Vec<_> =
        host_addresses.iter().map(|(_, subnet)| subnet.ip()).collect();
    let Lease { addresses, ports, .. } = lease;
    nft::delete_connections(&nft::ObsoleteConnections {
        addresses,
        ports,
        host_addresses: &host_addresses,
    })
}
