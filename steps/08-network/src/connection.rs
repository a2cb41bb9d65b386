//! A container's connection: what it has of the network, from before it starts until
//! after it ends.

use std::cell::OnceCell;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use exec::CloneFlags;
use kit::{Failure, Hint, Id, program};
use nix::unistd::Pid;

use crate::endpoint::Endpoint;
use crate::etc::{self, EtcFiles, HostsFile, ResolvConf};
use crate::lease::LeaseRequest;
use crate::netlink::Netlink;
use crate::options::{NetworkMode, NetworkOptions, PastaOptions};
use crate::pasta::{self, Pasta};
use crate::port::Port;

/// What a container has of the network. Dropped, what was made for it is undone.
pub struct Connection {
    attachment: Attachment,
    hostname: String,
    names: NameOptions,
}

enum Attachment {
    /// The host's own network.
    Host,
    /// A namespace with nothing but itself.
    Alone,
    /// A cable to a bridge.
    Bridge(Box<Endpoint>),
    /// A namespace that pasta speaks for.
    Pasta(PastaOptions, OnceCell<Pasta>),
}

/// What was asked for of names.
struct NameOptions {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    added: Vec<etc::AddHost>,
    aliases: Vec<String>,
}

/// Prepares the host's side of a container's network, before there is any process.
///
/// # Errors
/// When there is no such network, an address or a port is taken, the host's firewall
/// would drop what the container sends, or the kernel refuses. Nothing is left then.
pub fn connect(
    options: &NetworkOptions,
    id: &Id,
    hostname: &str,
) -> Result<Connection> {
    let attachment = match &options.mode {
        NetworkMode::Host => Attachment::Host,
        NetworkMode::None => Attachment::Alone,
        NetworkMode::Pasta(pasta) => {
            tell_of_open(&pasta.ports);
            Attachment::Pasta(pasta.clone(), OnceCell::new())
        }
        NetworkMode::Bridge(bridge) => {
            let wanted = LeaseRequest {
                hostname: hostname.into(),
                aliases: options.aliases.clone(),
                ip: bridge.ip.map(IpAddr::V4),
                ip6: bridge.ip6.map(IpAddr::V6),
                mac: bridge.mac,
                dns: options.dns_servers.clone(),
                ports: bridge.ports.clone(),
            };
            let endpoint = Endpoint::join(
                &bridge.dir,
                bridge.network.as_ref(),
                id,
                wanted,
                bridge.firewall,
            )?;
            tell_of_open(endpoint.ports());
            Attachment::Bridge(Box::new(endpoint))
        }
    };
    let names = NameOptions {
        servers: options.dns_servers.clone(),
        search: options.dns_search.clone(),
        added: options.add_hosts.clone(),
        aliases: options.aliases.clone(),
    };
    Ok(Connection { attachment, hostname: hostname.into(), names })
}

/// Says loudly what every other host can reach now.
fn tell_of_open(ports: &[Port]) {
    let open: Vec<_> = ports.iter().filter(|port| port.ip.is_none()).collect();
    let Some(first) = open.first() else { return };
    let which = match open.len() {
        1 => format!("port {} is", first.host),
        more => format!("port {} and {} more are", first.host, more - 1),
    };
    let local = format!("127.0.0.1:{}:{}", first.host, first.inside);
    program::say(format_args!(
        "note: {which} open to every host that reaches this one; -p {local} keeps it here"
    ));
}

impl Connection {
    /// The namespace of this step, if there is to be one: clone(2), CLONE_NEWNET.
    pub fn namespace(&self) -> CloneFlags {
        match self.attachment {
            Attachment::Host => CloneFlags::empty(),
            _ => CloneFlags::CLONE_NEWNET,
        }
    }

    /// In the parent, while the child waits: connects its namespace.
    ///
    /// # Errors
    /// What the kernel says, or pasta.
    pub fn plug_in(&self, child: Pid) -> Result<()> {
        match &self.attachment {
            Attachment::Host | Attachment::Alone => Ok(()),
            Attachment::Bridge(endpoint) => {
                let path = format!("/proc/{child}/ns/net");
                let namespace =
                    File::open(&path).with_context(|| format!("open {path}"))?;
                endpoint.plug_in(namespace.as_fd())
            }
            Attachment::Pasta(options, pasta) => {
                let _ = pasta.set(Pasta::start(options, child)?); // it is set once
                Ok(())
            }
        }
    }

    /// In the child: turns on what it has, and gives it its addresses and its way out.
    ///
    /// # Errors
    /// What the kernel says.
    // Task 8.4: a new namespace has a loopback link, and that is off.
    pub fn configure(&self) -> Result<()> {
        if let Attachment::Host = self.attachment {
            return Ok(());
        }
        let mut netlink = Netlink::open()?;
        let loopback = netlink
            .link("lo")?
            .ok_or_else(|| Failure::new("the namespace has no lo"))?;
        netlink.turn_on(&loopback)?;
        match &self.attachment {
            Attachment::Bridge(endpoint) => endpoint.configure(&mut netlink),
            _ => Ok(()),
        }
    }

    /// In the child, once its root is furnished: shows it /etc/hosts, /etc/hostname and
    /// /etc/resolv.conf.
    ///
    /// # Errors
    /// What [`etc::mount`] says.
    pub fn name_in(&self, root: BorrowedFd<'_>) -> Result<()> {
        let (servers, search) = (&self.names.servers, &self.names.search);
        let (addresses, gateways, resolv) = match &self.attachment {
            Attachment::Host => (
                vec![],
                vec![],
                ResolvConf::read_of_host().with_options(servers, search),
            ),
            Attachment::Alone => {
                (vec![], vec![], ResolvConf::default().with_options(servers, search))
            }
            Attachment::Pasta(..) => (
                vec![],
                vec![],
                ResolvConf::read_for_container()
                    .with_fallback(pasta::DNS_FORWARDER)
                    .with_options(servers, search),
            ),
            Attachment::Bridge(endpoint) => {
                let gateways = endpoint.gateways();
                // It asks the responder of its network, which asks those of --dns for
                // it.
                let resolv = ResolvConf::read_for_container()
                    .with_options(&[], search)
                    .with_responder(&gateways);
                (endpoint.addresses().to_vec(), gateways, resolv)
            }
        };
        let gateway = match self.attachment {
            Attachment::Host | Attachment::Alone => Some(IpAddr::from([127, 0, 0, 1])),
            _ => gateways.first().copied(),
        };
        let of_host = if let Attachment::Host = self.attachment {
            HostsFile::read_of_host()
        } else {
            String::new()
        };
        let added =
            self.names.added.iter().filter_map(|host| host.resolve(gateway)).collect();
        let hosts = HostsFile {
            of_host,
            addresses,
            aliases: self.names.aliases.clone(),
            added,
        };
        etc::mount(
            root,
            &EtcFiles { hostname: self.hostname.clone(), hosts, resolv_conf: resolv },
        )
    }

    /// At the end: undoes what was made for it. What cannot be undone is told, and left
    /// to `gc`; the command has ended as it did, and that stays the result.
    pub fn undo_or_tell(self) {
        let Attachment::Bridge(endpoint) = self.attachment else { return };
        let Err(error) = endpoint.leave().hint("remove what is left with `gc` later")
        else {
            return;
        };
        let failure = Failure::of(&error);
        program::say(format_args!(
            "warning: the command has ended, but something of its network stays: {failure}"
        ));
        failure
            .hint_text()
            .into_iter()
            .for_each(|hint| program::say(format_args!("hint: {hint}")));
    }
}
