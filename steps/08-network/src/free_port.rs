//! Free ports of the host, for `-p 80`, which names only the container's port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::net::getsockname;

use crate::port::Port;
use crate::port_reservation::bound_socket;

/// Chooses a free port of the host for each port that has none yet: `-p 80`. Between
/// this call and the reservation, another program may take it.
///
/// # Errors
/// The kernel's reason: no port of the address is free.
pub(crate) fn choose_free(ports: &[Port]) -> Result<Vec<Port>> {
    // They stay open until all are chosen, so that no port is chosen twice.
    let mut sockets = Vec::new();
    let choose = |port: &Port| match port.host {
        0 => {
            let (host, chosen) = free_port(port)?;
            sockets.extend(chosen);
            Ok(Port { host, ..*port })
        }
        _ => Ok(*port),
    };
    ports.iter().map(choose).collect()
}

/// Finds a port that is free on all requested addresses, and returns it with the
/// sockets that are bound to it. ip(7), ip_local_port_range: for the port 0, the kernel
/// chooses one.
fn free_port(port: &Port) -> Result<(u16, Vec<OwnedFd>)> {
    const ATTEMPTS: usize = 100;
    let ip = port.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut last_reason = rustix::io::Errno::ADDRINUSE;
    for _ in 0..ATTEMPTS {
        let mut host = 0;
        let operands = format!("{}/{}", SocketAddr::new(ip, 0), port.protocol);
        let first = kit::call("a free port of the host", "bind", operands, || {
            let socket = bound_socket(SocketAddr::new(ip, 0), port.protocol)?;
            host = SocketAddr::try_from(getsockname(&socket)?)?.port();
            Ok::<_, rustix::io::Errno>(socket)
        })?;
        if port.ip.is_some() {
            return Ok((host, vec![first]));
        }
        let on_ipv6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), host);
        match bound_socket(on_ipv6, port.protocol) {
            Err(reason @ rustix::io::Errno::ADDRINUSE) => last_reason = reason,
            // Every other error says that the host has no IPv6.
            second => return Ok((host, second.into_iter().chain([first]).collect())),
        }
    }
    Err(last_reason).with_context(|| format!("a free port of the host for {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Protocol;

    #[test]
    fn a_free_port_is_chosen_for_each_port_that_has_none() {
        let port = |ip: Option<IpAddr>, host, inside| Port {
            ip,
            host,
            inside,
            protocol: Protocol::Tcp,
        };
        let local = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let ports = [port(None, 0, 80), port(local, 0, 81), port(None, 8080, 82)];
        let chosen = choose_free(&ports).unwrap();
        let [first, second, third] = chosen[..] else { panic!("{chosen:?}") };
        assert!(first.host > 0 && second.host > 0 && first.host != second.host);
        let inside = [first, second].map(|port| (port.ip, port.inside));
        assert_eq!((inside, third), ([(None, 80), (local, 81)], ports[2]));
    }
}
