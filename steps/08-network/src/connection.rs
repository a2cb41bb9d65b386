//! A container's connection: what it has of the network, from before it starts until
//! after it ends.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use anyhow::Result;
use exec::CloneFlags;
use kit::{Failure, Hint, Id, program};
use nix::unistd::Pid;

use crate::etc::{self, Files, Hosts, Resolv};
use crate::lease::Wanted;
use crate::member::Member;
use crate::netlink::Netlink;
use crate::options::{NetworkMode, NetworkOptions, PastaOptions};
use crate::pasta::{self, Pasta};
use crate::port::Port;

/// What a container has of the network. Dropped, what was made for it is undone.
pub struct Connection {
    kind: Kind,
    hostname: String,
    names: Names,
}

enum Kind {
    /// The host's own network.
    Host,
    /// A namespace with nothing but itself.
    Alone,
    /// A cable to a bridge.
    Bridge(Box<Member>),
    /// A namespace that pasta speaks for.
    Pasta(PastaOptions, OnceCell<Pasta>),
}

/// What was asked for of names.
struct Names {
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
    let kind = match &options.mode {
        NetworkMode::Host => Kind::Host,
        NetworkMode::None => Kind::Alone,
        NetworkMode::Pasta(pasta) => {
            tell_of_open(&pasta.ports);
            Kind::Pasta(pasta.clone(), OnceCell::new())
        }
        NetworkMode::Bridge(bridge) => {
            let wanted = Wanted {
                hostname: hostname.into(),
                aliases: options.aliases.clone(),
                ip: bridge.ip.map(IpAddr::V4),
                ip6: bridge.ip6.map(IpAddr::V6),
                mac: bridge.mac,
                dns: options.dns_servers.clone(),
                ports: bridge.ports.clone(),
            };
            let member = Member::join(
                &bridge.dir,
                bridge.network.as_ref(),
                id,
                wanted,
                bridge.firewall,
            )?;
            tell_of_open(member.ports());
            Kind::Bridge(Box::new(member))
        }
    };
    let names = Names {
        servers: options.dns_servers.clone(),
        search: options.dns_search.clone(),
        added: options.add_hosts.clone(),
        aliases: options.aliases.clone(),
    };
    Ok(Connection { kind, hostname: hostname.into(), names })
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
        match self.kind {
            Kind::Host => CloneFlags::empty(),
            _ => CloneFlags::CLONE_NEWNET,
        }
    }

    /// In the parent, while the child waits: connects its namespace.
    ///
    /// # Errors
    /// What the kernel says, or pasta.
    pub fn plug_in(&self, child: Pid) -> Result<()> {
        match &self.kind {
            Kind::Host | Kind::Alone => Ok(()),
            Kind::Bridge(member) => member.plug_in(child),
            Kind::Pasta(options, pasta) => {
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
        if let Kind::Host = self.kind {
            return Ok(());
        }
        let mut netlink = Netlink::open()?;
        let loopback = netlink
            .link("lo")?
            .ok_or_else(|| Failure::new("the namespace has no lo"))?;
        netlink.turn_on(&loopback)?;
        match &self.kind {
            Kind::Bridge(member) => member.configure(&mut netlink),
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
        let (addresses, gateways, resolv) = match &self.kind {
            Kind::Host => (vec![], vec![], Resolv::of_host().with(servers, search)),
            Kind::Alone => (vec![], vec![], Resolv::default().with(servers, search)),
            Kind::Pasta(..) => (
                vec![],
                vec![],
                Resolv::for_container().or_ask(pasta::RESOLVER).with(servers, search),
            ),
            Kind::Bridge(member) => {
                let gateways = member.gateways();
                // It asks the responder of its network, which asks those of --dns for
                // it.
                let resolv =
                    Resolv::for_container().with(&[], search).at_responder(&gateways);
                (member.addresses().to_vec(), gateways, resolv)
            }
        };
        let gateway = match self.kind {
            Kind::Host | Kind::Alone => Some(IpAddr::from([127, 0, 0, 1])),
            _ => gateways.first().copied(),
        };
        let of_host =
            if let Kind::Host = self.kind { Hosts::of_host() } else { String::new() };
        let added =
            self.names.added.iter().filter_map(|host| host.at(gateway)).collect();
        let hosts =
            Hosts { of_host, addresses, aliases: self.names.aliases.clone(), added };
        etc::mount(root, &Files { hostname: self.hostname.clone(), hosts, resolv })
    }

    /// At the end: undoes what was made for it. What cannot be undone is told, and left
    /// to `gc`; the command has ended as it did, and that stays the result.
    pub fn undo_or_tell(self) {
        let Kind::Bridge(member) = self.kind else { return };
        let Err(error) = member.leave().hint("remove what is left with `gc` later")
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
