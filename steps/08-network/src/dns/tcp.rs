//! Questions over TCP: a thread a connection, and few of them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::Outside;
use super::answer::{Carrier, Known, LONGEST_QUESTION, Reply};
use super::forward::{self, Asked, read_message, write_message};
use super::names::Names;
use crate::subnet::Subnet;

/// How many connections there are at most, of all and of one container.
const CONNECTIONS: (usize, usize) = (64, 8);
/// How many questions a connection may carry.
const QUESTIONS: usize = 16;
/// How long it may be silent.
const PATIENCE: Duration = Duration::from_secs(5);
/// A thread here needs little.
const STACK: usize = 256 << 10;

/// What a connection answers from: as it was when the connection was made.
pub(crate) struct Snapshot {
    pub(crate) names: Arc<Names>,
    pub(crate) gateways: Vec<Subnet>,
    pub(crate) outside: Outside,
    pub(crate) servers: Vec<IpAddr>,
}

/// The connections that there are, by who made them.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place among the connections; dropped, it is free again.
struct Place(Connections, IpAddr);

impl Connections {
    /// Serves a connection in a thread of its own, if there is a place for it.
    pub(crate) fn serve(&self, stream: TcpStream, client: IpAddr, snapshot: Snapshot) {
        let Some(place) = self.take_place(client) else { return };
        let serve = move || {
            let _ = serve(stream, &snapshot); // whatever it was: the connection ends
            drop(place);
        };
        // If there is no room for a thread: the connection ends here.
        let _ = thread::Builder::new().stack_size(STACK).spawn(serve);
    }

    fn take_place(&self, client: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (
            taken.values().sum::<usize>(),
            taken.get(&client).copied().unwrap_or_default(),
        );
        if all >= CONNECTIONS.0 || own >= CONNECTIONS.1 {
            return None;
        }
        *taken.entry(client).or_default() += 1;
        Some(Place(self.clone(), client))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
        }
        taken.retain(|_, count| *count > 0);
    }
}

fn serve(mut stream: TcpStream, snapshot: &Snapshot) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for turn in 0..QUESTIONS {
        let message = read_message(&mut stream, LONGEST_QUESTION)?;
        let Snapshot { names, gateways, outside, servers } = snapshot;
        let known = Known { names, gateways, outside: *outside, turn };
        let answer = match known.reply(&message, Carrier::Tcp) {
            Reply::Say(answer) => answer,
            Reply::Ask { question_end } => {
                forward::ask_over_tcp(&Asked::new(&message, question_end), servers)
            }
            Reply::Nothing => return Ok(()),
        };
        write_message(&mut stream, &answer)?;
    }
    Ok(())
}
