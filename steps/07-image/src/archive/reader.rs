//! Reads an archive as a stream of entries, each with the extended headers before it.

use std::io::{Read, Seek};

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use tar::{EntryType, Header};

use super::blocks::Blocks;
use super::entry::{Entry, EntryKind, LongNames};
use super::header::{BLOCK, name_of};
use super::{pax, sparse};
use crate::limits::{LONGEST_EXTENSION, LONGEST_GLOBAL};

/// Reads a tar archive.
pub(crate) struct ArchiveReader<R> {
    blocks: Blocks<R>,
    /// Whether there has been an extended header (pax): from then on libarchive reads
    /// data of hard links.
    is_pax: bool,
}

impl<R: Read> ArchiveReader<R> {
    pub(crate) fn new(input: R) -> Self {
        ArchiveReader { blocks: Blocks::new(input), is_pax: false }
    }

    /// Reads the next entry; None at the end. Skips the data of the entry before that the
    /// caller has not read from [`ArchiveReader::data`].
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extended = ExtendedHeaders::default();
        while let Some(header) = self.blocks.next_header()? {
            let name = || name_of(&header);
            let size = header.entry_size().with_context(name)?;
            extended.check(header.entry_type()).with_context(name)?;
            self.is_pax |= header.entry_type().is_pax_local_extensions()
                || header.entry_type().is_pax_global_extensions();
            let mut extension = || self.read_extension(size).with_context(name);
            match header.entry_type() {
                EntryType::GNULongName => {
                    let name = self.read_long_name(size).with_context(name)?;
                    extended.names.path = Some(name);
                }
                EntryType::GNULongLink => {
                    let target = self.read_long_name(size).with_context(name)?;
                    extended.names.link = Some(target);
                }
                EntryType::XHeader => {
                    extended.has_pax = true;
                    extended.records.add(&extension()?).with_context(name)?;
                }
                EntryType::XGlobalHeader => {
                    let bytes = extension()?;
                    Self::check_global(&bytes).with_context(name)?;
                }
                // GNU tar's label of a volume
                kind if kind.as_byte() == b'V' => {
                    self.blocks.add_overhead(BLOCK as u64)?;
                    self.blocks.begin_data(size);
                }
                _ => return self.read_entry(&header, extended).map(Some),
            }
        }
        ensure!(
            !extended.has_any(),
            Failure::new("an extended header without an entry behind it")
        );
        Ok(None)
    }

    /// Combines a header with the extended headers before it.
    fn read_entry(
        &mut self,
        header: &Header,
        extended: ExtendedHeaders,
    ) -> Result<Entry> {
        self.blocks.add_entry();
        let records = extended.records;
        let mut entry = Entry::parse(header, &records, extended.names)?;
        let may_have_data = matches!(entry.kind, EntryKind::HardLink(_)) && self.is_pax;
        ensure!(
            !may_have_data || header.entry_size()? == 0,
            Failure::new(format_args!("{}: a hard link that has data", entry.name()))
                .hint("programs do not agree whether data follows")
        );
        self.blocks.begin_data(entry.size);
        entry.segments = match entry.kind {
            EntryKind::File => sparse::segments(header, &records, &mut self.blocks),
            _ => sparse::refuse(&records).map(|()| None),
        }
        .with_context(|| entry.name())?;
        Ok(entry)
    }

    /// Returns the data of the entry that [`ArchiveReader::next`] has returned.
    pub(crate) fn data(&mut self) -> &mut impl Read {
        &mut self.blocks
    }

    /// Reads a long name. GNU tar reads up to the first NUL, also behind the data.
    fn read_long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let bytes = self.read_extension(size)?;
        ensure!(
            bytes.contains(&0) || self.blocks.has_padding_of_zeros()?,
            Failure::new("a long name that goes on behind its end")
                .hint("programs do not agree where it ends")
        );
        Ok(until_nul(bytes))
    }

    /// Reads the data of an extended header or a long name into memory.
    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>> {
        ensure!(
            size <= LONGEST_EXTENSION,
            Failure::new(format_args!(
                "a name or attribute of {size} bytes: the most is 1 MiB"
            ))
        );
        self.blocks.add_overhead(BLOCK as u64 + size)?;
        self.blocks.begin_data(size);
        let mut bytes = Vec::new();
        self.blocks.read_to_end(&mut bytes).context("read the archive")?;
        Ok(bytes)
    }

    fn check_global(bytes: &[u8]) -> Result<()> {
        ensure!(
            bytes.len() <= LONGEST_GLOBAL,
            Failure::new(format_args!(
                "a global header (pax) of {} bytes: the most is 64 KiB",
                bytes.len()
            ))
        );
        pax::Records::check_global(bytes)
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

/// The extended headers that stand before an entry, and apply to it alone.
#[derive(Default)]
struct ExtendedHeaders {
    /// Whether there is an extended header (pax, "x").
    has_pax: bool,
    records: pax::Records,
    names: LongNames,
}

impl ExtendedHeaders {
    fn has_any(&self) -> bool {
        self.has_pax || self.names.path.is_some() || self.names.link.is_some()
    }

    /// Refuses one more header of this type where programs do not agree which one
    /// counts.
    fn check(&self, header: EntryType) -> Result<()> {
        let why = match header {
            EntryType::XHeader if self.has_pax => "two extended headers (pax) in a row",
            EntryType::GNULongName if self.names.path.is_some() => {
                "two long names in a row"
            }
            EntryType::GNULongLink if self.names.link.is_some() => {
                "two long link targets in a row"
            }
            EntryType::XGlobalHeader if self.has_any() => {
                "a global header (pax) behind an entry's own"
            }
            kind if kind.as_byte() == b'V' && self.has_any() => {
                "a volume's label behind an entry's extended header"
            }
            _ => return Ok(()),
        };
        bail!(Failure::new(why).hint("programs do not agree which of them counts"))
    }
}

/// Cuts a long name at its NUL, with which GNU tar ends it.
fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
