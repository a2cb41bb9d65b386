//! Functions for open file descriptors: reopening one, and asking whether it is ready.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{Mode, OFlags};

/// Opens the file behind a descriptor again, with flags of its own.
pub(crate) fn reopen(
    descriptor: BorrowedFd<'_>,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    // proc(5): /proc/self/fd leads to this very file, whatever its name is by now.
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    rustix::fs::open(link, flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

/// Whether a descriptor is ready now.
pub(crate) fn is_ready(descriptor: BorrowedFd<'_>, event: PollFlags) -> bool {
    poll(&mut [PollFd::new(descriptor, event)], PollTimeout::ZERO)
        .is_ok_and(|count| count > 0)
}
