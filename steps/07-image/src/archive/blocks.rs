//! The blocks of 512 bytes that an archive consists of. A header is one block and has a
//! checksum; data is padded to whole blocks; two blocks of zeros are the end: tar(5),
//! "General Format".

use std::io::{self, Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use tar::Header;

use super::header::{self, BLOCK};
use super::overhead::Overhead;
use crate::limits::LONGEST_PADDING;

/// Reads the headers of an archive. Its `Read` reads the data after the current header.
pub(super) struct Blocks<R> {
    input: R,
    /// Bytes of the current data that have not been read.
    data_left: u64,
    /// Bytes of padding after the current data.
    padding: u64,
    /// Whether any block has been read.
    has_begun: bool,
    overhead: Overhead,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R) -> Self {
        let overhead = Overhead::new();
        Blocks { input, data_left: 0, padding: 0, has_begun: false, overhead }
    }

    /// Skips the data that is left, and reads the next header; None at the end.
    pub(super) fn next_header(&mut self) -> Result<Option<Header>> {
        self.overhead.add(self.data_left)?;
        self.skip_data_and_padding()?;
        let Some(block) = self.read_block()? else {
            // Some programs write no blocks of zeros at the end.
            let empty = || Failure::new("the archive is empty").hint("get it again");
            ensure!(self.has_begun, empty());
            return Ok(None);
        };
        self.has_begun = true;
        if block == [0; BLOCK] {
            self.refuse_data_after_end()?;
            return Ok(None);
        }
        header::parse(block).map(Some)
    }

    /// Counts an entry, which may have some overhead.
    pub(super) fn add_entry(&mut self) {
        self.overhead.add_entry();
    }

    /// Counts bytes that become no file.
    pub(super) fn add_overhead(&mut self, bytes: u64) -> Result<()> {
        self.overhead.add(bytes)
    }

    /// Begins to read data of this size.
    pub(super) fn begin_data(&mut self, size: u64) {
        self.data_left = size;
        self.padding = padding(size);
    }

    /// Returns how many bytes of the current data have not been read.
    pub(super) fn data_left(&self) -> u64 {
        self.data_left
    }

    /// Reads a block; None at the end of the input.
    pub(super) fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]).context("read the archive")? {
                0 if filled == 0 => return Ok(None),
                0 => bail!(truncated()),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// Reads the padding after the current data. Tells whether it is zeros.
    pub(super) fn has_padding_of_zeros(&mut self) -> Result<bool> {
        let mut padding = self.input.by_ref().take(std::mem::take(&mut self.padding));
        let mut bytes = Vec::new();
        padding.read_to_end(&mut bytes).context("read the archive")?;
        Ok(bytes.iter().all(|byte| *byte == 0))
    }

    /// Refuses anything but zeros after the end: some readers would see a second archive
    /// in it.
    fn refuse_data_after_end(&mut self) -> Result<()> {
        let mut rest = vec![0; 64 * 1024];
        let mut zeros = 0;
        loop {
            let count = self.input.read(&mut rest).context("read the archive")?;
            ensure!(
                rest[..count].iter().all(|byte| *byte == 0),
                Failure::new("the archive has data after its end")
            );
            zeros += count as u64;
            ensure!(
                zeros <= LONGEST_PADDING,
                Failure::new("the archive has more than 64 MiB of zeros after its end")
            );
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn skip_data_and_padding(&mut self) -> Result<()> {
        io::copy(self, &mut io::sink()).context("read the archive")?;
        // Some programs end an archive right behind the data of its last file.
        let mut padding = self.input.by_ref().take(std::mem::take(&mut self.padding));
        io::copy(&mut padding, &mut io::sink()).context("read the archive")?;
        Ok(())
    }
}

impl<R: Read + Seek> Blocks<R> {
    /// Returns the position in the input.
    pub(super) fn position(&mut self) -> Result<u64> {
        self.input.stream_position().context("lseek")
    }

    /// Seeks over the current data.
    pub(super) fn seek_over_data(&mut self) -> Result<()> {
        let position = self.position()?;
        let end = self.input.seek(SeekFrom::End(0)).context("lseek")?;
        let next = position.checked_add(std::mem::take(&mut self.data_left));
        let next = next.filter(|next| *next <= end).ok_or_else(truncated)?;
        self.input.seek(SeekFrom::Start(next)).context("lseek").map(drop)
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit =
            buffer.len().min(usize::try_from(self.data_left).unwrap_or(usize::MAX));
        let count = self.input.read(&mut buffer[..limit])?;
        if count == 0 && limit > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, truncated()));
        }
        self.data_left -= count as u64;
        Ok(count)
    }
}

/// Returns how many bytes pad data of this size to a whole block.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

pub(super) fn truncated() -> Failure {
    Failure::new("the archive ends in the middle of an entry")
        .hint("it is truncated: get it again")
}
