//! A question that other servers have not answered yet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::forward::{MAX_TRIES, PORT, Query, is_refusal};
use crate::etc::NameServer;

/// How long a server has to answer before the next server is asked as well.
const NEXT_SERVER_DELAY: Duration = Duration::from_millis(1200);
/// How long any server has to answer. The C library asks twice, and waits 5 seconds
/// each time (resolv.conf(5)).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client's question, and the servers to ask.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) query: Query,
    pub(crate) servers: Vec<NameServer>,
    /// The address that the question came from.
    pub(crate) client: SocketAddr,
    /// The index of the responder's socket on which it arrived.
    pub(crate) socket_index: usize,
    pub(crate) arrived: Instant,
}

impl Request {
    /// Tells whether a client asks the same question again.
    pub(crate) fn is_repeated_by(&self, other: &Request) -> bool {
        self.client == other.client && self.query == other.query
    }
}

/// A question that was sent to servers. The socket of a slow server stays open until
/// another server has answered, so that a late answer is accepted as well.
#[derive(Debug)]
pub(crate) struct PendingQuery {
    pub(crate) request: Request,
    asked: Vec<AskedServer>,
    /// How often the question was sent.
    tries: usize,
    /// The refusal of a server: the answer, if no other server has a better one.
    refusal: Option<Vec<u8>>,
    next_try: Instant,
}

/// A server that may still answer. Each question to a server has a socket, and so a
/// port, of its own: whoever forges an answer has to guess both the port and the id.
#[derive(Debug)]
struct AskedServer {
    server: NameServer,
    socket: UdpSocket,
    id: [u8; 2],
    has_refused: bool,
}

/// The state of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// An answer may still come.
    Pending,
    Answered(Vec<u8>),
    /// No answer came while the client was waiting.
    GivenUp,
}

impl PendingQuery {
    /// Sends a question to the first of its servers for which sending succeeds.
    pub(crate) fn send(request: Request) -> (Self, Progress) {
        let next_try = request.arrived;
        let (asked, tries, refusal) = (Vec::new(), 0, None);
        let mut pending = PendingQuery { request, asked, tries, refusal, next_try };
        let progress = pending.try_next(Instant::now());
        (pending, progress)
    }

    /// The sockets on which answers arrive.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.asked.iter().map(|asked| &asked.socket)
    }

    /// The time at which [`Self::advance`] must be called even if no answer arrives.
    pub(crate) fn deadline(&self) -> Instant {
        self.next_try.min(self.request.arrived + ANSWER_TIMEOUT)
    }

    /// Reads the answers at the sockets that have some, and asks the next server when
    /// it is time.
    pub(crate) fn advance(
        &mut self,
        has_answer: &[bool],
        now: Instant,
        buffer: &mut [u8],
    ) -> Progress {
        for index in (0..has_answer.len()).filter(|index| has_answer[*index]) {
            if let Some(answer) = self.receive(index, buffer) {
                return Progress::Answered(answer);
            }
        }
        let asked_before = self.asked.len();
        self.asked.retain(|asked| !asked.has_refused);
        if now >= self.request.arrived + ANSWER_TIMEOUT {
            return self.refusal.take().map_or(Progress::GivenUp, Progress::Answered);
        }
        match self.asked.len() < asked_before || now >= self.next_try {
            true => self.try_next(now),
            false => Progress::Pending,
        }
    }

    fn receive(&mut self, index: usize, buffer: &mut [u8]) -> Option<Vec<u8>> {
        let asked = &mut self.asked[index];
        // The socket is connected, so it receives from this server only.
        match asked.socket.recv(buffer) {
            Ok(length) => {
                let answer = self.request.query.accept(&buffer[..length], asked.id)?;
                if !is_refusal(&answer) {
                    return Some(answer);
                }
                self.refusal = Some(answer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {} // ECONNREFUSED: no server listens
        }
        asked.has_refused = true;
        None
    }

    /// Sends the question to the next server. When no server is left that may
    /// answer, the answer is a refusal or a failure.
    fn try_next(&mut self, now: Instant) -> Progress {
        self.next_try = now + NEXT_SERVER_DELAY;
        while self.tries < MAX_TRIES && !self.request.servers.is_empty() {
            let servers = &self.request.servers;
            let server = servers[self.tries % servers.len()].clone();
            let sent = self.ask(server);
            // The question waits until sockets can be opened again.
            if sent.as_ref().is_err_and(is_shortage) {
                return Progress::Pending;
            }
            self.tries += 1;
            if sent.is_ok() {
                return Progress::Pending;
            }
        }
        self.next_try = self.request.arrived + ANSWER_TIMEOUT;
        match self.asked.is_empty() {
            true => Progress::Answered(
                self.refusal.take().unwrap_or_else(|| self.request.query.failure()),
            ),
            false => Progress::Pending,
        }
    }

    /// Sends the question to a server: once more from the same port, if it was asked
    /// already; else from a new port and with a new id.
    fn ask(&mut self, server: NameServer) -> io::Result<()> {
        let query = &self.request.query;
        if let Some(asked) = self.asked.iter().find(|asked| asked.server == server) {
            return asked.socket.send(&query.with_id(asked.id)).map(drop);
        }
        let any: IpAddr = match server.ip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?; // the kernel chooses a random port
        socket.set_nonblocking(true)?;
        socket.connect(server.socket_address(PORT)?)?;
        let id = kit::random()?;
        socket.send(&query.with_id(id))?;
        self.asked.push(AskedServer { server, socket, id, has_refused: false });
        Ok(())
    }
}

/// Tells whether there are too many open files, or too little memory, at the moment.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
