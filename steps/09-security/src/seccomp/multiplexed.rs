//! The calls of i386 that share one number: `socketcall` and `ipc`.
//!
//! Their first argument says which of them is meant; the true arguments are in memory,
//! where a filter cannot read. A rule for `socket` is therefore also one for `socketcall`
//! with 1 as its first argument ([socketcall(2)](https://man7.org/linux/man-pages/man2/socketcall.2.html),
//! [ipc(2)](https://man7.org/linux/man-pages/man2/ipc.2.html)), as in libseccomp.

use super::arch::Arch;

/// The operations of `socketcall`, from 1 (`linux/net.h`).
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The operations of `ipc` (`linux/ipc.h`).
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// Returns the call by which a program can make the system call of this name, too, and
/// its first argument.
pub fn multiplexed(arch: Arch, name: &str) -> Option<(&'static str, u64)> {
    if arch != Arch::X86 {
        return None;
    }
    let socketcall = SOCKETCALL.iter().zip(1..).find(|(it, _)| **it == name);
    let ipc = || IPC.iter().find(|(it, _)| *it == name);
    socketcall
        .map(|(_, operation)| ("socketcall", operation))
        .or_else(|| ipc().map(|(_, operation)| ("ipc", *operation)))
}
