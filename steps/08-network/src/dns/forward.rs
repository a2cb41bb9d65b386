//! Questions about names outside the network, as they are forwarded to other DNS
//! servers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use simple_dns::RCODE;

use super::reply::{HEADER_LENGTH, error_answer};
use crate::etc::NameServer;

/// How long a server has to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1200);
/// How long it then has to answer: as long as clients wait by default (resolv.conf(5)).
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many times a question is sent, to the servers in turn.
pub(crate) const MAX_TRIES: usize = 4;
/// RFC 1035, 4.2.1.
pub(crate) const PORT: u16 = 53;

/// A message with one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    message: Vec<u8>,
    question_end: usize,
}

impl Query {
    pub(crate) fn new(message: &[u8], question_end: usize) -> Self {
        Query { message: message.into(), question_end }
    }

    /// The message with another id, which only the server learns.
    pub(crate) fn with_id(&self, id: [u8; 2]) -> Vec<u8> {
        [&id, &self.message[2..]].concat()
    }

    /// The server's answer, with the client's id. None: it does not answer this
    /// question, or its id is not `id`, which [`Self::with_id`] has sent.
    pub(crate) fn accept(&self, answer: &[u8], id: [u8; 2]) -> Option<Vec<u8>> {
        let question = &self.message[HEADER_LENGTH..self.question_end];
        let (name, type_and_class) = question.split_at(question.len() - 4);
        let repeated = answer.get(HEADER_LENGTH..self.question_end)?;
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
pub(crate) fn is_refusal(answer: &[u8]) -> bool {
    matches!(answer[3] & 0x0f, 2 | 5)
}

/// Forwards a question over TCP, for answers that are too long for UDP.
pub(crate) fn forward_over_tcp(query: &Query, servers: &[NameServer]) -> Vec<u8> {
    let mut answers = servers
        .iter()
        .take(MAX_TRIES)
        .filter_map(|server| exchange(query, server).ok().flatten());
    answers.find(|answer| !is_refusal(answer)).unwrap_or_else(|| query.failure())
}

fn exchange(query: &Query, server: &NameServer) -> io::Result<Option<Vec<u8>>> {
    let stream =
        TcpStream::connect_timeout(&server.socket_address(PORT)?, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let id = kit::random()?;
    write_message(&stream, &query.with_id(id))?;
    let answer = read_message(&stream, usize::from(u16::MAX))?;
    Ok(query.accept(&answer, id))
}

/// Writes a message to a TCP connection, its length before it: RFC 1035, 4.2.2.
pub(crate) fn write_message(mut stream: &TcpStream, message: &[u8]) -> io::Result<()> {
    let length =
        u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

/// Reads a message of at most `max` bytes from a TCP connection.
pub(crate) fn read_message(mut stream: &TcpStream, max: usize) -> io::Result<Vec<u8>> {
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
