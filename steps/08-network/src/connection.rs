//! A container's connection to the network, from before it starts until after it ends.

use std::cell::OnceCell;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use exec::{CloneFlags, Foreground};
use kit::{Hint, Id, RunDir};
use nix::unistd::Pid;

use crate::dns::WatchedResponder;
use crate::endpoint::Endpoint;
use crate::etc::{self, EtcFiles, HostsFile, ResolvConf};
use crate::free_port::choose_free;
use crate::lease::LeaseRequest;
use crate::netlink::Netlink;
use crate::options::{BridgeOptions, NetworkMode, NetworkOptions, PastaOptions};
use crate::pasta::{self, Pasta};
use crate::port::Port;
use crate::unprivileged;

/// A container's connection to the network. Dropping it undoes what was made on the
/// host.
pub struct Connection {
    attachment: Attachment,
    hostname: String,
    options: NetworkOptions,
}

/// The way in which a container is attached to the network.
enum Attachment {
    /// It is in the host's network namespace.
    Host,
    /// It has a loopback link only.
    LoopbackOnly,
    /// It has a cable to a bridge.
    Bridge(Box<Endpoint>),
    /// pasta carries its packets.
    Pasta(PastaOptions, OnceCell<Pasta>),
}

/// Prepares the host's side of a container's network, before the container has a
/// process. `run_dir` is the container's: it tells `gc` whether the container is alive.
///
/// # Errors
/// When there is no such network, an address or a port is taken, the host's firewall
/// would drop the container's packets, or the kernel refuses. Nothing is left then.
pub fn connect(
    options: &NetworkOptions,
    id: &Id,
    hostname: &str,
    run_dir: &RunDir,
) -> Result<Connection> {
    let attachment = match &options.mode {
        NetworkMode::Host => Attachment::Host,
        NetworkMode::None => Attachment::LoopbackOnly,
        NetworkMode::Pasta(pasta) => {
            let ports = choose_free(&pasta.ports)?;
            announce_ports(&pasta.ports, &ports);
            let pasta = PastaOptions { ports, ..pasta.clone() };
            Attachment::Pasta(pasta, OnceCell::new())
        }
        NetworkMode::Bridge(bridge) => {
            let request = lease_request(options, bridge, id, hostname, run_dir)?;
            let endpoint = Endpoint::join(bridge, request)?;
            announce_ports(&bridge.ports, endpoint.ports());
            Attachment::Bridge(Box::new(endpoint))
        }
    };
    Ok(Connection { attachment, hostname: hostname.into(), options: options.clone() })
}

fn lease_request(
    options: &NetworkOptions,
    bridge: &BridgeOptions,
    id: &Id,
    hostname: &str,
    run_dir: &RunDir,
) -> Result<LeaseRequest> {
    let owner = run_dir.owner()?;
    Ok(LeaseRequest {
        id: id.to_string(),
        run_dir: owner.run_dir,
        runtime: Some(owner.runtime),
        hostname: hostname.into(),
        aliases: options.aliases.clone(),
        ip: bridge.ip.map(IpAddr::V4),
        ip6: bridge.ip6.map(IpAddr::V6),
        mac: bridge.mac,
        dns: options.dns_servers.clone(),
        ports: choose_free(&bridge.ports)?,
    })
}

/// Says which ports of the host were chosen, and which every other host can reach now.
fn announce_ports(requested: &[Port], ports: &[Port]) {
    for (requested, port) in requested.iter().zip(ports) {
        if requested.host == 0 {
            kit::notice(format_args!("note: published as {port}"));
        }
    }
    let open: Vec<_> = ports.iter().filter(|port| port.ip.is_none()).collect();
    let Some(first) = open.first() else { return };
    let which = match open.len() {
        1 => format!("port {} is", first.host),
        more => format!("port {} and {} more are", first.host, more - 1),
    };
    let local = format!("127.0.0.1:{}:{}", first.host, first.inside);
    kit::notice(format_args!(
        "note: {which} open to every host that reaches this one; \
         -p {local} keeps it here"
    ));
}

impl Connection {
    /// The namespace that this step adds, if any: clone(2), CLONE_NEWNET.
    pub fn namespace(&self) -> CloneFlags {
        match self.attachment {
            Attachment::Host => CloneFlags::empty(),
            _ => CloneFlags::CLONE_NEWNET,
        }
    }

    /// Connects the network namespace of the child. The parent calls it while the child
    /// waits.
    ///
    /// # Errors
    /// The reason of the kernel, or of pasta.
    pub fn plug_in(&self, child: Pid) -> Result<()> {
        match &self.attachment {
            Attachment::Host | Attachment::LoopbackOnly => Ok(()),
            Attachment::Bridge(endpoint) => {
                let path = format!("/proc/{child}/ns/net");
                let namespace =
                    File::open(&path).with_context(|| format!("open {path}"))?;
                endpoint.plug_in(namespace.as_fd())
            }
            Attachment::Pasta(options, pasta) => {
                let _ = pasta.set(Pasta::start(options, child)?); // the parent calls it once
                Ok(())
            }
        }
    }

    /// Turns on the links of the container, and gives it its addresses and its default
    /// route. The child calls it.
    ///
    /// # Errors
    /// The kernel's reason.
    // Task 8.4: a new namespace has a loopback link, which is off.
    pub fn configure(&self) -> Result<()> {
        if let Attachment::Host = self.attachment {
            return Ok(());
        }
        let mut netlink = Netlink::open()?;
        let loopback = netlink.existing_link("lo")?;
        netlink.turn_on(&loopback)?;
        unprivileged::allow_ports_and_ping();
        match &self.attachment {
            Attachment::Bridge(endpoint) => endpoint.configure(&mut netlink),
            _ => Ok(()),
        }
    }

    /// Mounts /etc/hosts, /etc/hostname and /etc/resolv.conf in the container's root
    /// file system. The child calls it after the other file systems are mounted there.
    ///
    /// # Errors
    /// The errors of [`etc::mount`].
    pub fn mount_etc(&self, root: BorrowedFd<'_>) -> Result<()> {
        let files = EtcFiles {
            hostname: self.hostname.clone(),
            hosts: self.hosts_file(),
            resolv_conf: self.resolv_conf(),
        };
        etc::mount(root, &files)
    }

    /// Makes a runtime that waits for the command with `terminal` start the network's
    /// DNS responder again when it dies.
    pub fn watch<'a>(
        &'a mut self,
        terminal: &'a mut dyn Foreground,
    ) -> WatchedResponder<'a> {
        let responder = match &mut self.attachment {
            Attachment::Bridge(endpoint) => endpoint.responder(),
            _ => None,
        };
        WatchedResponder::new(terminal, responder)
    }

    fn hosts_file(&self) -> HostsFile {
        let localhost = IpAddr::from([127, 0, 0, 1]);
        let (addresses, gateway) = match &self.attachment {
            Attachment::Host => (Vec::new(), Some(localhost)),
            // `Args::plan` refuses `host-gateway`: these containers do not reach
            // the host.
            Attachment::LoopbackOnly | Attachment::Pasta(..) => (Vec::new(), None),
            Attachment::Bridge(endpoint) => {
                let gateway = endpoint.gateways().first().copied();
                (endpoint.addresses().to_vec(), gateway)
            }
        };
        let host_lines = match self.attachment {
            Attachment::Host => HostsFile::read_host_file(),
            _ => String::new(),
        };
        let added_hosts = self.options.add_hosts.iter();
        let added_hosts =
            added_hosts.filter_map(|host| host.resolve(gateway)).collect();
        let aliases = self.options.aliases.clone();
        HostsFile { host_lines, addresses, aliases, added_hosts }
    }

    fn resolv_conf(&self) -> ResolvConf {
        let NetworkOptions { dns_servers, dns_search, dns_options, .. } = &self.options;
        let (conf, servers) = match &self.attachment {
            Attachment::Host => (ResolvConf::read_host_file(), &dns_servers[..]),
            Attachment::LoopbackOnly => (ResolvConf::default(), &dns_servers[..]),
            Attachment::Pasta(..) => {
                let conf = ResolvConf::read_for_container();
                (conf.with_fallback(pasta::DNS_FORWARDER), &dns_servers[..])
            }
            // The container asks the responder, which asks the servers of --dns.
            Attachment::Bridge(_) => (ResolvConf::read_for_container(), &[][..]),
        };
        let conf = conf.with_options(servers, dns_search);
        let conf = ResolvConf { own_options: dns_options.clone(), ..conf };
        match &self.attachment {
            Attachment::Bridge(endpoint) => conf.with_responder(&endpoint.gateways()),
            _ => conf,
        }
    }

    /// Takes the container off the network, after its end. An error becomes a warning,
    /// because the exit status stays that of the command; `gc` removes the rest.
    pub fn undo_or_warn(self) {
        let Attachment::Bridge(endpoint) = self.attachment else { return };
        let result = endpoint.leave().hint("remove what is left with `gc` later");
        if let Err(error) = result {
            let what = "the command has ended, but something of its network stays";
            kit::warn_error(what, &error);
        }
    }
}
