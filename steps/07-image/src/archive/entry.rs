//! Entries of an archive: the file that each creates, and its metadata.

use anyhow::{Context, Result, bail, ensure};
use kit::Failure;
use tar::{EntryType, Header};

use super::pax::Records;
use super::shown;
use super::sparse::Segment;
use crate::limits::LONGEST_NAME;

/// The kind of file that an entry creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Directory,
    File,
    /// A second name for the file at this path.
    HardLink(Vec<u8>),
    SymbolicLink(Vec<u8>),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// An entry of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    /// The path as the archive has it: any bytes but NUL.
    pub(crate) path: Vec<u8>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Permissions, with set-user-ID, set-group-ID and sticky bit.
    pub(crate) mode: u32,
    /// Seconds since 1970, and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Bytes of data in the archive.
    pub(crate) size: u64,
    /// The segments of a sparse file, and its size with the holes.
    pub(crate) segments: Option<(Vec<Segment>, u64)>,
    /// Extended attributes.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Names too long for a header, which GNU tar writes as entries before that header.
#[derive(Default)]
pub(super) struct LongNames {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
}

impl Entry {
    /// Combines a header with the extended headers before it, which override it.
    pub(super) fn parse(
        header: &Header,
        records: &Records,
        long_names: LongNames,
    ) -> Result<Self> {
        let record = |key: &str| records.get(key).map(<[u8]>::to_vec);
        let has_both =
            |long: &Option<Vec<u8>>, key| long.is_some() && record(key).is_some();
        ensure!(
            !has_both(&long_names.path, "path")
                && !has_both(&long_names.path, "GNU.sparse.name")
                && !has_both(&long_names.link, "linkpath"),
            Failure::new(format_args!(
                "entry {}: a long name of GNU tar's and one of pax",
                shown(&header.path_bytes())
            ))
            .hint("programs do not agree which of them counts")
        );
        // GNU tar gives a sparse file a made-up name in the header and in "path".
        let path = record("GNU.sparse.name").or(record("path")).or(long_names.path);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = record("linkpath").or(long_names.link);
        let link = link
            .or_else(|| header.link_name_bytes().map(|name| name.into_owned()))
            .unwrap_or_default();
        let name = format!("entry {}", shown(&path));
        Self::with_names(header, records, path, link).context(name)
    }

    fn with_names(
        header: &Header,
        records: &Records,
        path: Vec<u8>,
        link: Vec<u8>,
    ) -> Result<Self> {
        let has_nul = path.contains(&0) || link.contains(&0);
        ensure!(!has_nul, Failure::new("a name with a NUL byte"));
        let longest = path.len().max(link.len());
        ensure!(
            longest <= LONGEST_NAME,
            Failure::new(format_args!(
                "a name of {longest} bytes: the most is {LONGEST_NAME}"
            ))
        );
        let size = match records.number("size")? {
            Some(size) => size, // pax: it overrides the header's
            None => header.entry_size()?,
        };
        let is_directory =
            path.ends_with(b"/") && header.entry_type() != EntryType::Regular;
        let kind = kind(header, &path, link)?;
        ensure!(
            kind != EntryKind::File || !is_directory,
            Failure::new("it is a file, and its name ends in a slash")
        );
        check_size(header, records, &kind, size)?;
        let size = if kind == EntryKind::File { size } else { 0 };
        Ok(Entry {
            uid: id("uid", header.uid(), records)?,
            gid: id("gid", header.gid(), records)?,
            mode: header.mode()? & 0o7777,
            mtime: mtime(header, records)?,
            attributes: records.attributes(),
            segments: None,
            kind,
            path,
            size,
        })
    }

    /// Makes an entry that belongs to uid 0, without permissions, data or attributes.
    pub(crate) fn new(kind: EntryKind, path: &[u8]) -> Self {
        Entry {
            kind,
            path: path.into(),
            uid: 0,
            gid: 0,
            mode: 0,
            mtime: (0, 0),
            size: 0,
            segments: None,
            attributes: Vec::new(),
        }
    }

    /// Returns the entry's name for errors.
    pub(crate) fn name(&self) -> String {
        format!("entry {}", shown(&self.path))
    }
}

fn kind(header: &Header, path: &[u8], link: Vec<u8>) -> Result<EntryKind> {
    let device = |kind: fn(u32, u32) -> EntryKind| -> Result<EntryKind> {
        let (major, minor) = (header.device_major()?, header.device_minor()?);
        Ok(kind(major.unwrap_or(0), minor.unwrap_or(0)))
    };
    Ok(match header.entry_type() {
        // Before ustar a directory was a file whose name ends in a slash.
        EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            EntryKind::File
        }
        EntryType::Directory => EntryKind::Directory,
        EntryType::Link => EntryKind::HardLink(link),
        EntryType::Symlink => EntryKind::SymbolicLink(link),
        EntryType::Char => device(EntryKind::CharacterDevice)?,
        EntryType::Block => device(EntryKind::BlockDevice)?,
        EntryType::Fifo => EntryKind::Fifo,
        other => {
            let kind = char::from(other.as_byte()).escape_default().to_string();
            bail!(Failure::new(format_args!("unknown type of entry '{kind}'")));
        }
    })
}

/// Refuses a size where readers do not agree whether data follows. All readers ignore
/// the size in the header of a directory, a node or a link, with one exception:
/// libarchive reads data of a hard link that has an extended header.
fn check_size(
    header: &Header,
    records: &Records,
    kind: &EntryKind,
    size: u64,
) -> Result<()> {
    let header_size_is_ignored = match kind {
        EntryKind::HardLink(_) => records.is_empty(),
        // Before ustar a directory was a file, with data.
        _ => header.entry_type() != EntryType::Regular,
    };
    let is_ignored = header_size_is_ignored && records.get("size").is_none();
    ensure!(
        size == 0 || *kind == EntryKind::File || is_ignored,
        Failure::new("it is not a file, and has data")
    );
    Ok(())
}

/// Returns an owner's id. macOS writes negative ids, -2 for `nobody`; programs read
/// them as unsigned numbers of 32 bits.
fn id(key: &str, in_header: std::io::Result<u64>, records: &Records) -> Result<u32> {
    let id = match records.integer(key)? {
        Some(id) => id,
        // A number in base 256 has 63 bits; the highest is the sign.
        None => in_header?.cast_signed() << 1 >> 1,
    };
    let unsigned = u32::try_from(id).or(i32::try_from(id).map(i32::cast_unsigned));
    // To chown(2) -1 means "leave it".
    let id = unsigned.ok().filter(|id| *id != u32::MAX);
    id.with_context(|| format!("its {key} is too large"))
}

fn mtime(header: &Header, records: &Records) -> Result<(i64, u32)> {
    match records.time("mtime")? {
        Some(time) => Ok(time),
        // A negative number in base 256 is in two's complement.
        None => Ok((header.mtime()?.cast_signed(), 0)),
    }
}
