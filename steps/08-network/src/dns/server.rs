//! The responder at work: one thread waits for questions, for answers of others, and
//! for the end.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt,
};

use super::Outside;
use super::answer::{Carrier, Known, LONGEST_QUESTION, Reply};
use super::forward::{Asked, PORT, Pending, Progress};
use super::names::Names;
use super::tcp::{Connections, Snapshot};
use super::watched::Watched;
use crate::etc::Resolv;
use crate::subnet::Subnet;

/// How many questions are on their way to others at most, of all and of one container.
/// Who asks more is told that there is no answer, and asks again.
const PENDING: (usize, usize) = (256, 64);
/// How many questions are read before the others have their turn.
const AT_ONCE: usize = 64;
/// How many connections wait until we take them: listen(2).
const BACKLOG: i32 = 16;

/// A responder that listens.
pub(crate) struct Server {
    gateways: Vec<Subnet>,
    outside: Outside,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    names: Watched<Arc<Names>>,
    host: Watched<Resolv>,
    pending: Vec<Pending>,
    connections: Connections,
    turn: usize,
    buffer: Vec<u8>,
}

impl Server {
    /// Listens at port 53 of each gateway to what comes by the bridge.
    pub(crate) fn listen(
        bridge: &str,
        gateways: &[Subnet],
        outside: Outside,
        names: Watched<Arc<Names>>,
        host: Watched<Resolv>,
    ) -> Result<Self> {
        let at = |gateway: &Subnet| SocketAddr::from((gateway.ip(), PORT));
        let udp: Result<Vec<UdpSocket>> = gateways
            .iter()
            .map(|it| Ok(open(bridge, at(it), SocketType::DGRAM)?.into()))
            .collect();
        let tcp: Result<Vec<TcpListener>> = gateways
            .iter()
            .map(|it| Ok(open(bridge, at(it), SocketType::STREAM)?.into()))
            .collect();
        Ok(Server {
            gateways: gateways.into(),
            outside,
            udp: udp?,
            tcp: tcp?,
            names,
            host,
            pending: Vec::new(),
            connections: Connections::default(),
            turn: 0,
            buffer: vec![0; 1 << 16],
        })
    }

    /// Reads the lease file for the first time.
    pub(crate) fn check_names(&mut self) -> Result<()> {
        self.names
            .get(|text| Names::parse(text).map(Arc::new))
            .context("read(the network's leases)")?;
        Ok(())
    }

    /// Answers until the other end of `users`, which every runtime holds, is closed
    /// everywhere.
    pub(crate) fn serve(&mut self, users: BorrowedFd<'_>) -> Result<()> {
        loop {
            let now = Instant::now();
            let next = self
                .pending
                .iter()
                .map(|pending| pending.deadline.saturating_duration_since(now))
                .min();
            let ready = self.wait(users, next)?;
            if ready[0].contains(PollFlags::POLLHUP) {
                return Ok(());
            }
            let (listening, waiting) =
                ready[1..].split_at(self.udp.len() + self.tcp.len());
            self.hear(waiting);
            for (index, events) in listening.iter().enumerate() {
                match index.checked_sub(self.udp.len()) {
                    _ if events.is_empty() => {}
                    None => self.answer(index),
                    Some(index) => self.accept(index),
                }
            }
        }
    }

    /// What has happened: to `users`, to our sockets, to the questions on their way.
    fn wait(
        &self,
        users: BorrowedFd<'_>,
        longest: Option<Duration>,
    ) -> Result<Vec<PollFlags>> {
        let sockets =
            self.udp.iter().map(AsFd::as_fd).chain(self.tcp.iter().map(AsFd::as_fd));
        let sockets =
            sockets.chain(self.pending.iter().map(|pending| pending.socket().as_fd()));
        let mut ready = vec![PollFd::new(users, PollFlags::empty())];
        ready.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
        // Rounded up: a deadline that is nearly reached is not asked about in a circle.
        let limit = longest
            .map(|it| it.as_millis() as u16 + 1)
            .map_or(PollTimeout::NONE, PollTimeout::from);
        match poll(&mut ready, limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for questions"),
        }
        Ok(ready.iter().map(|it| it.revents().unwrap_or(PollFlags::empty())).collect())
    }

    /// Answers what has come to one of our sockets.
    fn answer(&mut self, via: usize) {
        self.udp[via].set_nonblocking(true).ok();
        for _ in 0..AT_ONCE {
            // One more than the longest question: what is longer is seen to be.
            let mut message = [0; LONGEST_QUESTION + 1];
            match self.udp[via].recv_from(&mut message) {
                Ok((length, client)) => {
                    self.answer_one(&message[..length], client, via)
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {} // what came of an earlier answer, to somebody who is gone
            }
        }
    }

    fn answer_one(&mut self, message: &[u8], client: SocketAddr, via: usize) {
        let names = self.names();
        if !names.has(client.ip()) {
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let known = Known {
            names: &names,
            gateways: &self.gateways,
            outside: self.outside,
            turn: self.turn,
        };
        match known.reply(message, Carrier::Udp) {
            Reply::Say(answer) => self.say(via, &answer, client),
            Reply::Ask { question_end } => {
                self.ask(Asked::new(message, question_end), &names, client, via)
            }
            Reply::Nothing => {}
        }
    }

    fn ask(&mut self, asked: Asked, names: &Names, client: SocketAddr, via: usize) {
        let own = self
            .pending
            .iter()
            .filter(|pending| pending.client.ip() == client.ip())
            .count();
        if self.pending.len() >= PENDING.0 || own >= PENDING.1 {
            return self.say(via, &asked.failure(), client);
        }
        let servers = self.servers(names, client.ip());
        match Pending::ask(asked, servers, client, via) {
            Ok(pending) => self.pending.push(pending),
            Err(asked) => self.say(via, &asked.failure(), client),
        }
    }

    /// Takes the answers of others, and asks the next where one has had its time.
    fn hear(&mut self, ready: &[PollFlags]) {
        let now = Instant::now();
        for index in (0..self.pending.len()).rev() {
            let pending = &mut self.pending[index];
            let progress = match ready.get(index) {
                Some(events) if !events.is_empty() => pending.receive(&mut self.buffer),
                _ if pending.deadline <= now => pending.give_up(),
                _ => Progress::Waiting,
            };
            if let Progress::Answered(answer) = progress {
                let Pending { client, via, .. } = self.pending.swap_remove(index);
                self.say(via, &answer, client);
            }
        }
    }

    fn accept(&mut self, index: usize) {
        // it has gone again
        let Ok((stream, client)) = self.tcp[index].accept() else { return };
        let client = client.ip();
        let names = self.names();
        if !names.has(client) {
            return;
        }
        let servers = self.servers(&names, client);
        let snapshot = Snapshot {
            names,
            gateways: self.gateways.clone(),
            outside: self.outside,
            servers,
        };
        self.connections.serve(stream, client, snapshot);
    }

    fn say(&self, via: usize, answer: &[u8], client: SocketAddr) {
        let _ = self.udp[via].send_to(answer, client); // who has asked may be gone
    }

    fn names(&mut self) -> Arc<Names> {
        // It was readable at the start. If it no longer is, the network is being
        // removed.
        self.names
            .get(|text| Names::parse(text).map(Arc::new))
            .cloned()
            .unwrap_or_default()
    }

    /// Whom this container's questions go to; never ourselves.
    fn servers(&mut self, names: &Names, client: IpAddr) -> Vec<IpAddr> {
        let own = names.asked_by(client);
        let mut servers = match own {
            [] => self
                .host
                .get(|text| Some(Resolv::parse(text)))
                .map_or(Vec::new(), |it| it.servers.clone()),
            own => own.into(),
        };
        servers.retain(|server| {
            self.gateways.iter().all(|gateway| gateway.ip() != *server)
        });
        servers
    }
}

fn open(bridge: &str, address: SocketAddr, kind: SocketType) -> Result<OwnedFd> {
    let (family, name) = match (address.is_ipv4(), kind == SocketType::STREAM) {
        (true, is_tcp) => (AddressFamily::INET, if is_tcp { "TCP" } else { "UDP" }),
        (false, is_tcp) => (AddressFamily::INET6, if is_tcp { "TCP" } else { "UDP" }),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    kit::call(
        "names are asked for here",
        "bind",
        format_args!("{address}, {name}"),
        || {
            let socket = socket_with(family, kind, flags, None)?;
            // An IPv6 address can be used only a second after it was given (RFC 4862,
            // 5.4).
            match address.is_ipv4() {
                true => sockopt::set_ip_freebind(&socket, true)?,
                false => sockopt::set_ipv6_freebind(&socket, true)?,
            }
            if kind == SocketType::STREAM {
                // connections of a responder before us
                sockopt::set_socket_reuseaddr(&socket, true)?;
            }
            setsockopt(&socket, BindToDevice, &OsString::from(bridge))?;
            bind(&socket, &address)?;
            if kind == SocketType::STREAM {
                listen(&socket, BACKLOG)?;
            }
            Ok::<_, std::io::Error>(socket)
        },
    )
}
