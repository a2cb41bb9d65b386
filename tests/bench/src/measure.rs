//! What is measured. Each part takes who takes part, and gives a table.

pub mod crowd;
pub mod kernel;
pub mod memory;
pub mod rate;
pub mod start;
pub mod syscalls;
