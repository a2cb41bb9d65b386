//! A container on a bridge: its lease, its cable, and the host's side of both.

use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Result;
use kit::{Failure, Id};

use crate::dns::{Forwarding, Responder, ResponderOptions};
use crate::firewall::{self, Firewall};
use crate::host;
use crate::lease::{Lease, LeaseRequest};
use crate::netlink::Netlink;
use crate::network::{DEFAULT, Isolation, Network, NetworkName};
use crate::nft;
use crate::port::Port;
use crate::port_reservation;
use crate::store::{Alive, NetworkRecord, NetworkStore};
use crate::sysctl;

/// A container on a network. Whoever holds it owns it: dropping it takes the container
/// off.
pub(crate) struct Endpoint {
    dir: PathBuf,
    network: Network,
    lease: Lease,
    /// What the host lends to it; none, once it is off.
    held: Option<Held>,
}

struct Held {
    _alive: Alive,
    _ports: Vec<OwnedFd>,
    _responder: Responder,
}

/// What the link is called inside.
const INSIDE: &str = "eth0";

impl Endpoint {
    /// Puts a container on a network: its addresses, its ports, and the host's side of
    /// them.
    ///
    /// # Errors
    /// What is taken, dropped or refused, and by whom. Nothing is left then.
    pub(crate) fn join(
        dir: &Path,
        name: Option<&NetworkName>,
        id: &Id,
        wanted: LeaseRequest,
        firewall: Firewall,
    ) -> Result<Self> {
        let mut store = NetworkStore::open(dir)?;
        let mut netlink = Netlink::open()?;
        host::remove_stale(&mut store, &mut netlink)?;
        let mut noted = find_or_make(&store, &mut netlink, name)?;
        refuse_ports(&noted.network, &wanted)?;
        let lease = Lease::choose(&noted, id, &wanted)?;
        let ports = port_reservation::reserve(
            &store,
            &lease.ports,
            noted.network.subnet6.is_some(),
        )?;
        let alive = store.live(id)?;
        noted.leases.push(lease.clone());
        let network = noted.network.clone();
        store.note(noted)?;

        match prepare(&mut store, &mut netlink, &network, &lease, firewall) {
            Ok(responder) => {
                let held =
                    Some(Held { _alive: alive, _ports: ports, _responder: responder });
                Ok(Endpoint { dir: dir.into(), network, lease, held })
            }
            Err(error) => {
                // That says more than what goes wrong now; the next one puts it right.
                let _ = take_off(&mut store, &mut netlink, &network.name, &lease);
                Err(error)
            }
        }
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
    ///
    /// # Errors
    /// The kernel's reason.
    // Task 8.3: the other end is made in the namespace, and is never seen here.
    pub(crate) fn plug_in(&self, namespace: BorrowedFd<'_>) -> Result<()> {
        let mut netlink = Netlink::open()?;
        netlink.add_veth(&self.lease.link, INSIDE, self.lease.mac, namespace)?;
        let cable = netlink.link(&self.lease.link)?;
        let cable = cable.ok_or_else(|| {
            Failure::new(format_args!("the link {} is gone", self.lease.link))
        })?;
        let bridge = self.network.link(&mut netlink)?;
        netlink.plug(&cable, &bridge)
    }
    // ANCHOR_END: plug-in

    // ANCHOR: configure
    /// In the child: its addresses, and its way out, if it is to have one.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn configure(&self, netlink: &mut Netlink) -> Result<()> {
        let link = netlink.link(INSIDE)?.ok_or_else(|| {
            Failure::new(format_args!("the cable's end {INSIDE} is gone"))
        })?;
        sysctl::believe_nobody(INSIDE, self.network.subnet6.is_some())?;
        for address in
            self.lease.addresses.iter().filter_map(|ip| self.network.with_prefix(*ip))
        {
            netlink.add_address(
                "its address on the network",
                link.index,
                INSIDE,
                address,
            )?;
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

    /// Takes the container off; with the last one goes all that was made for them.
    ///
    /// # Errors
    /// All that could not be undone, in one; what could is.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<()> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let mut store = NetworkStore::open(&self.dir)?;
        let mut netlink = Netlink::open()?;
        drop(held); // the responder ends with the last who holds it
        take_off(&mut store, &mut netlink, &self.network.name, &self.lease)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // An error is on its way already, and says more. What is left is found by `gc`.
        let _ = self.let_go();
    }
}

fn find_or_make(
    store: &NetworkStore,
    netlink: &mut Netlink,
    name: Option<&NetworkName>,
) -> Result<NetworkRecord> {
    match name {
        Some(name) => store.network(&name.0).cloned(),
        None => match store.networks.get(DEFAULT) {
            Some(noted) => Ok(noted.clone()),
            None => Ok(NetworkRecord {
                network: Network::by_default(store, netlink)?,
                leases: Vec::new(),
            }),
        },
    }
}

fn refuse_ports(network: &Network, wanted: &LeaseRequest) -> Result<()> {
    let needs_ipv6 = |port: &&Port| {
        port.ip.is_some_and(|ip| ip.is_ipv6()) && network.subnet6.is_none()
    };
    let (port, why) = match (
        network.isolation,
        wanted.ports.first(),
        wanted.ports.iter().find(needs_ipv6),
    ) {
        (Isolation::Internal, Some(port), _) => {
            (port, "is an internal network, which nothing gets into")
        }
        (_, _, Some(port)) => (port, "has no IPv6"),
        _ => return Ok(()),
    };
    let failure = Failure::new(format_args!("-p {port}: {} {why}", network.name));
    Err(failure.hint("choose another network, or leave -p out").into())
}

/// The host's side of a network that has containers now.
fn prepare(
    store: &mut NetworkStore,
    netlink: &mut Netlink,
    network: &Network,
    lease: &Lease,
    firewall: Firewall,
) -> Result<Responder> {
    let uplinks = host::uplinks(store, netlink)?;
    firewall::admit(store, network, &uplinks, firewall)?;
    network.raise(netlink)?;
    kit::combine(host::reconcile(store, netlink))?;
    nft::forget(&lease.addresses)?;
    Responder::ensure(&ResponderOptions {
        leases: store.leases_path(&network.name),
        bridge: network.bridge.clone(),
        gateways: network.subnets().collect(),
        forwarding: match network.isolation {
            Isolation::Internal => Forwarding::Off,
            Isolation::Open | Isolation::Isolated => Forwarding::On,
        },
    })
}

fn take_off(
    store: &mut NetworkStore,
    netlink: &mut Netlink,
    name: &str,
    lease: &Lease,
) -> Result<()> {
    let mut errors = Vec::new();
    // It goes with the namespace, too, but some time later.
    errors.extend(netlink.remove_link(&lease.link).err());
    if let Some(mut noted) = store.networks.get(name).cloned() {
        noted.leases.retain(|other| other.id != lease.id);
        errors.extend(store.note(noted).err());
    }
    store.bury(&lease.id);
    errors.extend(host::reconcile(store, netlink));
    kit::combine(errors)
}
