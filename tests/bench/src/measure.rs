//! The measurements. Each part takes the contestants and returns a table.

pub mod crowd;
pub mod kernel;
pub mod life;
pub mod memory;
pub mod rate;
pub mod start;
pub mod syscalls;
