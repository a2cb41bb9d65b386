//! Counts the bytes of an archive that become no file. They compress well, and cost time
//! although they leave nothing: extended headers, lists of segments, and data that is
//! skipped.

use anyhow::{Result, ensure};
use bytesize::ByteSize;
use kit::Failure;

use crate::limits::{MOST_OVERHEAD, OVERHEAD_OF_ENTRY};

/// The bytes that have been read, and those that may be read.
pub(super) struct Overhead {
    found: u64,
    most: u64,
}

impl Overhead {
    pub(super) fn new() -> Self {
        Overhead { found: 0, most: MOST_OVERHEAD }
    }

    /// Counts an entry, which may have some overhead.
    pub(super) fn add_entry(&mut self) {
        self.most = self.most.saturating_add(OVERHEAD_OF_ENTRY);
    }

    pub(super) fn add(&mut self, bytes: u64) -> Result<()> {
        self.found = self.found.saturating_add(bytes);
        ensure!(
            self.found <= self.most,
            Failure::new(format_args!(
                "the archive has {} that become no file: the most is {}, and {} more for each entry",
                ByteSize(self.found).display(),
                ByteSize(MOST_OVERHEAD).display(),
                ByteSize(OVERHEAD_OF_ENTRY).display()
            ))
            .hint("they are extended headers, or data of whiteouts and labels")
        );
        Ok(())
    }
}
