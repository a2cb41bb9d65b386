//! Published ports are taken on the host as long as the container lives, so that nobody
//! else thinks that they are free; and who has one already is named.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::Result;
use kit::{Failure, Hint};
use nix::errno::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt,
};

use crate::port::{Port, Protocol};
use crate::store::NetworkStore;

/// Takes the ports, and returns what holds them.
///
/// # Errors
/// When one is taken, with who has it where that can be known.
pub(crate) fn reserve(
    store: &NetworkStore,
    ports: &[Port],
    has_ipv6: bool,
) -> Result<Vec<OwnedFd>> {
    let mut held = Vec::new();
    for port in ports {
        let all =
            [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let own = port.ip.map(|ip| vec![ip]);
        for ip in own.unwrap_or_else(|| all[..1 + usize::from(has_ipv6)].into()) {
            held.push(take(store, port, ip)?);
        }
    }
    Ok(held)
}

fn take(store: &NetworkStore, port: &Port, ip: IpAddr) -> Result<OwnedFd> {
    let address = SocketAddr::new(ip, port.host);
    let operands = format!("{address}/{}", port.protocol);
    let taken = kit::call("nobody else gets this port", "bind", operands, || {
        socket_at(address, port.protocol)
    });
    match taken {
        Err(error) if kit::errno(&error) == Some(Errno::EADDRINUSE) => {
            let what = match holder(store, port) {
                Some(who) => format!(
                    "port {}/{} is taken: {who} has it",
                    port.host, port.protocol
                ),
                None => format!("port {}/{} is taken", port.host, port.protocol),
            };
            Err(Failure::new(what)
                .hint("end that, or publish another port with -p")
                .into())
        }
        other => other
            .hint_on(
                Errno::EADDRNOTAVAIL,
                format_args!("{ip} is no address of this host: `ip addr` lists them"),
            )
            .hint_on(Errno::EACCES, "ports below 1024 are root's"),
    }
}

fn socket_at(address: SocketAddr, protocol: Protocol) -> rustix::io::Result<OwnedFd> {
    let family =
        if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // socket(7): what is left of a server that has just ended does not count, a
        // listening one does.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    if protocol == Protocol::Tcp {
        // never accepted: what comes has another destination by then
        listen(&socket, 0)?;
    }
    Ok(socket)
}

/// Who has a port: another container, or a process.
fn holder(store: &NetworkStore, port: &Port) -> Option<String> {
    let leases = store.networks.values().flat_map(|noted| &noted.leases);
    let same =
        |other: &Port| (other.host, other.protocol) == (port.host, port.protocol);
    let container = { leases }.find(|lease| lease.ports.iter().any(same));
    container
        .map(|lease| format!("container {} ({})", lease.id, lease.hostname))
        .or_else(|| process(port))
}

/// proc(5), /proc/net/tcp: the second column is the local address, the tenth the
/// socket's inode.
fn process(port: &Port) -> Option<String> {
    let own = format!(":{:04X}", port.host);
    let inode = ["", "6"].iter().find_map(|version| {
        let table =
            fs::read_to_string(format!("/proc/net/{}{version}", port.protocol)).ok()?;
        let line =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let is_its = |fields: &Vec<&str>| {
            let listens =
                port.protocol == Protocol::Udp || fields.get(3) == Some(&"0A");
            listens && fields.get(1).is_some_and(|address| address.ends_with(&own))
        };
        Some((*{ line }.find(is_its)?.get(9)?).to_owned())
    })?;
    let name = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers =
        { processes }.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let has_it = |pid: &String| {
        let descriptors =
            fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        { descriptors }.any(|entry| {
            fs::read_link(entry.path()).is_ok_and(|link| link.to_str() == Some(&name))
        })
    };
    let pid = { numbers }.find(has_it)?;
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("process {pid} ({})", command.trim()))
}
