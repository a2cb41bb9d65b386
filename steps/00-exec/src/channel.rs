//! The one socket between parent and child, from the clone to the exec.
//!
//! It replaces every sleep and named semaphore: either side dying is an end of file, so
//! nobody waits for ever. Both ends close at exec, which is how the parent learns that
//! the exec worked.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use kit::Failure;
use kit::narration::Line;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    recv, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

/// What parent and child tell each other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Parent to child: everything outside is ready, go on.
    Go,
    /// Child to parent: a kernel call, for `--explain`.
    Told(Line),
    /// Child to parent: it failed, and why; it ends now.
    Failed(Failure),
    /// Child to parent: after a go-ahead the next call is execve, and then this end
    /// closes.
    Executing,
    /// Init to parent: the command runs. Init keeps the channel.
    Started,
    /// Init to parent: this signal stopped the command (Ctrl-Z: SIGTSTP).
    Stopped(i32),
    /// Child to parent: a descriptor comes with this message.
    Descriptor,
}

/// One end of the socket.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// A pair of connected ends, both closed at exec.
    pub(crate) fn pair() -> Result<(Channel, Channel)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .context("socketpair(between parent and child)")?;
        Ok((Channel(ours), Channel(theirs)))
    }

    /// Sends a message. The other side's death is no error here: who waits for it reads
    /// it.
    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        self.send_with(message, &[])
    }

    /// Child to parent: hands over a descriptor ([`crate::Child::descriptor`] takes
    /// it).
    ///
    /// # Errors
    /// When the socket refuses it.
    pub fn send_descriptor(&self, descriptor: BorrowedFd<'_>) -> Result<()> {
        self.send_with(&Message::Descriptor, &[descriptor])
    }

    /// Child to parent: the command is about to run. Returns once all that was told is
    /// printed, so that the command says nothing before, and once signals are left to
    /// the command.
    pub(crate) fn announce_exec(&self) -> Result<()> {
        self.send(&Message::Executing)?;
        self.wait_for_go()
    }

    /// Init to parent: the command runs.
    ///
    /// # Errors
    /// When the socket refuses it.
    pub fn started(&self) -> Result<()> {
        self.send(&Message::Started)
    }

    /// Init to parent: the signal of this number stopped the command.
    ///
    /// # Errors
    /// When the socket refuses it.
    pub fn stopped(&self, signal: i32) -> Result<()> {
        self.send(&Message::Stopped(signal))
    }

    fn send_with(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        match sendmsg(
            &self.0,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {
                Ok(())
            }
            Err(error) => Err(error).context("sendmsg(between parent and child)"),
        }
    }

    /// The next message, and the descriptor that came with it. None: the other side is
    /// gone.
    pub(crate) fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        let mut bytes = vec![0; self.next_length()?];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let length = read(|| {
            recvmsg(&self.0, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        })?
        .bytes;
        if length == 0 {
            return Ok(None);
        }
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok(Some((serde_json::from_slice(&bytes[..length])?, descriptor)))
    }

    /// How long the next message is: SOCK_SEQPACKET keeps messages whole. See recv(2),
    /// MSG_TRUNC.
    fn next_length(&self) -> Result<usize> {
        let (_, length) =
            read(|| recv(&self.0, &mut [0; 0], RecvFlags::PEEK | RecvFlags::TRUNC))?;
        Ok(length)
    }

    /// Child: waits until the parent says go. The parent's death is an error.
    pub(crate) fn wait_for_go(&self) -> Result<()> {
        match self.receive()? {
            Some((Message::Go, _)) => Ok(()),
            Some((other, _)) => {
                Err(Failure::new(format_args!("unexpected go-ahead {other:?}")).into())
            }
            None => {
                Err(Failure::new("the runtime died before the command started").into())
            }
        }
    }
}

/// Reads, until something is read.
fn read<T>(mut read: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
    loop {
        match read() {
            // The other side ended without reading our last word; its own is still to
            // come.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            done => return done.context("recvmsg(between parent and child)"),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_descriptor_comes_with_its_message_and_means_the_same_file() {
        let (parent, child) = Channel::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        child.send_descriptor(null.as_fd()).unwrap();
        child.started().unwrap();
        let Some((Message::Descriptor, Some(got))) = parent.receive().unwrap() else {
            panic!("none came")
        };
        let inode = |file: File| {
            file.metadata().map(|found| (found.dev(), found.ino())).unwrap()
        };
        assert_eq!(inode(got.into()), inode(null));
        assert!(matches!(parent.receive().unwrap(), Some((Message::Started, None))));
    }

    #[test]
    fn the_death_of_the_other_side_is_heard_and_is_no_error_to_who_speaks() {
        let (parent, child) = Channel::pair().unwrap();
        child.stopped(20).unwrap();
        drop(child);
        parent.send(&Message::Go).unwrap();
        assert!(
            matches!(parent.receive().unwrap(), Some((Message::Stopped(20), None))),
            "its last word"
        );
        assert!(parent.receive().unwrap().is_none());
        let error = parent.wait_for_go().unwrap_err();
        assert_eq!(error.to_string(), "the runtime died before the command started");
    }
}
