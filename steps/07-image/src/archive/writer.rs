//! Writes entries as a tar archive with ustar headers. A pax header before an entry has
//! all that does not fit into the entry's own header.

use std::io::{self, Read, Write};

use anyhow::{Context, Result, ensure};
use kit::Failure;
use tar::{EntryType, Header};

use super::blocks::padding;
use super::entry::{Entry, EntryKind};
use super::header::BLOCK;
use super::{numbers, pax};

/// The largest number in a field of 8 bytes and in one of 12.
const LARGEST_ID: u32 = 0o7777777;
const LARGEST_SIZE: u64 = 0o77777777777;
/// The longest name in a header.
const LONGEST_NAME: usize = 100;

/// Writes a tar archive.
pub(crate) struct ArchiveWriter<W> {
    output: W,
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn new(output: W) -> Self {
        ArchiveWriter { output }
    }

    /// Writes an entry with its data.
    ///
    /// # Errors
    /// The output cannot be written, or `data` is shorter than the entry's size.
    pub(crate) fn write_entry(&mut self, entry: &Entry, data: impl Read) -> Result<()> {
        let (entry_type, link, (major, minor)) = match &entry.kind {
            EntryKind::Directory => (EntryType::Directory, &[][..], (0, 0)),
            EntryKind::File => (EntryType::Regular, &[][..], (0, 0)),
            EntryKind::HardLink(link) => (EntryType::Link, &link[..], (0, 0)),
            EntryKind::SymbolicLink(link) => (EntryType::Symlink, &link[..], (0, 0)),
            EntryKind::CharacterDevice(major, minor) => {
                (EntryType::Char, &[][..], (*major, *minor))
            }
            EntryKind::BlockDevice(major, minor) => {
                (EntryType::Block, &[][..], (*major, *minor))
            }
            EntryKind::Fifo => (EntryType::Fifo, &[][..], (0, 0)),
        };
        let records = records(entry, link);
        if !records.is_empty() {
            let size = records.len() as u64;
            let mut header = header(EntryType::XHeader, &entry.path, size);
            header.set_mode(0o644);
            self.write_block(header)?;
            self.write_data(&records[..], size)?;
        }
        let mut header = header(entry_type, &entry.path, entry.size);
        copy_name(&mut header.as_old_mut().linkname, link);
        header.set_mode(entry.mode);
        header.set_uid(entry.uid.min(LARGEST_ID).into());
        header.set_gid(entry.gid.min(LARGEST_ID).into());
        header.set_mtime(u64::try_from(entry.mtime.0).unwrap_or(0));
        header.set_device_major(major).context("its device number")?;
        header.set_device_minor(minor).context("its device number")?;
        self.write_block(header)?;
        self.write_data(data, entry.size)
    }

    /// Writes the end of the archive, and returns the output.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.write(&[0; 2 * BLOCK])?;
        self.output.flush().context("write the archive")?;
        Ok(self.output)
    }

    fn write_block(&mut self, mut header: Header) -> Result<()> {
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn write_data(&mut self, data: impl Read, size: u64) -> Result<()> {
        let copied = io::copy(&mut data.take(size), &mut self.output)
            .context("write the archive")?;
        ensure!(
            copied == size,
            Failure::new("the file became shorter while it was read")
        );
        self.write(&[0; BLOCK][..padding(size) as usize])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).context("write the archive")
    }
}

/// Returns the records of a pax header: all that does not fit into the entry's header.
fn records(entry: &Entry, link: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |is_needed, key: &[u8], value: &[u8]| {
        if is_needed {
            records.extend(pax::format_record(key, value));
        }
    };
    let (seconds, nanoseconds) = entry.mtime;
    let mtime = numbers::format_time(seconds, nanoseconds);
    add(seconds < 0 || nanoseconds != 0, b"mtime", mtime.as_bytes());
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        add(id > LARGEST_ID, key.as_bytes(), id.to_string().as_bytes());
    }
    for (name, value) in &entry.attributes {
        add(true, &[pax::ATTRIBUTE_PREFIX, name].concat(), value);
    }
    for (key, name) in [("path", &entry.path[..]), ("linkpath", link)] {
        add(name.len() > LONGEST_NAME || !name.is_ascii(), key.as_bytes(), name);
    }
    add(entry.size > LARGEST_SIZE, b"size", entry.size.to_string().as_bytes());
    records
}

fn header(entry_type: EntryType, path: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    copy_name(&mut header.as_old_mut().name, path);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// Copies the beginning of a name. The crate's own setters take paths, and refuse some.
fn copy_name(field: &mut [u8; LONGEST_NAME], name: &[u8]) {
    let length = name.len().min(LONGEST_NAME);
    field[..length].copy_from_slice(&name[..length]);
}
