//! A Unix socket on which a runtime sends descriptors: the console socket of a terminal,
//! or the listener of a seccomp agent.

use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use kiste_tests::{eventually, timeout};
use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A listening socket.
pub struct Socket(UnixListener);

impl Socket {
    /// Makes a socket at this path.
    pub fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Socket(listener)
    }

    /// Waits for a connection.
    #[track_caller]
    pub fn accept(&self) -> UnixStream {
        let (stream, _) = eventually(|| self.0.accept().ok()).expect("a connection");
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(timeout())).unwrap();
        stream
    }

    /// Returns whether another connection waits.
    pub fn has_connection(&self) -> bool {
        self.0.accept().is_ok()
    }
}

/// Receives the first message of a connection, and its descriptors.
pub fn receive(stream: &UnixStream) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut bytes = vec![0; 65536];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut bytes)];
    let received =
        recvmsg(stream, slices, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    bytes.truncate(received.bytes);
    (bytes, descriptors)
}

/// Reads what follows on a connection, until its other end is closed.
pub fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the other end is closed");
    bytes
}
