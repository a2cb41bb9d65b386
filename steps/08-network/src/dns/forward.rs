//! Questions about names that are not ours: passed on to resolvers, and their answers
//! passed back.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;

/// How long a server has to answer. Who asks waits 5 seconds (resolv.conf(5)), which is
/// for all tries.
const PATIENCE: Duration = Duration::from_millis(1200);
/// How often a question is asked, of one server after the other.
const TRIES: usize = 4;
/// RFC 1035, 4.2.1.
pub(crate) const PORT: u16 = 53;

/// A message that names the question it is about.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    message: Vec<u8>,
    question_end: usize,
}

impl Asked {
    pub(crate) fn new(message: &[u8], question_end: usize) -> Self {
        Asked { message: message.into(), question_end }
    }

    /// The message under another id, which only the server that is asked can know.
    fn under_id(&self, id: [u8; 2]) -> Vec<u8> {
        [&id, &self.message[2..]].concat()
    }

    /// The answer under the asker's id; None if it is none to this question.
    fn answered_by(&self, answer: &[u8], id: [u8; 2]) -> Option<Vec<u8>> {
        let question = &self.message[12..self.question_end];
        let (name, kind) = question.split_at(question.len() - 4);
        let repeated = answer.get(12..self.question_end)?;
        let (answered_name, answered_kind) = repeated.split_at(name.len());
        // A server may spell the name otherwise. Lengths of labels are no letters: all
        // are below 64.
        let is_same = answered_name.eq_ignore_ascii_case(name) && answered_kind == kind;
        let is_answer =
            answer[2] & 0x80 != 0 && answer[..2] == id && answer[4..6] == [0, 1];
        (is_same && is_answer).then(|| [&self.message[..2], &answer[2..]].concat())
    }

    /// What is said when nobody has answered.
    pub(crate) fn failure(&self) -> Vec<u8> {
        super::answer::failure(&self.message, self.question_end)
    }
}

/// Whether the server says that it cannot or will not (SERVFAIL, REFUSED): another may.
fn is_unhelpful(answer: &[u8]) -> bool {
    matches!(answer[3] & 0x0f, 2 | 5)
}

/// A question on its way. Each has a socket, and so a port, of its own: who would forge
/// an answer must guess that and the id.
#[derive(Debug)]
pub(crate) struct Pending {
    asked: Asked,
    socket: UdpSocket,
    id: [u8; 2],
    servers: Vec<IpAddr>,
    tried: usize,
    /// An answer that says "I cannot", for when nobody has a better one.
    unhelpful: Option<Vec<u8>>,
    pub(crate) deadline: Instant,
    /// Who wants to know.
    pub(crate) client: SocketAddr,
    /// Which of our sockets it came to.
    pub(crate) via: usize,
}

/// How a question stands.
pub(crate) enum Progress {
    Waiting,
    /// This is the answer.
    Answered(Vec<u8>),
}

impl Pending {
    /// Asks the first of `servers` that can be asked.
    pub(crate) fn ask(
        asked: Asked,
        servers: Vec<IpAddr>,
        client: SocketAddr,
        via: usize,
    ) -> Result<Self, Asked> {
        let mut tried = 0;
        match next(&asked, &servers, &mut tried) {
            Some((socket, id)) => {
                let deadline = Instant::now() + PATIENCE;
                Ok(Pending {
                    asked,
                    socket,
                    id,
                    servers,
                    tried,
                    unhelpful: None,
                    deadline,
                    client,
                    via,
                })
            }
            None => Err(asked),
        }
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Reads what has come.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Progress {
        // The socket is connected: only the server that was asked gets through.
        let answer = match self.socket.recv(buffer) {
            Ok(length) => self.asked.answered_by(&buffer[..length], self.id),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Progress::Waiting;
            }
            // nobody listens there: ask the next at once
            Err(_) => return self.give_up(),
        };
        match answer {
            Some(answer) if is_unhelpful(&answer) => {
                self.unhelpful = Some(answer);
                self.give_up()
            }
            Some(answer) => Progress::Answered(answer),
            None => Progress::Waiting, // not to what we asked
        }
    }

    /// This server does not answer: asks the next one.
    pub(crate) fn give_up(&mut self) -> Progress {
        match next(&self.asked, &self.servers, &mut self.tried) {
            Some((socket, id)) => {
                (self.socket, self.id, self.deadline) =
                    (socket, id, Instant::now() + PATIENCE);
                Progress::Waiting
            }
            None => Progress::Answered(
                self.unhelpful.take().unwrap_or_else(|| self.asked.failure()),
            ),
        }
    }
}

/// Asks the next server, each in turn, from a new port and with a new id.
fn next(
    asked: &Asked,
    servers: &[IpAddr],
    tried: &mut usize,
) -> Option<(UdpSocket, [u8; 2])> {
    while *tried < TRIES && !servers.is_empty() {
        let server = servers[*tried % servers.len()];
        *tried += 1;
        if let Ok(sent) = send(asked, server) {
            return Some(sent);
        }
    }
    None
}

fn send(asked: &Asked, server: IpAddr) -> io::Result<(UdpSocket, [u8; 2])> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // 0: a port that the kernel chooses, and nobody can foresee
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect((server, PORT))?;
    let id = kit::random()?;
    socket.send(&asked.under_id(id))?;
    Ok((socket, id))
}

/// Asks over TCP, which is for answers that are too long for UDP.
pub(crate) fn ask_over_tcp(asked: &Asked, servers: &[IpAddr]) -> Vec<u8> {
    let mut answers = servers
        .iter()
        .take(TRIES)
        .filter_map(|server| exchange(asked, *server).ok().flatten());
    answers.find(|answer| !is_unhelpful(answer)).unwrap_or_else(|| asked.failure())
}

fn exchange(asked: &Asked, server: IpAddr) -> io::Result<Option<Vec<u8>>> {
    let mut stream = TcpStream::connect_timeout(&(server, PORT).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let id = kit::random()?;
    write_message(&mut stream, &asked.under_id(id))?;
    let answer = read_message(&mut stream, usize::from(u16::MAX))?;
    Ok(asked.answered_by(&answer, id))
}

/// RFC 1035, 4.2.2: over TCP each message has its length before it.
pub(crate) fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length =
        u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

pub(crate) fn read_message(
    stream: &mut TcpStream,
    longest: usize,
) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > longest {
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

    /// What the server under id 9 says, with one byte of it bent.
    fn answered(index: usize, value: u8) -> Option<Vec<u8>> {
        let mut answer = QUESTION.to_vec();
        (answer[1], answer[2]) = (9, 0x81);
        answer[index] = value;
        Asked::new(QUESTION, QUESTION.len()).answered_by(&answer, [0, 9])
    }

    #[test]
    fn an_answer_is_one_to_this_question_under_this_id() {
        let answer = answered(14, b'e').expect("a server may spell the name otherwise");
        assert_eq!(answer[..3], [0, 7, 0x81], "under the id of who has asked");
        let bent = [(1, 8), (2, 0x01), (5, 2), (13, b'x'), (18, 28), (20, 3)];
        assert!(bent.iter().all(|(index, value)| answered(*index, *value).is_none()));
        let asked = Asked::new(QUESTION, QUESTION.len());
        assert!(
            (0..QUESTION.len())
                .all(|length| asked.answered_by(&QUESTION[..length], [0, 7]).is_none())
        );
    }
}
