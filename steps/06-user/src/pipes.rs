//! The caller's pipes, as the standard streams of a container that runs as another
//! user. Programs also open these streams by name: `> /dev/stdout`, and the log files
//! of nginx and apache, which are links to it. The kernel then compares the user with
//! the owner of the pipe, who is the caller: proc_pid_fd(5).

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, fchmod, fstatfs};
use rustix::stdio::{stderr, stdin, stdout};

/// The type of the file system in which the kernel keeps the pipes of pipe(2):
/// statfs(2). A named FIFO, a file, a device or a socket is not in it. Its mode is not
/// changed, since other processes of the host may use it.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// In the parent: lets every user open those of our standard streams that are pipes. A
/// process can open such a pipe by name only if it has the pipe open already, or may
/// trace a process that has. The pipe keeps its owner. runc changes the owner, and then
/// the kernel refuses the caller, or a server inside that has given up root.
pub(crate) fn let_every_user_open() {
    let everybody = Mode::from_raw_mode(0o666);
    for stream in [stdin(), stdout(), stderr()].into_iter().filter(is_pipe) {
        // This fails if another user made the pipe. The container can still use the
        // stream that it has open.
        let _ = fchmod(stream, everybody);
    }
}

fn is_pipe(stream: &BorrowedFd<'_>) -> bool {
    fstatfs(stream).is_ok_and(|file_system| file_system.f_type as u64 == PIPEFS_MAGIC)
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
