//! Questions over TCP: each connection has a thread, and there are few of them.

use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::forward::{self, Query, read_message, write_message};
use super::reply::{Authority, MAX_QUESTION, Reply};
use crate::etc::NameServer;
use crate::port::Protocol;

/// The most connections at a time: of all containers, and of each container. One
/// connection more closes an idle one.
const MAX_CONNECTIONS: (usize, usize) = (64, 16);
/// The most questions on one connection.
const MAX_QUESTIONS: usize = 16;
/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// The stack of a connection's thread, in bytes.
const STACK: usize = 256 << 10;

/// The open connections, the oldest first.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Vec<Arc<Connection>>>>);

struct Connection {
    stream: TcpStream,
    client: IpAddr,
    /// Whether it waits for a question.
    is_idle: Mutex<bool>,
}

/// A connection that stays in the list of connections until this value is dropped.
struct ListedConnection(Connections, Arc<Connection>);

impl Connections {
    /// Serves a connection in a thread of its own, unless there are too many that are
    /// not idle.
    pub(crate) fn serve(
        &self,
        stream: TcpStream,
        client: IpAddr,
        authority: Authority,
        servers: Vec<NameServer>,
    ) {
        let connection = Connection { stream, client, is_idle: Mutex::new(true) };
        let Some(listed) = self.add(connection) else { return };
        let serve = move || {
            let _ = serve(&listed.1, &authority, &servers); // an error ends it
            drop(listed);
        };
        // An error ends the connection, too: there is no memory for a thread.
        let _ = thread::Builder::new().stack_size(STACK).spawn(serve);
    }

    fn add(&self, connection: Connection) -> Option<ListedConnection> {
        let mut open = lock(&self.0);
        let count_of = |open: &[Arc<Connection>], client: IpAddr| {
            open.iter().filter(|other| other.client == client).count()
        };
        let client = connection.client;
        if count_of(&open, client) >= MAX_CONNECTIONS.1 {
            close_idle(&mut open, client)?;
        } else if open.len() >= MAX_CONNECTIONS.0 {
            let clients = open.iter().map(|it| it.client);
            let busiest = clients.max_by_key(|client| count_of(&open, *client));
            close_idle(&mut open, busiest?)?;
        }
        let connection = Arc::new(connection);
        open.push(Arc::clone(&connection));
        Some(ListedConnection(self.clone(), connection))
    }
}

/// Closes the oldest idle connection of a container. None: it has none.
fn close_idle(open: &mut Vec<Arc<Connection>>, client: IpAddr) -> Option<()> {
    let is_idle = |it: &Arc<Connection>| it.client == client && *lock(&it.is_idle);
    let index = open.iter().position(is_idle)?;
    // Its thread reads the end of the connection now.
    let _ = open.remove(index).stream.shutdown(Shutdown::Both);
    Some(())
}

impl Drop for ListedConnection {
    fn drop(&mut self) {
        lock(&self.0.0).retain(|other| !Arc::ptr_eq(other, &self.1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    connection: &Connection,
    authority: &Authority,
    servers: &[NameServer],
) -> io::Result<()> {
    let stream = &connection.stream;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    for turn in 0..MAX_QUESTIONS {
        let message = read_message(stream, MAX_QUESTION)?;
        *lock(&connection.is_idle) = false;
        let answer = match authority.reply(&message, Protocol::Tcp, turn) {
            Reply::Answer(answer) => answer,
            Reply::Forward { question_end } => {
                forward::forward_over_tcp(&Query::new(&message, question_end), servers)
            }
            Reply::Ignore => return Ok(()),
        };
        write_message(stream, &answer)?;
        *lock(&connection.is_idle) = true;
    }
    Ok(())
}
