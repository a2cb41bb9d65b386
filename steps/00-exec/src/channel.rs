//! The one socket between parent and child, from the clone to the exec.
//!
//! No sleep and no named semaphore is needed: if one side dies, the other reads an
//! end of file, so neither waits for ever. The exec closes the child's end of the
//! socket; so the parent learns that the exec has worked.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use kit::Failure;
use kit::narration::Line;
use nix::unistd::Pid;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags,
    SocketType, recv, recvmsg, sendmsg, shutdown, socketpair,
};
use serde::{Deserialize, Serialize};

/// A message between parent and child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Parent to child: the parent's part is done, go on.
    Go,
    /// Child to parent: a kernel call, for `--explain`.
    Narrated(Line),
    /// Child to parent: the child ends with this failure.
    Failed(Failure),
    /// Child to parent: once the parent answers Go, the child calls execve, which
    /// closes the child's end.
    Executing,
    /// Init to parent: the command runs. The init keeps the channel.
    Started,
    /// Init to parent: this signal stopped the command (Ctrl-Z: SIGTSTP).
    Stopped(i32),
    /// Child to parent: a descriptor comes with this message.
    Descriptor,
    /// Child to parent: the child waits at its sync point. The parent answers Go.
    AtSyncPoint,
    /// Intermediate process to parent: it has started the child, which has this process
    /// id. The pidfd comes with this message, and the parent answers Go.
    Cloned(i32),
}

/// The fate of a child when its parent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnParentDeath {
    /// The kernel kills it when its parent ends: prctl(2), PR_SET_PDEATHSIG.
    Kill,
    /// It lives on: for a container that is created now and started later, or that runs
    /// in the background.
    KeepRunning,
}

/// An end of the socket.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// The fate of the child when the parent ends. The child's end of the channel
    /// keeps it, because the child must ask for the death signal again after each
    /// change of ids.
    on_parent_death: OnParentDeath,
}

impl Channel {
    /// Makes a pair of connected ends, both close-on-exec.
    pub(crate) fn pair() -> Result<(Channel, Channel)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .context("socketpair(between parent and child)")?;
        let end = |socket| Channel { socket, on_parent_death: OnParentDeath::Kill };
        Ok((end(ours), end(theirs)))
    }

    /// Duplicates this end.
    pub(crate) fn try_clone(&self) -> Result<Channel> {
        let socket = self.socket.try_clone().context("dup(the channel)")?;
        Ok(Channel { socket, on_parent_death: self.on_parent_death })
    }

    pub(crate) fn with_on_parent_death(self, on_parent_death: OnParentDeath) -> Self {
        Channel { on_parent_death, ..self }
    }

    pub(crate) fn on_parent_death(&self) -> OnParentDeath {
        self.on_parent_death
    }

    /// Sends a message. If the other side is dead, this is no error: the next read
    /// reports it.
    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        self.send_with(message, &[])
    }

    /// Sends a descriptor from the child to the parent, where
    /// [`crate::Child::descriptor`] takes it.
    ///
    /// # Errors
    /// The kernel's reason of sendmsg(2).
    pub fn send_descriptor(&self, descriptor: BorrowedFd<'_>) -> Result<()> {
        self.send_with(&Message::Descriptor, &[descriptor])
    }

    /// Tells the parent that the exec is next. Returns once the parent has answered.
    /// By then the parent has printed the narration, so the command's output comes
    /// after it; and from then on it leaves signals to the command.
    pub(crate) fn announce_exec(&self) -> Result<()> {
        self.send(&Message::Executing)?;
        self.wait_for_go()
    }

    /// In the child: waits until the parent has done its work in the middle of the
    /// start, [`crate::Spawn::at_sync_point`].
    ///
    /// # Errors
    /// When the parent is dead, or its work has failed.
    pub fn sync(&self) -> Result<()> {
        self.send(&Message::AtSyncPoint)?;
        self.wait_for_go()
    }

    /// Tells the parent of an intermediate process that it has started the child.
    pub(crate) fn send_cloned(&self, pid: Pid, pidfd: BorrowedFd<'_>) -> Result<()> {
        self.send_with(&Message::Cloned(pid.as_raw()), &[pidfd])
    }

    /// Closes the channel: both sides read an end of file. The parent takes it for the
    /// exec, once that is announced.
    pub(crate) fn close(&self) -> Result<()> {
        shutdown(&self.socket, Shutdown::Both).context("shutdown(the channel)")
    }

    /// Tells the parent of an init that the command runs.
    ///
    /// # Errors
    /// The kernel's reason of sendmsg(2).
    pub fn send_started(&self) -> Result<()> {
        self.send(&Message::Started)
    }

    /// Tells the parent of an init that the signal of this number has stopped the
    /// command.
    ///
    /// # Errors
    /// The kernel's reason of sendmsg(2).
    pub fn send_stopped(&self, signal: i32) -> Result<()> {
        self.send(&Message::Stopped(signal))
    }

    fn send_with(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<()> {
        let bytes = serde_json::to_vec(message)?;
        match send_with_descriptors(&self.socket, &bytes, descriptors) {
            Ok(()) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {
                Ok(())
            }
            Err(error) => Err(error).context("sendmsg(between parent and child)"),
        }
    }

    /// Receives the next message, and the descriptor that came with it. None: the other
    /// side is gone.
    pub(crate) fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        let mut bytes = vec![0; self.next_length()?];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let length = read(|| {
            recvmsg(&self.socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
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

    /// Returns the length of the next message, which SOCK_SEQPACKET keeps whole:
    /// recv(2), MSG_TRUNC.
    fn next_length(&self) -> Result<usize> {
        let (_, length) = read(|| {
            recv(&self.socket, &mut [0; 0], RecvFlags::PEEK | RecvFlags::TRUNC)
        })?;
        Ok(length)
    }

    /// Waits in the child until the parent says go.
    ///
    /// # Errors
    /// When the parent is dead.
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

/// Sends bytes over a Unix socket, and with them up to one descriptor: unix(7),
/// SCM_RIGHTS.
///
/// # Errors
/// The kernel's reason of sendmsg(2).
pub fn send_with_descriptors(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let bytes = [IoSlice::new(bytes)];
    sendmsg(socket, &bytes, &mut ancillary, SendFlags::NOSIGNAL).map(drop)
}

/// Repeats a read that was interrupted.
fn read<T>(mut read: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
    loop {
        match read() {
            // The other side ended without reading our last message. Its own last one
            // is still to be read.
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            done => return done.context("recvmsg(between parent and child)"),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
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
        child.send_started().unwrap();
        let Some((Message::Descriptor, Some(got))) = parent.receive().unwrap() else {
            panic!("no descriptor has come")
        };
        let inode = |file: File| {
            file.metadata().map(|found| (found.dev(), found.ino())).unwrap()
        };
        assert_eq!(inode(got.into()), inode(null));
        assert!(matches!(parent.receive().unwrap(), Some((Message::Started, None))));
    }

    #[test]
    fn the_death_of_the_other_side_is_read_and_is_no_error_in_send() {
        let (parent, child) = Channel::pair().unwrap();
        child.send_stopped(20).unwrap();
        drop(child);
        parent.send(&Message::Go).unwrap();
        assert!(
            matches!(parent.receive().unwrap(), Some((Message::Stopped(20), None))),
            "its last message"
        );
        assert!(parent.receive().unwrap().is_none());
        let error = parent.wait_for_go().unwrap_err();
        assert_eq!(error.to_string(), "the runtime died before the command started");
    }
}
