//! Step 10: an OCI runtime, which Podman, Docker and containerd drive. See the OCI
//! runtime specification: <https://github.com/opencontainers/runtime-spec>
//!
//! In reading order:
//!
//! - `bundle`: a directory with a config.json, and `config`, what is read of it. `plan` makes a [`Plan`] of it: plain
//!   values of the rooms below.
//! - `outside` and `inside`: the start of a container, told once. Every command that
//!   starts a process goes through them.
//! - `state`: the files by which a later command finds the container.
//! - `exec_fifo`: the gate between `create` and `start`.
//! - `cli`: the commands, spelled as runc's.

mod bundle;
mod cli;
mod config;
mod console;
mod create_options;
mod doctor;
mod dumpable;
mod exec_fifo;
mod hooks;
mod inside;
mod invalid;
mod join;
mod listener;
mod log;
mod outside;
mod plan;
mod process_handles;
mod required;
mod state;
mod sys;

pub use cli::main;
pub use plan::Plan;
