//! The responder's event loop: one thread waits for questions, for the answers of other
//! servers, and for the last runtime to exit.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use rustix::net::{SocketFlags, bind, listen, sockopt};

use super::ResponderOptions;
use super::forward::{PORT, Query};
use super::pending::Request;
use super::queue::{ClientAnswer, ForwardQueue};
use super::reply::{Authority, MAX_QUESTION, Reply};
use super::tcp::Connections;
use super::watched_file::WatchedFile;
use super::zone::Zone;
use crate::etc::{NameServer, ResolvConf};
use crate::port::Protocol;
use crate::subnet::Subnet;

/// The most questions that are read from one socket before the other sockets are read.
const MAX_AT_ONCE: usize = 64;
/// The bytes of questions that the kernel keeps until they are read: socket(7),
/// SO_RCVBUF.
const RECEIVE_BUFFER: usize = 2 << 20;
/// The most connections that wait for accept: listen(2).
const BACKLOG: i32 = 16;

/// A responder's sockets, and everything that its answers depend on.
pub(crate) struct Server {
    options: ResponderOptions,
    gateways: Arc<[Subnet]>,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    zone: WatchedFile<Arc<Zone>>,
    host: WatchedFile<ResolvConf>,
    forwarded: ForwardQueue,
    connections: Connections,
    /// Rotates the addresses of a name that several containers share.
    turn: usize,
}

impl Server {
    /// Listens on port 53 of each gateway for questions that arrive on the bridge.
    pub(crate) fn listen(
        options: &ResponderOptions,
        zone: WatchedFile<Arc<Zone>>,
        host: WatchedFile<ResolvConf>,
    ) -> Result<Self> {
        let (mut udp, mut tcp) = (Vec::new(), Vec::new());
        for gateway in &options.gateways {
            let address = SocketAddr::from((gateway.ip(), PORT));
            udp.push(open_socket(&options.bridge, address, Protocol::Udp)?.into());
            tcp.push(open_socket(&options.bridge, address, Protocol::Tcp)?.into());
        }
        Ok(Server {
            options: options.clone(),
            gateways: options.gateways.as_slice().into(),
            udp,
            tcp,
            zone,
            host,
            forwarded: ForwardQueue::default(),
            connections: Connections::default(),
            turn: 0,
        })
    }

    /// Reads the lease file for the first time.
    pub(crate) fn read_zone(&mut self) -> Result<()> {
        self.zone
            .get(|text| Zone::parse(text).map(Arc::new))
            .context("read(the network's leases)")?;
        Ok(())
    }

    /// Answers until no runtime has the FIFO `users` open any more.
    pub(crate) fn serve(&mut self, users: BorrowedFd<'_>) -> Result<()> {
        loop {
            let ready = self.wait(users)?;
            if ready[0].contains(PollFlags::POLLHUP) {
                return Ok(());
            }
            let sockets = self.udp.len() + self.tcp.len();
            let (listening, forwarded) = ready[1..].split_at(sockets);
            let answers = self.forwarded.advance(forwarded);
            answers.into_iter().for_each(|answer| self.send_answer(answer));
            for (index, events) in listening.iter().enumerate() {
                match index.checked_sub(self.udp.len()) {
                    _ if events.is_empty() => {}
                    None => self.receive_questions(index),
                    Some(index) => self.accept(index),
                }
            }
        }
    }

    /// Waits for the next event or deadline. Returns the events of `users`, of the UDP
    /// and TCP sockets and of the forwarded questions, in this order.
    fn wait(&self, users: BorrowedFd<'_>) -> Result<Vec<PollFlags>> {
        let udp = self.udp.iter().map(AsFd::as_fd);
        let tcp = self.tcp.iter().map(AsFd::as_fd);
        let mut ready = vec![PollFd::new(users, PollFlags::empty())];
        ready.extend(
            udp.chain(tcp)
                .chain(self.forwarded.sockets())
                .map(|socket| PollFd::new(socket, PollFlags::POLLIN)),
        );
        match poll(&mut ready, self.timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll(the responder's sockets)"),
        }
        Ok(ready.iter().map(|it| it.revents().unwrap_or(PollFlags::empty())).collect())
    }

    /// The time until the first deadline of a forwarded question.
    fn timeout(&self) -> PollTimeout {
        let Some(deadline) = self.forwarded.deadline() else {
            return PollTimeout::NONE;
        };
        let left: Duration = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that poll never returns just before the deadline.
        PollTimeout::from(left.as_millis() as u16 + 1)
    }

    fn receive_questions(&mut self, socket_index: usize) {
        for _ in 0..MAX_AT_ONCE {
            // A longer message than the longest question fills the last byte.
            let mut message = [0; MAX_QUESTION + 1];
            match self.udp[socket_index].recv_from(&mut message) {
                Ok((length, client)) => {
                    self.reply(&message[..length], client, socket_index)
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {} // ECONNREFUSED: a client has closed its socket
            }
        }
    }

    fn reply(&mut self, message: &[u8], client: SocketAddr, socket_index: usize) {
        let authority = self.authority();
        if !authority.zone.is_leased(client.ip()) {
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        match authority.reply(message, Protocol::Udp, self.turn) {
            Reply::Answer(answer) => self.send(socket_index, &answer, client),
            Reply::Forward { question_end } => {
                let query = Query::new(message, question_end);
                self.forward(query, &authority.zone, client, socket_index);
            }
            Reply::Ignore => {}
        }
    }

    fn forward(
        &mut self,
        query: Query,
        zone: &Zone,
        client: SocketAddr,
        socket_index: usize,
    ) {
        let (servers, arrived) = (self.servers(zone, client.ip()), Instant::now());
        let request = Request { query, servers, client, socket_index, arrived };
        if let Some(answer) = self.forwarded.add(request) {
            self.send_answer(answer);
        }
    }

    fn send_answer(&self, answer: ClientAnswer) {
        self.send(answer.socket_index, &answer.message, answer.client);
    }

    fn accept(&mut self, index: usize) {
        // An error: the client has closed the connection again.
        let Ok((stream, client)) = self.tcp[index].accept() else { return };
        let authority = self.authority();
        if authority.zone.is_leased(client.ip()) {
            let servers = self.servers(&authority.zone, client.ip());
            self.connections.serve(stream, client.ip(), authority, servers);
        }
    }

    fn send(&self, socket_index: usize, answer: &[u8], client: SocketAddr) {
        let _ = self.udp[socket_index].send_to(answer, client); // it may have ended
    }

    fn authority(&mut self) -> Authority {
        // `read_zone` has read it. If it cannot be read now, the network is being
        // removed.
        let zone = self.zone.get(|text| Zone::parse(text).map(Arc::new));
        Authority {
            zone: zone.cloned().unwrap_or_default(),
            gateways: Arc::clone(&self.gateways),
            forwarding: self.options.forwarding,
        }
    }

    /// The servers to which a container's questions are forwarded; never the responder
    /// itself.
    fn servers(&mut self, zone: &Zone, client: IpAddr) -> Vec<NameServer> {
        let mut servers = match zone.dns_servers(client) {
            [] => self
                .host
                .get(|text| Some(ResolvConf::parse(text)))
                .map_or(Vec::new(), |host| host.servers.clone()),
            own => own.into(),
        };
        let is_responder =
            |server: &NameServer| self.gateways.iter().any(|it| it.ip() == server.ip);
        servers.retain(|server| !is_responder(server));
        servers
    }
}

fn open_socket(
    bridge: &str,
    address: SocketAddr,
    protocol: Protocol,
) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let operands = format_args!("{address}/{protocol}");
    kit::call("listen for questions about names", "bind", operands, || {
        let socket = protocol.socket(address, flags)?;
        // An IPv6 address is usable only some time after it was added (RFC 4862, 5.4);
        // with FREEBIND it can be bound before.
        match address {
            SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
            SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
        }
        setsockopt(&socket, BindToDevice, &OsString::from(bridge))?;
        if protocol == Protocol::Udp {
            sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
                .or_else(|_| {
                    sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)
                })?;
        }
        if protocol == Protocol::Tcp {
            // Connections of an earlier responder may still be in TIME_WAIT.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        bind(&socket, &address)?;
        if protocol == Protocol::Tcp {
            listen(&socket, BACKLOG)?;
        }
        Ok::<_, std::io::Error>(socket)
    })
}
