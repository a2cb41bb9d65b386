//! Files with holes, in the four ways in which GNU tar has written them: its manual,
//! "Storing Sparse Files".

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result};
use kit::Failure;
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::pax::Records;
use super::{Archive, BLOCK, numbers};

/// A piece of a file that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The most pieces that a file may be in.
const MOST_SEGMENTS: usize = 1 << 20;

/// What an entry says of its holes.
pub(super) struct Claims<'a> {
    pub(super) header: &'a Header,
    pub(super) records: &'a Records,
}

impl Claims<'_> {
    /// The pieces and the size of the whole; None for a file without holes.
    pub(super) fn segments<R: Read>(
        &self,
        archive: &mut Archive<R>,
    ) -> Result<Option<(Vec<Segment>, u64)>> {
        let records = self.records;
        let is_1_0 = records.get("GNU.sparse.major") == Some(b"1");
        let (segments, whole) = if self.header.entry_type() == EntryType::GNUSparse {
            self.old(archive)?
        } else if is_1_0 {
            (in_the_data(archive)?, records.number("GNU.sparse.realsize")?)
        } else if let Some(map) = records.get("GNU.sparse.map") {
            let numbers: Option<Vec<u64>> =
                map.split(|byte| *byte == b',').map(numbers::decimal).collect();
            (
                pairs(&numbers.ok_or_else(malformed)?)?,
                records.number("GNU.sparse.size")?,
            )
        } else if records.get("GNU.sparse.size").is_some() {
            (self.in_records()?, records.number("GNU.sparse.size")?)
        } else {
            return Ok(None);
        };
        let whole = whole.ok_or_else(malformed)?;
        check(&segments, whole, archive.data)?;
        Ok(Some((segments, whole)))
    }

    /// Type S: four pieces in the header, more in blocks behind it, which the size does
    /// not count.
    fn old<R: Read>(
        &self,
        archive: &mut Archive<R>,
    ) -> Result<(Vec<Segment>, Option<u64>)> {
        let header = self.header.as_gnu().ok_or_else(malformed)?;
        let mut segments = Vec::new();
        let mut more = header.is_extended();
        take(&header.sparse, &mut segments)?;
        while more {
            let mut block = GnuExtSparseHeader::new();
            archive
                .input
                .read_exact(block.as_mut_bytes())
                .context("read the archive")?;
            take(&block.sparse, &mut segments)?;
            more = block.is_extended();
        }
        Ok((segments, Some(header.real_size()?)))
    }

    /// pax 0.0: a record for each offset, and one for each length.
    fn in_records(&self) -> Result<Vec<Segment>> {
        let mut all = Vec::new();
        for (key, value) in self.records.with_prefix("GNU.sparse.") {
            match (key, all.len() % 2) {
                (b"offset", 0) | (b"numbytes", 1) => {
                    all.push(numbers::decimal(value).ok_or_else(malformed)?)
                }
                (b"offset" | b"numbytes", _) => return Err(malformed().into()),
                _ => {}
            }
        }
        pairs(&all)
    }
}

fn take(pieces: &[tar::GnuSparseHeader], segments: &mut Vec<Segment>) -> Result<()> {
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        segments.push(Segment { offset: piece.offset()?, length: piece.length()? });
    }
    if segments.len() > MOST_SEGMENTS { Err(malformed().into()) } else { Ok(()) }
}

/// pax 1.0: the data begins with the map, a number a line, filled up to a whole block.
fn in_the_data<R: Read>(archive: &mut Archive<R>) -> Result<Vec<Segment>> {
    let before = archive.data;
    let mut lines = BufReader::with_capacity(1, archive.data());
    let mut number = || -> Result<u64> {
        let mut line = Vec::new();
        lines
            .by_ref()
            .take(24)
            .read_until(b'\n', &mut line)
            .context("read the archive")?;
        line.strip_suffix(b"\n")
            .and_then(numbers::decimal)
            .ok_or_else(|| malformed().into())
    };
    let count = usize::try_from(number()?)
        .ok()
        .filter(|count| *count <= MOST_SEGMENTS)
        .ok_or_else(malformed)?;
    let all: Vec<u64> = (0..2 * count).map(|_| number()).collect::<Result<_>>()?;
    let read = before - archive.data;
    let mut rest = vec![0; (read.wrapping_neg() % BLOCK as u64) as usize];
    archive.data().read_exact(&mut rest).context("read the archive")?;
    pairs(&all)
}

fn pairs(numbers: &[u64]) -> Result<Vec<Segment>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed().into());
    }
    Ok(pairs
        .iter()
        .map(|[offset, length]| Segment { offset: *offset, length: *length })
        .collect())
}

/// In order, within the whole, and as much data as there is.
fn check(segments: &[Segment], whole: u64, data: u64) -> Result<()> {
    let mut end = 0;
    for segment in segments {
        let is_behind = segment.offset >= end;
        end = segment
            .offset
            .checked_add(segment.length)
            .filter(|_| is_behind)
            .ok_or_else(malformed)?;
    }
    let sum =
        segments.iter().try_fold(0u64, |sum, segment| sum.checked_add(segment.length));
    if end > whole || sum != Some(data) || i64::try_from(whole).is_err() {
        return Err(malformed().into());
    }
    Ok(())
}

fn malformed() -> Failure {
    Failure::new("its map of holes is malformed")
}
