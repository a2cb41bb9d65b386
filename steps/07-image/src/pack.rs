//! A directory becomes an archive: what a container has written, as a layer; or a whole
//! root file system.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Failure;
use tar::{EntryType, Header};

use crate::attributes;
use crate::unpack::is_opaque;

/// What the archive is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// A layer: whiteouts become `.wh.` names.
    Layer,
    /// A root file system, which has none.
    Tree,
}

/// Writes all that is in a directory, in order of its names.
pub(crate) fn pack<W: Write>(
    top: &Path,
    kind: As,
    largest: u64,
    output: W,
) -> Result<W> {
    let mut packer = Packer { output, top, kind, largest, links: HashMap::new() };
    packer.entry(Path::new(""))?;
    packer.output.write_all(&[0; 1024]).context("write the archive")?;
    packer.output.flush().context("write the archive")?;
    Ok(packer.output)
}

struct Packer<'a, W> {
    output: W,
    top: &'a Path,
    kind: As,
    /// The largest file that may go into it, in bytes.
    largest: u64,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<'_, W> {
    fn entry(&mut self, path: &Path) -> Result<()> {
        let full = self.top.join(path);
        let found = fs::symlink_metadata(&full)
            .with_context(|| format!("lstat({})", full.display()))?;
        let name = path.file_name().unwrap_or_default();
        if self.kind == As::Tree && is_gone(&found) {
            // of an image's only layer: there is nothing that it could hide
            return Ok(());
        }
        if self.kind == As::Layer {
            if is_gone(&found) {
                return self
                    .whiteout(path.with_file_name(joined(b".wh.", name)), &found);
            }
            if name.as_bytes().starts_with(b".wh.") {
                let failure = Failure::new(format_args!(
                    "/{}: a layer cannot keep a file of this name",
                    path.display()
                ));
                return Err(failure
                    .hint("in layers .wh. means that something is gone: rename or remove it")
                    .into());
            }
        }
        if found.is_dir() {
            self.directory(path, &full, &found)
        } else {
            self.other(path, &full, &found)
        }
    }

    fn directory(&mut self, path: &Path, full: &Path, found: &Metadata) -> Result<()> {
        let mut name = if path.as_os_str().is_empty() {
            b"./".to_vec()
        } else {
            path.as_os_str().as_bytes().to_vec()
        };
        if !name.ends_with(b"/") {
            name.push(b'/');
        }
        self.header(EntryType::Directory, &name, b"", 0, full, found)?;
        let directory =
            File::open(full).with_context(|| format!("open({})", full.display()))?;
        if self.kind == As::Layer && is_opaque(&directory) {
            self.whiteout(path.join(".wh..wh..opq"), found)?;
        }
        let entries =
            fs::read_dir(full).with_context(|| format!("read {}", full.display()))?;
        let mut names: Vec<_> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()
            .with_context(|| format!("read {}", full.display()))?;
        names.sort();
        names.iter().try_for_each(|name| self.entry(&path.join(name)))
    }

    fn other(&mut self, path: &Path, full: &Path, found: &Metadata) -> Result<()> {
        let name = path.as_os_str().as_bytes();
        if found.nlink() > 1 {
            if let Some(first) = self.links.get(&(found.dev(), found.ino())).cloned() {
                return self.header(
                    EntryType::Link,
                    name,
                    first.as_os_str().as_bytes(),
                    0,
                    full,
                    found,
                );
            }
            self.links.insert((found.dev(), found.ino()), path.into());
        }
        let kind = found.file_type();
        if kind.is_file() {
            return self.file(name, full, found);
        }
        let entry_type = match kind {
            _ if kind.is_symlink() => EntryType::Symlink,
            _ if kind.is_char_device() => EntryType::Char,
            _ if kind.is_block_device() => EntryType::Block,
            _ if kind.is_fifo() => EntryType::Fifo,
            _ => return Ok(()), // a socket: nobody listens to it any more
        };
        let target = if kind.is_symlink() {
            fs::read_link(full).context("readlink")?
        } else {
            PathBuf::new()
        };
        self.header(entry_type, name, target.as_os_str().as_bytes(), 0, full, found)
    }

    fn file(&mut self, name: &[u8], full: &Path, found: &Metadata) -> Result<()> {
        let size = found.len();
        if size > self.largest {
            let what = format!(
                "/{}: it has {size} bytes, holes included",
                String::from_utf8_lossy(name)
            );
            return Err(Failure::new(what)
                .hint("an archive has no holes, and there is no room for that")
                .into());
        }
        self.header(EntryType::Regular, name, b"", size, full, found)?;
        let file =
            File::open(full).with_context(|| format!("open({})", full.display()))?;
        let copied = std::io::copy(&mut file.take(size), &mut self.output)
            .context("write the archive")?;
        if copied != size {
            return Err(Failure::new(format_args!(
                "{}: it became shorter while it was read",
                full.display()
            ))
            .into());
        }
        self.pad(size)
    }

    fn whiteout(&mut self, path: PathBuf, found: &Metadata) -> Result<()> {
        let mut header = Header::new_ustar();
        fill(&mut header, found);
        header.set_mode(0);
        self.write(
            header,
            EntryType::Regular,
            path.as_os_str().as_bytes(),
            b"",
            0,
            Vec::new(),
        )
    }

    fn header(
        &mut self,
        entry_type: EntryType,
        name: &[u8],
        link: &[u8],
        size: u64,
        full: &Path,
        found: &Metadata,
    ) -> Result<()> {
        let mut header = Header::new_ustar();
        fill(&mut header, found);
        let device = found.rdev();
        header
            .set_device_major(rustix::fs::major(device))
            .context("its device number")?;
        header
            .set_device_minor(rustix::fs::minor(device))
            .context("its device number")?;
        let mut records = Vec::new();
        let nanoseconds = found.mtime_nsec();
        if nanoseconds != 0 || found.mtime() < 0 {
            records.push((
                b"mtime".to_vec(),
                decimal_time(found.mtime(), nanoseconds).into_bytes(),
            ));
        }
        for (key, id) in [("uid", found.uid()), ("gid", found.gid())] {
            if id > 0o7777777 {
                records.push((key.into(), id.to_string().into_bytes()));
            }
        }
        if entry_type != EntryType::Link {
            for (attribute, value) in attributes::at(full.as_os_str())? {
                records.push(([b"SCHILY.xattr.", &attribute[..]].concat(), value));
            }
        }
        self.write(header, entry_type, name, link, size, records)
    }

    /// A header, and before it what does not fit into it.
    fn write(
        &mut self,
        mut header: Header,
        entry_type: EntryType,
        name: &[u8],
        link: &[u8],
        size: u64,
        mut records: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<()> {
        header.set_entry_type(entry_type);
        for (key, text, room) in [("path", name, 100), ("linkpath", link, 100)] {
            if text.len() > room || !text.is_ascii() {
                records.push((key.into(), text.to_vec()));
            }
        }
        if size > 0o77777777777 {
            records.push((b"size".to_vec(), size.to_string().into_bytes()));
        }
        let shorten = |text: &[u8]| text[..text.len().min(100)].to_vec();
        if !records.is_empty() {
            let text: Vec<u8> =
                records.iter().flat_map(|(key, value)| record(key, value)).collect();
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            extended.set_mode(0o644);
            extended.set_uid(0);
            extended.set_gid(0);
            extended.set_mtime(0);
            put(&mut extended, &shorten(name), b"", text.len() as u64)?;
            self.output.write_all(extended.as_bytes()).context("write the archive")?;
            self.output.write_all(&text).context("write the archive")?;
            self.pad(text.len() as u64)?;
        }
        put(&mut header, &shorten(name), &shorten(link), size)?;
        self.output.write_all(header.as_bytes()).context("write the archive")
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = [0; 512];
        self.output
            .write_all(&padding[..(size.wrapping_neg() % 512) as usize])
            .context("write the archive")
    }
}

/// Names as they are: they are bytes, and the crate's own setters want paths.
fn put(header: &mut Header, name: &[u8], link: &[u8], size: u64) -> Result<()> {
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name);
    old.linkname[..link.len()].copy_from_slice(link);
    header.set_size(size);
    header.set_cksum();
    Ok(())
}

fn fill(header: &mut Header, found: &Metadata) {
    header.set_mode(found.mode() & 0o7777);
    // What is too large or too early stands in a record.
    header.set_uid(u64::from(found.uid()).min(0o7777777));
    header.set_gid(u64::from(found.gid()).min(0o7777777));
    header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
}

/// pax: `LENGTH KEY=VALUE\n`; the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn decimal_time(seconds: i64, nanoseconds: i64) -> String {
    match seconds < 0 && nanoseconds > 0 {
        // -1.5 is 2 seconds before 1970, and half a second forward from there.
        true => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        false => format!("{seconds}.{nanoseconds:09}"),
    }
}

fn joined(prefix: &[u8], name: &OsStr) -> std::ffi::OsString {
    OsStr::from_bytes(&[prefix, name.as_bytes()].concat()).to_owned()
}

fn is_gone(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        assert_eq!(record(b"path", b"a"), b"9 path=a\n");
        for length in [1, 80, 91, 92, 93, 94, 95, 985, 990, 995] {
            let made = record(b"k", &vec![b'x'; length]);
            assert!(
                made.starts_with(format!("{} k=", made.len()).as_bytes()),
                "{length}"
            );
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!(decimal_time(1, 5), "1.000000005");
        assert_eq!(decimal_time(-2, 500_000_000), "-1.500000000");
        assert_eq!(decimal_time(-1, 500_000_000), "-0.500000000");
    }
}
