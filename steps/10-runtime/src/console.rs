//! The console socket: `create` sends the master of the container's terminal to the
//! engine that listens on it.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use kit::{Hint, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Sends a descriptor over the Unix socket at this path: unix(7), SCM_RIGHTS.
///
/// # Errors
/// When nobody listens on it, and the kernel's reason of sendmsg(2).
#[track_caller]
pub(crate) fn send(
    socket: &Path,
    text: &str,
    descriptor: BorrowedFd<'_>,
    why: &str,
) -> Result<()> {
    kit::call(why, "sendmsg", format_args!("{}, SCM_RIGHTS", socket.display()), || {
        let stream = UnixStream::connect(socket)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let text = [IoSlice::new(text.as_bytes())];
        sendmsg(&stream, &text, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok::<_, std::io::Error>(())
    })
    .hint("the program that asked for this must listen on the Unix socket at this path")
}
