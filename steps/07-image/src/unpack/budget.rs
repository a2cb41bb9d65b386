//! Limits how much the layers of an image may unpack to: a small archive may become very
//! large, and fill the disk or the memory.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use bytesize::ByteSize;
use kit::Failure;

use crate::limits::{MOST_ENTRIES, MOST_NOTED_NAMES};

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
    names: AtomicU64,
    free: FreeSpace,
    /// Whether a layer has needed more.
    is_exceeded: AtomicBool,
}

/// About how many bytes of memory a noted name takes in addition to its own.
const MEMORY_OF_NAME: u64 = 64;

impl Budget {
    pub(crate) fn new(free: FreeSpace) -> Self {
        let free = FreeSpace { files: free.files.min(MOST_ENTRIES), ..free };
        Budget {
            bytes: AtomicU64::new(free.bytes),
            files: AtomicU64::new(free.files),
            names: AtomicU64::new(MOST_NOTED_NAMES),
            free,
            is_exceeded: AtomicBool::new(false),
        }
    }

    /// Tells whether a layer has needed more space or more files than there were.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.is_exceeded.load(Ordering::Relaxed)
    }

    pub(super) fn spend_bytes(&self, bytes: u64) -> Result<()> {
        let free = ByteSize(self.free.bytes).display();
        self.spend(&self.bytes, bytes, format_args!("{free} that are free"))
    }

    pub(super) fn spend_file(&self) -> Result<()> {
        let free = self.free.files;
        self.spend(&self.files, 1, format_args!("{free} files that there is room for"))
    }

    fn spend(&self, left: &AtomicU64, amount: u64, free: impl Display) -> Result<()> {
        if subtract(left, amount) {
            return Ok(());
        }
        self.is_exceeded.store(true, Ordering::Relaxed);
        Err(Failure::new(format_args!("it unpacks to more than the {free}"))
            .hint("make room, or choose another --store; or do not trust the archive")
            .into())
    }

    /// Spends the memory of a name that is kept. Returns whether there was room for it.
    pub(super) fn spend_name(&self, name: &[u8]) -> bool {
        subtract(&self.names, name.len() as u64 + MEMORY_OF_NAME)
    }
}

fn subtract(left: &AtomicU64, amount: u64) -> bool {
    let subtract = |left: u64| left.checked_sub(amount);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract).is_ok()
}
