//! The questions that are forwarded: those that were sent to servers, and those that
//! wait for their turn. A question beyond the limits is dropped, as a busy server would
//! drop it: the client asks again, while a failure would end its lookup.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::pending::{PendingQuery, Progress, Request};

/// The most questions that are sent to servers at a time: of all containers, and of
/// each container.
const MAX_PENDING: (usize, usize) = (512, 256);
/// The most questions that wait: of all containers, and of each container.
const MAX_WAITING: (usize, usize) = (4096, 1024);
/// How long a question waits. After that the client has asked again, or given up.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The questions that are forwarded.
#[derive(Default)]
pub(crate) struct ForwardQueue {
    pending: Vec<PendingQuery>,
    waiting: VecDeque<Request>,
    buffer: Vec<u8>,
}

/// An answer for a client.
pub(crate) struct ClientAnswer {
    pub(crate) message: Vec<u8>,
    pub(crate) client: SocketAddr,
    /// The index of the responder's socket from which it is sent.
    pub(crate) socket_index: usize,
}

impl ForwardQueue {
    /// Sends a question to its servers, or lets it wait. Returns the answer if it fails
    /// at once.
    pub(crate) fn add(&mut self, request: Request) -> Option<ClientAnswer> {
        let is_known = |known: &Request| known.is_repeated_by(&request);
        if self.requests().any(is_known) {
            return None;
        }
        let client = request.client.ip();
        let count_of_client = |requests: &mut dyn Iterator<Item = &Request>| {
            requests.filter(|it| it.client.ip() == client).count()
        };
        let pending = count_of_client(&mut self.pending.iter().map(|it| &it.request));
        if self.pending.len() < MAX_PENDING.0 && pending < MAX_PENDING.1 {
            return self.send(request);
        }
        let waiting = count_of_client(&mut self.waiting.iter());
        if self.waiting.len() < MAX_WAITING.0 && waiting < MAX_WAITING.1 {
            self.waiting.push_back(request);
        }
        None
    }

    /// The sockets on which answers arrive.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pending.iter().flat_map(PendingQuery::sockets).map(AsFd::as_fd)
    }

    /// The time at which [`Self::advance`] must be called even if no answer arrives.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.iter().map(PendingQuery::deadline).min()
    }

    /// Reads the answers that have arrived on [`Self::sockets`], whose events are
    /// `ready`, and sends waiting questions in place of those that were answered.
    pub(crate) fn advance(&mut self, ready: &[PollFlags]) -> Vec<ClientAnswer> {
        let (now, before) = (Instant::now(), self.pending.len());
        self.buffer.resize(1 << 16, 0);
        let (mut ready, mut answers) = (ready.iter(), Vec::new());
        self.pending.retain_mut(|pending| {
            let events = ready.by_ref().take(pending.sockets().count());
            let events: Vec<_> = events.map(|events| !events.is_empty()).collect();
            let progress = pending.advance(&events, now, &mut self.buffer);
            let is_pending = progress == Progress::Pending;
            answers.extend(answer(&pending.request, progress));
            is_pending
        });
        if self.pending.len() < before {
            answers.extend(self.send_waiting(now));
        }
        answers
    }

    fn send(&mut self, request: Request) -> Option<ClientAnswer> {
        let (pending, progress) = PendingQuery::send(request);
        if progress == Progress::Pending {
            self.pending.push(pending);
            return None;
        }
        answer(&pending.request, progress)
    }

    /// Sends the questions that have waited longest, as far as `MAX_PENDING` allows.
    fn send_waiting(&mut self, now: Instant) -> Vec<ClientAnswer> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for pending in &self.pending {
            *counts.entry(pending.request.client.ip()).or_default() += 1;
        }
        let mut answers = Vec::new();
        for request in std::mem::take(&mut self.waiting) {
            let own = counts.entry(request.client.ip()).or_default();
            if now > request.arrived + MAX_WAIT {
                continue;
            }
            if self.pending.len() < MAX_PENDING.0 && *own < MAX_PENDING.1 {
                *own += 1;
                answers.extend(self.send(request));
            } else {
                self.waiting.push_back(request);
            }
        }
        answers
    }

    fn requests(&self) -> impl Iterator<Item = &Request> {
        self.pending.iter().map(|pending| &pending.request).chain(&self.waiting)
    }
}

fn answer(request: &Request, progress: Progress) -> Option<ClientAnswer> {
    let (client, socket_index) = (request.client, request.socket_index);
    match progress {
        Progress::Answered(message) => {
            Some(ClientAnswer { message, client, socket_index })
        }
        Progress::Pending | Progress::GivenUp => None,
    }
}
