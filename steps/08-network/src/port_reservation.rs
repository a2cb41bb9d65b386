//! Reserves published ports on the host while the container is alive, so that no other
//! program takes them. Names the program that has a port already.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;
use rustix::net::{SocketFlags, bind, listen, sockopt};

use crate::port::{Port, Protocol};
use crate::store::NetworkStore;

/// Reserves ports. They are free again when the returned sockets are closed.
///
/// # Errors
/// When a port is already in use: the container or process that has it, if it can be
/// found.
pub(crate) fn reserve(
    store: &NetworkStore,
    ports: &[Port],
    has_ipv6: bool,
) -> Result<Vec<OwnedFd>> {
    let mut all = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    if has_ipv6 {
        all.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    let mut sockets = Vec::new();
    for port in ports {
        let requested = port.ip.map(|ip| vec![ip]);
        for ip in requested.as_ref().unwrap_or(&all) {
            sockets.push(reserve_one(store, port, *ip)?);
        }
    }
    Ok(sockets)
}

/// Refuses ports that another program has. pasta itself reports no error if it could
/// bind a port for IPv6 only.
///
/// # Errors
/// When a port is in use: the process that has it, if it can be found.
pub(crate) fn refuse_taken(ports: &[Port]) -> Result<()> {
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    for port in ports {
        let requested = port.ip.map(|ip| [ip]);
        for ip in requested.as_ref().map_or(&all[..], |ips| &ips[..]) {
            let bound = bound_socket(SocketAddr::new(*ip, port.host), port.protocol);
            // pasta reports other errors. One of them says that the host has no IPv6.
            if bound.is_err_and(|error| error == rustix::io::Errno::ADDRINUSE) {
                return Err(conflict(port, find_process(port)));
            }
        }
    }
    Ok(())
}

fn conflict(port: &Port, holder: Option<String>) -> anyhow::Error {
    let holder = holder.map(|holder| format!(" by {holder}")).unwrap_or_default();
    let Port { host, protocol, .. } = port;
    Failure::new(format_args!("port {host}/{protocol} is already in use{holder}"))
        .with_kind(FailureKind::Conflict)
        .hint("end that, or publish another port with -p")
        .into()
}

fn reserve_one(store: &NetworkStore, port: &Port, ip: IpAddr) -> Result<OwnedFd> {
    let address = SocketAddr::new(ip, port.host);
    let operands = format!("{address}/{}", port.protocol);
    let reserved = kit::call("reserve the port on the host", "bind", operands, || {
        bound_socket(address, port.protocol)
    });
    match reserved {
        Err(error) if kit::errno(&error) == Some(Errno::EADDRINUSE) => {
            Err(conflict(port, find_holder(store, port)))
        }
        other => other
            .hint_on(
                Errno::EADDRNOTAVAIL,
                format_args!("{ip} is no address of this host: `ip addr` lists them"),
            )
            .hint_on(Errno::EACCES, "only root can use ports below 1024"),
    }
}

/// Makes a socket that is bound to an address of the host.
pub(crate) fn bound_socket(
    address: SocketAddr,
    protocol: Protocol,
) -> rustix::io::Result<OwnedFd> {
    let socket = protocol.socket(address, SocketFlags::CLOEXEC)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // socket(7): connections of a server that has just ended do not keep the port;
        // a server that listens does.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    if protocol == Protocol::Tcp {
        // No connection arrives here: DNAT has changed its destination before.
        listen(&socket, 0)?;
    }
    Ok(socket)
}

/// Finds the container or the process that uses a port.
fn find_holder(store: &NetworkStore, port: &Port) -> Option<String> {
    let mut leases = store.networks().flat_map(|record| &record.leases);
    let same =
        |other: &Port| (other.host, other.protocol) == (port.host, port.protocol);
    leases
        .find(|lease| lease.ports.iter().any(same))
        .map(|lease| format!("container {} ({})", lease.id, lease.hostname))
        .or_else(|| find_process(port))
}

fn find_process(port: &Port) -> Option<String> {
    let socket = format!("socket:[{}]", find_inode(port)?);
    let mut pids = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let has_socket = |pid: &String| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.into_iter().flatten().flatten().any(|entry| {
            fs::read_link(entry.path()).is_ok_and(|it| it.to_str() == Some(&socket))
        })
    };
    let pid = pids.find(has_socket)?;
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("process {pid} ({})", command.trim()))
}

/// Finds the inode of the socket that listens at a port. proc(5), /proc/net/tcp: the
/// second column is the local address, the fourth the state, the tenth the inode.
fn find_inode(port: &Port) -> Option<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{:04X}", port.host);
    ["", "6"].iter().find_map(|version| {
        let path = format!("/proc/net/{}{version}", port.protocol);
        let table = fs::read_to_string(path).ok()?;
        table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let listens = port.protocol == Protocol::Udp || *fields.get(3)? == LISTEN;
            let is_found = listens && fields.get(1)?.ends_with(&suffix);
            is_found.then(|| fields.get(9).map(ToString::to_string))?
        })
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_that_another_program_has_is_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let store = NetworkStore::open(dir.path()).unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let (ip, host) = (Some(address.ip()), address.port());
        let port = Port { ip, host, inside: 80, protocol: Protocol::Tcp };
        let error = reserve(&store, &[port], false).unwrap_err();
        assert_eq!(Failure::of(&error).kind(), FailureKind::Conflict);
    }
}
