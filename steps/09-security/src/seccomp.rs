//! The system calls that a process may make: seccomp(2).
