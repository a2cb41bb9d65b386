//! The caller's pipes, as the standard streams of a container whose user is another
//! one. Programs open them by name, too: `> /dev/stdout`, and the log files of nginx and
//! apache, which are links to it. The kernel then compares the user with the owner of
//! the pipe, who is the caller: proc_pid_fd(5).

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, fchmod, fstatfs};
use rustix::stdio::{stderr, stdin, stdout};

/// The file system of pipe(2), in which no pipe has a name: statfs(2). A FIFO with a
/// name, a file, a device or a socket is the host's, or shared with others; it stays as
/// it is.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// In the parent: lets every user open those of our standard streams that are pipes. A
/// process can do so only where it has the pipe open already, or could trace a process
/// that has. The owner stays: runc changes it, and then the caller, or a server inside
/// that gives up root, is refused in turn.
pub(crate) fn let_all_open() {
    let everybody = Mode::from_raw_mode(0o666);
    for stream in [stdin(), stdout(), stderr()].into_iter().filter(is_pipe) {
        // It may be the pipe of another user. The container can write to it even so.
        let _ = fchmod(stream, everybody);
    }
}

fn is_pipe(stream: &BorrowedFd<'_>) -> bool {
    fstatfs(stream).is_ok_and(|it| it.f_type as u64 == PIPEFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_device_and_a_socket_are_no_pipes() {
        let null = File::open("/dev/null").unwrap();
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (pipe, _writer) = nix::unistd::pipe().unwrap();
        assert!(is_pipe(&pipe.as_fd()));
        for other in [null.as_fd(), socket.as_fd()] {
            assert!(!is_pipe(&other));
        }
    }
}
