//! Questions over TCP: each connection has a thread, and there are few of them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::forward::{self, Query, read_message, write_message};
use super::reply::{Authority, MAX_QUESTION, Reply};
use crate::port::Protocol;

/// The most connections at a time, of all containers and of each.
const MAX_CONNECTIONS: (usize, usize) = (64, 8);
/// The most questions of a connection.
const MAX_QUESTIONS: usize = 16;
/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// The stack of a connection's thread, in bytes.
const STACK: usize = 256 << 10;

/// Counts the open connections of each container.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Counts as a connection until it is dropped.
struct CountedConnection(Connections, IpAddr);

impl Connections {
    /// Serves a connection in a thread of its own, unless there are too many.
    pub(crate) fn serve(
        &self,
        stream: TcpStream,
        client: IpAddr,
        authority: Authority,
        servers: Vec<IpAddr>,
    ) {
        let Some(counted) = self.count(client) else { return };
        let serve = move || {
            let _ = serve(stream, &authority, &servers); // an error ends the connection
            drop(counted);
        };
        // An error ends the connection, too: there is no memory for a thread.
        let _ = thread::Builder::new().stack_size(STACK).spawn(serve);
    }

    fn count(&self, client: IpAddr) -> Option<CountedConnection> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.values().sum::<usize>();
        let own = counts.get(&client).copied().unwrap_or_default();
        if all >= MAX_CONNECTIONS.0 || own >= MAX_CONNECTIONS.1 {
            return None;
        }
        *counts.entry(client).or_default() += 1;
        Some(CountedConnection(self.clone(), client))
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
        }
        counts.retain(|_, count| *count > 0);
    }
}

fn serve(
    mut stream: TcpStream,
    authority: &Authority,
    servers: &[IpAddr],
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    for turn in 0..MAX_QUESTIONS {
        let message = read_message(&mut stream, MAX_QUESTION)?;
        let answer = match authority.reply(&message, Protocol::Tcp, turn) {
            Reply::Answer(answer) => answer,
            Reply::Forward { question_end } => {
                forward::forward_over_tcp(&Query::new(&message, question_end), servers)
            }
            Reply::Ignore => return Ok(()),
        };
        write_message(&mut stream, &answer)?;
    }
    Ok(())
}
