//! Tests of step 9.

#[path = "09_security/seccomp.rs"]
mod seccomp;
