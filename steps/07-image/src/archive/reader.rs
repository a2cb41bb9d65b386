//! Reads an archive as a stream of entries, each with the extended headers before it.

use std::io::{Read, Seek};

use anyhow::{Context, Result, ensure};
use kit::Failure;
use tar::EntryType;

use super::blocks::Blocks;
use super::entry::{Entry, EntryKind, LongNames, shown};
use super::{pax, sparse};

/// The longest name or list of attributes, in bytes: Linux takes names of 4 KiB and
/// attributes of 64.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// The longest global header, in bytes: git(1) writes a hundred.
const LONGEST_GLOBAL: usize = 64 * 1024;

/// Reads a tar archive.
pub(crate) struct ArchiveReader<R> {
    blocks: Blocks<R>,
    /// Records of global headers (pax, "g"): they apply to all entries that follow.
    global: pax::Records,
}

impl<R: Read> ArchiveReader<R> {
    pub(crate) fn new(input: R) -> Self {
        ArchiveReader { blocks: Blocks::new(input), global: pax::Records::default() }
    }

    /// Reads the next entry; None at the end. Skips the data of the entry before that the
    /// caller has not read from [`ArchiveReader::data`].
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut records = self.global.clone();
        let mut long_names = LongNames::default();
        while let Some(header) = self.blocks.next_header()? {
            let name = || format!("entry {}", shown(&header.path_bytes()));
            let size = header.entry_size().with_context(name)?;
            let mut extension = || self.extension(size).with_context(name);
            match header.entry_type() {
                EntryType::GNULongName => {
                    long_names.path = Some(until_nul(extension()?))
                }
                EntryType::GNULongLink => {
                    long_names.link = Some(until_nul(extension()?))
                }
                EntryType::XHeader => records.add(&extension()?).with_context(name)?,
                EntryType::XGlobalHeader => {
                    let bytes = extension()?;
                    self.add_global(&bytes).with_context(name)?;
                    records.add(&bytes).with_context(name)?;
                }
                // GNU tar's label of a volume
                kind if kind.as_byte() == b'V' => self.blocks.begin_data(size),
                _ => {
                    let mut entry = Entry::parse(&header, &records, long_names)?;
                    self.blocks.begin_data(entry.size);
                    if entry.kind == EntryKind::File {
                        entry.segments =
                            sparse::segments(&header, &records, &mut self.blocks)
                                .with_context(|| entry.name())?;
                    }
                    return Ok(Some(entry));
                }
            }
        }
        Ok(None)
    }

    /// Returns the data of the entry that [`ArchiveReader::next`] has returned.
    pub(crate) fn data(&mut self) -> &mut impl Read {
        &mut self.blocks
    }

    /// Reads the data of an extended header or a long name into memory.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        ensure!(
            size <= LONGEST_EXTENSION,
            Failure::new(format_args!(
                "a name or attribute of {size} bytes: the most is 1 MiB"
            ))
        );
        self.blocks.begin_data(size);
        let mut bytes = Vec::new();
        self.blocks.read_to_end(&mut bytes).context("read the archive")?;
        Ok(bytes)
    }

    fn add_global(&mut self, bytes: &[u8]) -> Result<()> {
        ensure!(
            bytes.len() <= LONGEST_GLOBAL,
            Failure::new(
                "a global header (pax) of more than 64 KiB, which applies to every entry"
            )
        );
        self.global.add(bytes)
    }
}

impl<R: Read + Seek> ArchiveReader<R> {
    /// Returns the position in the input at which the data of the entry begins.
    pub(crate) fn position(&mut self) -> Result<u64> {
        self.blocks.position()
    }

    /// Seeks over the data of the current entry.
    pub(crate) fn seek_over_data(&mut self) -> Result<()> {
        self.blocks.seek_over_data()
    }
}

/// Cuts a long name at its NUL, with which GNU tar ends it.
fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
