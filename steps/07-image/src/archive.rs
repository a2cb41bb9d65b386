//! Tar archives, read and written as streams of entries: tar(5), pax (POSIX.1-2024),
//! GNU tar's manual, "Tar internals".
//!
//! An archive comes from somebody else. The reader believes the sizes that it claims
//! only as far as there are bytes, and refuses anything that two readers could
//! understand in two ways (CVE-2025-62518).

mod blocks;
mod entry;
mod header;
mod numbers;
mod overhead;
mod pax;
mod reader;
mod sparse;
mod writer;

#[cfg(test)]
mod corpus;

use std::io::{self, Read};

use anyhow::{Context, Result};

pub(crate) use entry::{Entry, EntryKind};
pub(crate) use reader::ArchiveReader;
pub(crate) use sparse::Segment;
pub(crate) use writer::ArchiveWriter;

/// Reads an archive to its end, and drops its entries. The fuzzer calls this.
///
/// # Errors
/// The archive is malformed, or cannot be read.
pub fn read(input: impl Read) -> Result<()> {
    let mut archive = ArchiveReader::new(input);
    while let Some(entry) = archive.next()? {
        let copied = io::copy(archive.data(), &mut io::sink());
        copied.with_context(|| entry.name())?;
    }
    Ok(())
}

/// Quotes a name from an archive, so that no control character reaches a terminal.
pub(crate) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let short: String = text.chars().take(200).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{rest}")
}
