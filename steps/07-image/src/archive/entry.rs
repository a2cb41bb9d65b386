//! One entry: what is to be made, and with which attributes.

use anyhow::{Context, Result};
use kit::Failure;
use tar::{EntryType, Header};

use super::pax::Records;
use super::sparse::Segment;

/// What an entry makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    /// A second name of what this path names.
    HardLink(Vec<u8>),
    SymbolicLink(Vec<u8>),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// One entry of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// As the archive has it: any bytes but NUL.
    pub(crate) path: Vec<u8>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Permissions, with set-user-ID, set-group-ID and sticky bit.
    pub(crate) mode: u32,
    /// Seconds since 1970, and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Bytes of data in the archive.
    pub(crate) size: u64,
    /// For a file with holes: where the data goes, and the size of the whole.
    pub(crate) segments: Option<(Vec<Segment>, u64)>,
    /// Extended attributes.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    pub(super) fn of(
        header: &Header,
        records: &Records,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Self> {
        let from = |key: &str| records.get(key).map(<[u8]>::to_vec);
        // GNU tar calls a sparse file by a made-up name in the header, and by its own
        // here.
        let path = from("GNU.sparse.name").or(from("path")).or(long_path);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = from("linkpath").or(long_link);
        let link = link
            .or_else(|| header.link_name_bytes().map(|name| name.into_owned()))
            .unwrap_or_default();
        let name = || format!("entry {}", shown(&path));

        let size = match records.number("size").with_context(name)? {
            Some(size) => size, // pax: it overrides the header's
            None => header.entry_size().with_context(name)?,
        };
        let kind = kind(header, &path, link).with_context(name)?;
        if size > 0 && kind != Kind::File {
            // Whether data follows, readers do not agree.
            return Err(Failure::new(format_args!(
                "{}: it is no file, and has data",
                name()
            ))
            .into());
        }
        if [&path, kind.link()].into_iter().any(|name| name.contains(&0)) {
            return Err(Failure::new(format_args!(
                "{}: a name with a NUL byte",
                name()
            ))
            .into());
        }
        let id = |key: &str, header: std::io::Result<u64>| -> Result<u32> {
            let id = records.number(key)?.map_or(header, Ok)?;
            // To chown(2) the largest one means "leave it".
            let id = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
            id.ok_or_else(|| {
                Failure::new(format_args!("{}: its {key} is too large", name())).into()
            })
        };
        Ok(Entry {
            uid: id("uid", header.uid()).with_context(name)?,
            gid: id("gid", header.gid()).with_context(name)?,
            mode: header.mode().with_context(name)? & 0o7777,
            mtime: mtime(header, records).with_context(name)?,
            attributes: records.attributes(),
            segments: None,
            kind,
            path,
            size,
        })
    }

    /// As errors name it.
    pub(crate) fn name(&self) -> String {
        format!("entry {}", shown(&self.path))
    }
}

impl Kind {
    /// What it links to.
    fn link(&self) -> &Vec<u8> {
        static NOTHING: Vec<u8> = Vec::new();
        match self {
            Kind::HardLink(link) | Kind::SymbolicLink(link) => link,
            _ => &NOTHING,
        }
    }
}

fn kind(header: &Header, path: &[u8], link: Vec<u8>) -> Result<Kind> {
    let device = || -> Result<(u32, u32)> {
        let (major, minor) = (header.device_major()?, header.device_minor()?);
        Ok((major.unwrap_or(0), minor.unwrap_or(0)))
    };
    Ok(match header.entry_type() {
        // Before ustar a directory was a file whose name ends in a slash.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Link => Kind::HardLink(link),
        EntryType::Symlink => Kind::SymbolicLink(link),
        EntryType::Char => {
            device().map(|(major, minor)| Kind::CharacterDevice(major, minor))?
        }
        EntryType::Block => {
            device().map(|(major, minor)| Kind::BlockDevice(major, minor))?
        }
        EntryType::Fifo => Kind::Fifo,
        other => {
            let kind = char::from(other.as_byte()).escape_default().to_string();
            return Err(Failure::new(format_args!(
                "entries of type '{kind}' are not known"
            ))
            .into());
        }
    })
}

fn mtime(header: &Header, records: &Records) -> Result<(i64, u32)> {
    match records.time("mtime")? {
        Some(time) => Ok(time),
        // Base 256 may be negative: as two's complement.
        None => Ok((header.mtime()?.cast_signed(), 0)),
    }
}

/// A name of an archive's as a person can read it, and a terminal survives it.
pub(crate) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let short: String = text.chars().take(200).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{rest}")
}
