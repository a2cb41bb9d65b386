//! The console socket: `create` sends the master of the container's terminal to the
//! engine that listens on it.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use kit::{Hint, Result};

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
        exec::send_with_descriptors(&stream, text.as_bytes(), &[descriptor])?;
        Ok::<_, std::io::Error>(())
    })
    .hint("the program that asked for this must listen on the Unix socket at this path")
}
