//! Creates files with their data.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use kit::Failure;
use rustix::fs::{Mode, OFlags, ftruncate, openat};
use rustix::io::pwrite;

use super::Unpacker;
use crate::archive::{Entry, Segment};

/// How many bytes are copied at once.
const BLOCK: usize = 128 * 1024;

impl Unpacker<'_> {
    pub(super) fn create_file(
        &mut self,
        entry: &Entry,
        name: &OsStr,
        data: &mut impl Read,
    ) -> Result<()> {
        // EXCL: never opens an existing file, which may have another name elsewhere.
        let flags = OFlags::CREATE
            | OFlags::EXCL
            | OFlags::WRONLY
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let file = self
            .replace(name, |parent| openat(parent, name, flags, Mode::from(0o600)))?
            .context("openat")?;
        match &entry.segments {
            None => {
                self.copy(data, &file, Segment { offset: 0, length: entry.size })?
            }
            Some((segments, size)) => {
                ftruncate(&file, *size).context("ftruncate")?;
                segments
                    .iter()
                    .try_for_each(|segment| self.copy(data, &file, *segment))?;
            }
        }
        self.apply_metadata(name, entry)
    }

    /// Copies the data of a segment to its place in the file.
    fn copy(
        &mut self,
        data: &mut impl Read,
        file: &OwnedFd,
        segment: Segment,
    ) -> Result<()> {
        let Segment { mut offset, length } = segment;
        let mut left = length;
        let mut block = vec![0; BLOCK.min(usize::try_from(length).unwrap_or(BLOCK))];
        while left > 0 {
            let limit = block.len().min(usize::try_from(left).unwrap_or(BLOCK));
            let count = data.read(&mut block[..limit]).context("read the archive")?;
            ensure!(count > 0, Failure::new("it has less data than its size says"));
            self.budget.spend_bytes(count as u64)?;
            let mut rest = &block[..count];
            while !rest.is_empty() {
                let written = pwrite(file, rest, offset).context("write")?;
                rest = &rest[written..];
                offset += written as u64;
            }
            left -= count as u64;
        }
        self.unpacked.bytes += length;
        Ok(())
    }
}
