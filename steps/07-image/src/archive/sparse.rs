//! Sparse files, in the two formats that programs write today: GNU tar's own, and pax
//! 1.0, which libarchive writes as well. See GNU tar's manual, "Storing Sparse Files".

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::blocks::{Blocks, truncated};
use super::header::BLOCK;
use super::numbers;
use super::pax::Records;
use crate::limits::{LARGEST_SPARSE_FILE, MOST_SEGMENTS};

/// A part of a file that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Reads the segments of a sparse file, and its size with the holes; None for other files.
///
/// # Errors
/// The segments overlap, are not in order, or do not add up to the data; or the format
/// is pax 0.0 or 0.1, which GNU tar wrote until 2006.
pub(super) fn segments<R: Read>(
    header: &Header,
    records: &Records,
    blocks: &mut Blocks<R>,
) -> Result<Option<(Vec<Segment>, u64)>> {
    ensure!(
        !records.has_prefix("SCHILY.realsize"),
        Failure::new("it is a sparse file of star's format")
            .hint("programs do not agree how large it is")
    );
    ensure!(
        header.entry_type() == EntryType::GNUSparse || !has_gnu_segments(header),
        Failure::new("it is no sparse file, and its header has segments of one")
            .hint("programs do not agree what is in it")
    );
    let (segments, size) = if header.entry_type() == EntryType::GNUSparse {
        read_gnu_segments(header, blocks)?
    } else if records.get("GNU.sparse.major") == Some(b"1") {
        (read_pax_segments(blocks)?, records.number("GNU.sparse.realsize")?)
    } else if records.has_prefix("GNU.sparse.") {
        bail!(
            Failure::new("it is a sparse file in a format that is not supported")
                .hint("use tar with --format=pax --sparse --sparse-version=1.0")
        );
    } else {
        return Ok(None);
    };
    let size = size.ok_or_else(malformed)?;
    ensure!(
        size <= LARGEST_SPARSE_FILE,
        Failure::new(format_args!("a sparse file of {size} bytes: the most is 1 TiB"))
    );
    check_segments(&segments, size, blocks.data_left())?;
    Ok(Some((segments, size)))
}

/// Tells whether a header of GNU tar's has segments. libarchive reads them whatever the
/// type is.
fn has_gnu_segments(header: &Header) -> bool {
    let is_empty = |header: &tar::GnuHeader| {
        header.sparse.iter().all(tar::GnuSparseHeader::is_empty)
            && header.realsize.iter().all(|byte| matches!(byte, 0 | b' ' | b'0'))
    };
    header.as_gnu().is_some_and(|header| !is_empty(header))
}

/// Refuses the records of a sparse file for another kind of entry. libarchive applies
/// them to the file to which a hard link leads.
pub(super) fn refuse(records: &Records) -> Result<()> {
    ensure!(
        !records.has_prefix("GNU.sparse.") && !records.has_prefix("SCHILY.realsize"),
        Failure::new("it is not a file, and has records of a sparse file")
    );
    Ok(())
}

/// Reads GNU tar's own format (type S). The header has four segments, and the blocks after
/// it have more; the entry's size does not count these blocks.
fn read_gnu_segments<R: Read>(
    header: &Header,
    blocks: &mut Blocks<R>,
) -> Result<(Vec<Segment>, Option<u64>)> {
    let header = header.as_gnu().ok_or_else(malformed)?;
    let mut segments = Vec::new();
    let mut add = |all: &[tar::GnuSparseHeader]| -> Result<()> {
        for segment in all.iter().filter(|segment| !segment.is_empty()) {
            let (offset, length) = (segment.offset()?, segment.length()?);
            segments.push(Segment { offset, length });
        }
        ensure!(segments.len() <= MOST_SEGMENTS, too_many(segments.len() as u64));
        Ok(())
    };
    add(&header.sparse)?;
    let mut has_more = header.is_extended();
    while has_more {
        blocks.add_overhead(BLOCK as u64)?;
        let mut more = GnuExtSparseHeader::new();
        *more.as_mut_bytes() = blocks.read_block()?.ok_or_else(truncated)?;
        add(&more.sparse)?;
        has_more = more.is_extended();
    }
    Ok((segments, Some(header.real_size()?)))
}

/// Reads the format of pax 1.0. The data begins with the number of segments, and the
/// offset and length of each. Each number is a line, and all are padded to a whole block.
fn read_pax_segments<R: Read>(blocks: &mut Blocks<R>) -> Result<Vec<Segment>> {
    let mut lines = Lines { blocks, block: [0; BLOCK], position: BLOCK };
    let count = lines.number()?;
    ensure!(count <= MOST_SEGMENTS as u64, too_many(count));
    let segment = |_| Ok(Segment { offset: lines.number()?, length: lines.number()? });
    (0..count).map(segment).collect()
}

/// The longest line, in bytes: a number of 64 bits has 20 digits.
const LONGEST_LINE: usize = 24;

/// Reads the lines of whole blocks.
struct Lines<'a, R> {
    blocks: &'a mut Blocks<R>,
    block: [u8; BLOCK],
    position: usize,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64> {
        let mut line = Vec::new();
        while line.len() < LONGEST_LINE {
            match self.byte()? {
                b'\n' => break,
                digit => line.push(digit),
            }
        }
        numbers::parse_decimal(&line).ok_or_else(|| malformed().into())
    }

    fn byte(&mut self) -> Result<u8> {
        if self.position == BLOCK {
            self.blocks.add_overhead(BLOCK as u64)?;
            self.blocks.read_exact(&mut self.block).context("read the archive")?;
            self.position = 0;
        }
        self.position += 1;
        Ok(self.block[self.position - 1])
    }
}

/// Refuses segments that overlap, are not in order, or do not add up to the data. All but
/// the last are whole blocks: GNU tar takes the rest of a block for padding.
fn check_segments(segments: &[Segment], size: u64, data: u64) -> Result<()> {
    let (mut end, mut sum) = (0, 0u64);
    for segment in segments {
        ensure!(segment.offset >= end, malformed());
        let is_padded = segment.length > 0 && sum % BLOCK as u64 != 0;
        ensure!(!is_padded, malformed());
        end = segment.offset.checked_add(segment.length).ok_or_else(malformed)?;
        sum += segment.length; // the sum is at most `end`
    }
    ensure!(end <= size && sum == data && i64::try_from(size).is_ok(), malformed());
    Ok(())
}

fn malformed() -> Failure {
    Failure::new("its list of segments (sparse file) is malformed")
}

fn too_many(segments: u64) -> Failure {
    Failure::new(format_args!(
        "a sparse file of {segments} segments: the most is {MOST_SEGMENTS}"
    ))
}
