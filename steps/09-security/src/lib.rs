//! Step 9: what the process may do.

pub mod seccomp;
