//! Questions about names outside the network: forwarded to other DNS servers, and the
//! answers sent back.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::RCODE;

use super::reply::{HEADER, error_answer};

/// How long a server has to answer. Clients wait 5 seconds by default
/// (resolv.conf(5)), which must do for all tries.
const TIMEOUT: Duration = Duration::from_millis(1200);
/// How often a question is sent: to each server in turn.
const TRIES: usize = 4;
/// RFC 1035, 4.2.1.
pub(crate) const PORT: u16 = 53;

/// A message with one question.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    message: Vec<u8>,
    question_end: usize,
}

impl Query {
    pub(crate) fn new(message: &[u8], question_end: usize) -> Self {
        Query { message: message.into(), question_end }
    }

    /// The message with another id, which only the server gets to know.
    fn with_id(&self, id: [u8; 2]) -> Vec<u8> {
        [&id, &self.message[2..]].concat()
    }

    /// The answer with the client's id. None: it does not answer this question, or not
    /// with the id of `with_id`.
    fn accept(&self, answer: &[u8], id: [u8; 2]) -> Option<Vec<u8>> {
        let question = &self.message[HEADER..self.question_end];
        let (name, type_and_class) = question.split_at(question.len() - 4);
        let repeated = answer.get(HEADER..self.question_end)?;
        let (answered_name, answered_type_and_class) = repeated.split_at(name.len());
        // A server may change the case of letters. The lengths of labels are below 64,
        // so none of them is a letter.
        let is_same = answered_name.eq_ignore_ascii_case(name)
            && answered_type_and_class == type_and_class;
        let is_answer =
            answer[2] & 0x80 != 0 && answer[..2] == id && answer[4..6] == [0, 1];
        (is_same && is_answer).then(|| [&self.message[..2], &answer[2..]].concat())
    }

    /// The answer when no server has answered: SERVFAIL.
    pub(crate) fn failure(&self) -> Vec<u8> {
        error_answer(&self.message, self.question_end, RCODE::ServerFailure)
    }
}

/// Whether the server cannot or will not answer (SERVFAIL, REFUSED), so that the next
/// one is asked.
fn is_refusal(answer: &[u8]) -> bool {
    matches!(answer[3] & 0x0f, 2 | 5)
}

/// A question that a server has not answered yet. Each has a socket, and so a port, of
/// its own: to forge an answer one has to guess both the port and the id.
#[derive(Debug)]
pub(crate) struct PendingQuery {
    query: Query,
    socket: UdpSocket,
    id: [u8; 2],
    servers: Vec<IpAddr>,
    tries: usize,
    /// The refusal of a server: the answer, if no other server has a better one.
    refusal: Option<Vec<u8>>,
    pub(crate) deadline: Instant,
    /// The address that the question came from.
    pub(crate) client: SocketAddr,
    /// The index of the responder's socket that it came in by.
    pub(crate) via: usize,
}

impl PendingQuery {
    /// Sends the question to the first of `servers` that it can be sent to. None: there
    /// is no such server.
    pub(crate) fn send(
        query: &Query,
        servers: Vec<IpAddr>,
        client: SocketAddr,
        via: usize,
    ) -> Option<Self> {
        let mut tries = 0;
        let (socket, id) = send_to_next(query, &servers, &mut tries)?;
        Some(PendingQuery {
            query: query.clone(),
            socket,
            id,
            servers,
            tries,
            refusal: None,
            deadline: Instant::now() + TIMEOUT,
            client,
            via,
        })
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Reads the server's answer. None: it is still to come, from this server or the
    /// next.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Option<Vec<u8>> {
        // The socket is connected, so it receives from this server only.
        let answer = match self.socket.recv(buffer) {
            Ok(length) => self.query.accept(&buffer[..length], self.id)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => return self.try_next(), // ECONNREFUSED: no server there
        };
        if is_refusal(&answer) {
            self.refusal = Some(answer);
            return self.try_next();
        }
        Some(answer)
    }

    /// Sends the question to the next server; after the last one, returns the answer
    /// that there is.
    pub(crate) fn try_next(&mut self) -> Option<Vec<u8>> {
        match send_to_next(&self.query, &self.servers, &mut self.tries) {
            Some((socket, id)) => {
                (self.socket, self.id) = (socket, id);
                self.deadline = Instant::now() + TIMEOUT;
                None
            }
            None => Some(self.refusal.take().unwrap_or_else(|| self.query.failure())),
        }
    }
}

/// Sends a question to the next server, from a new port and with a new id.
fn send_to_next(
    query: &Query,
    servers: &[IpAddr],
    tries: &mut usize,
) -> Option<(UdpSocket, [u8; 2])> {
    while *tries < TRIES && !servers.is_empty() {
        let server = servers[*tries % servers.len()];
        *tries += 1;
        if let Ok(sent) = send(query, server) {
            return Some(sent);
        }
    }
    None
}

fn send(query: &Query, server: IpAddr) -> io::Result<(UdpSocket, [u8; 2])> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?; // the kernel chooses a random port
    socket.set_nonblocking(true)?;
    socket.connect((server, PORT))?;
    let id = kit::random()?;
    socket.send(&query.with_id(id))?;
    Ok((socket, id))
}

/// Forwards a question over TCP, for answers that are too long for UDP.
pub(crate) fn forward_over_tcp(query: &Query, servers: &[IpAddr]) -> Vec<u8> {
    let mut answers = servers
        .iter()
        .take(TRIES)
        .filter_map(|server| exchange(query, *server).ok().flatten());
    answers.find(|answer| !is_refusal(answer)).unwrap_or_else(|| query.failure())
}

fn exchange(query: &Query, server: IpAddr) -> io::Result<Option<Vec<u8>>> {
    let mut stream = TcpStream::connect_timeout(&(server, PORT).into(), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let id = kit::random()?;
    write_message(&mut stream, &query.with_id(id))?;
    let answer = read_message(&mut stream, usize::from(u16::MAX))?;
    Ok(query.accept(&answer, id))
}

/// Writes a message to a TCP connection, its length before it: RFC 1035, 4.2.2.
pub(crate) fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length =
        u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

/// Reads a message of at most `max` bytes from a TCP connection.
pub(crate) fn read_message(stream: &mut TcpStream, max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > max {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] =
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03wEb\x00\x00\x01\x00\x01";

    /// The result of accepting an answer with the id 9 in which one byte is changed.
    fn accepted(index: usize, value: u8) -> Option<Vec<u8>> {
        let mut answer = QUESTION.to_vec();
        (answer[1], answer[2]) = (9, 0x81);
        answer[index] = value;
        Query::new(QUESTION, QUESTION.len()).accept(&answer, [0, 9])
    }

    #[test]
    fn only_an_answer_to_this_question_with_this_id_is_accepted() {
        let answer = accepted(14, b'e').expect("a server may change the case");
        assert_eq!(answer[..3], [0, 7, 0x81], "it has the client's id");
        let changed = [(1, 8), (2, 0x01), (5, 2), (13, b'x'), (18, 28), (20, 3)];
        assert!(
            changed.iter().all(|(index, value)| accepted(*index, *value).is_none())
        );
        let query = Query::new(QUESTION, QUESTION.len());
        assert!(
            (0..QUESTION.len())
                .all(|length| query.accept(&QUESTION[..length], [0, 7]).is_none())
        );
    }
}
