//! Limits how much an archive may unpack to: a small archive may become very large, and
//! fill the disk.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytesize::ByteSize;
use kit::Failure;

/// The free space of a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeSpace {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// The space that may still be used. All layers that are unpacked at once share it.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: AtomicU64,
    files: AtomicU64,
    free: FreeSpace,
}

impl Budget {
    pub(crate) fn new(free: FreeSpace) -> Self {
        Budget {
            bytes: AtomicU64::new(free.bytes),
            files: AtomicU64::new(free.files),
            free,
        }
    }

    pub(super) fn spend_bytes(&self, bytes: u64) -> Result<()> {
        let free = ByteSize(self.free.bytes).display();
        spend(&self.bytes, bytes, format_args!("{free} that are free"))
    }

    pub(super) fn spend_file(&self) -> Result<()> {
        let free = self.free.files;
        spend(&self.files, 1, format_args!("{free} files that there is room for"))
    }
}

fn spend(left: &AtomicU64, amount: u64, free: impl Display) -> Result<()> {
    let subtract = |left: u64| left.checked_sub(amount);
    match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(format_args!("it unpacks to more than the {free}"))
            .hint("make room, or choose another --store; or do not trust the archive")
            .into()),
    }
}
