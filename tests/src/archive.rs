//! Tar archives made byte by byte, including ones that no tool would write.
//!
//! Nothing is checked here. An [`Entry`] can claim a wrong size, be called `../x`, or
//! stand before the directory that contains it. The format is described in tar(5).

mod compressed;
mod header;
mod sparse;
#[cfg(test)]
mod tests;

pub use compressed::{gzip, gzip_of_zeros, zstd, zstd_of_zeros};
pub use header::pax_record;

/// An archive that is being made.
#[derive(Clone, Default)]
pub struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Creates an empty archive.
    pub fn new() -> Self {
        Archive::default()
    }

    /// Adds an entry.
    pub fn with(mut self, entry: Entry) -> Self {
        self.bytes.extend(entry.bytes());
        self
    }

    /// Adds bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// Ends the archive with two empty blocks, and returns it.
    pub fn end(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }

    /// Returns the archive without the two empty blocks at its end.
    pub fn without_end(self) -> Vec<u8> {
        self.bytes
    }
}

/// An entry of an archive. By default it belongs to root and its time is 1000 s.
#[derive(Clone)]
pub struct Entry {
    name: Vec<u8>,
    kind: u8,
    mode: u32,
    owner: (u64, u64),
    mtime: i64,
    link: Vec<u8>,
    device: (u32, u32),
    preceding: Vec<u8>,
    pax: Vec<u8>,
    body: Vec<u8>,
    claimed_size: Option<u64>,
    edits: Vec<fn(&mut [u8; 512])>,
    checksum: Checksum,
}

#[derive(Clone, Copy)]
enum Checksum {
    Right,
    Signed,
    Wrong,
}

impl Entry {
    /// Creates an entry of any type: the letter of tar(5).
    pub fn of_kind(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Entry {
            name: name.as_ref().into(),
            kind,
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            owner: (0, 0),
            mtime: 1000,
            link: Vec::new(),
            device: (0, 0),
            preceding: Vec::new(),
            pax: Vec::new(),
            body: Vec::new(),
            claimed_size: None,
            edits: Vec::new(),
            checksum: Checksum::Right,
        }
    }

    /// Creates a file with this content.
    pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Entry { body: content.as_ref().into(), ..Entry::of_kind(b'0', name) }
    }

    /// Creates a directory.
    pub fn dir(name: impl AsRef<[u8]>) -> Self {
        Entry::of_kind(b'5', name)
    }

    /// Creates a symbolic link to `to`.
    pub fn symlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Entry { link: to.as_ref().into(), mode: 0o777, ..Entry::of_kind(b'2', name) }
    }

    /// Creates a hard link to `to`.
    pub fn hard_link(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Entry { link: to.as_ref().into(), ..Entry::of_kind(b'1', name) }
    }

    /// Creates a FIFO.
    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Entry::of_kind(b'6', name)
    }

    /// Creates a character device.
    pub fn char_device(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Entry { device: (major, minor), ..Entry::of_kind(b'3', name) }
    }

    /// Creates a block device.
    pub fn block_device(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Entry { device: (major, minor), ..Entry::of_kind(b'4', name) }
    }

    /// Creates a whiteout: hides `path` of the layers below.
    pub fn whiteout(path: &str) -> Self {
        let (dir, name) =
            path.rsplit_once('/').map_or(("", path), |(dir, name)| (dir, name));
        let slash = if dir.is_empty() { "" } else { "/" };
        Entry::file(format!("{dir}{slash}.wh.{name}"), "")
    }

    /// Creates an opaque whiteout: hides everything that the layers below have in
    /// `dir`.
    pub fn opaque(dir: &str) -> Self {
        Entry::file(format!("{dir}/.wh..wh..opq"), "")
    }

    /// Sets its permissions.
    pub fn mode(self, mode: u32) -> Self {
        Entry { mode, ..self }
    }

    /// Sets its user and group.
    pub fn owner(self, uid: u64, gid: u64) -> Self {
        Entry { owner: (uid, gid), ..self }
    }

    /// Sets its modification time, in seconds since 1970.
    pub fn mtime(self, seconds: i64) -> Self {
        Entry { mtime: seconds, ..self }
    }

    /// Sets its modification time in a PAX header: `"1234.000000001"`.
    pub fn mtime_in_full(self, time: &str) -> Self {
        self.pax("mtime", time)
    }

    /// Writes a wrong size into the header.
    pub fn claims(self, size: u64) -> Self {
        Entry { claimed_size: Some(size), ..self }
    }

    /// Adds a record to the PAX header that precedes the entry.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.extend(pax_record(key, value.as_ref()));
        self
    }

    /// Adds any text, well-formed or not, to the PAX header that precedes the entry.
    pub fn pax_text(mut self, text: impl AsRef<[u8]>) -> Self {
        self.pax.extend(text.as_ref());
        self
    }

    /// Adds an extended attribute.
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Puts its name into a GNU long-name entry that precedes it. Its own header has
    /// the first 100 bytes of the name.
    pub fn gnu_long_name(mut self, name: impl AsRef<[u8]>) -> Self {
        let text = [name.as_ref(), b"\0"].concat();
        self.preceding.extend(
            Entry { body: text, ..Entry::of_kind(b'L', "././@LongLink") }.bytes(),
        );
        self.name = name.as_ref().iter().copied().take(100).collect();
        self
    }

    /// Puts its link target into a GNU long-link entry that precedes it. Its own header
    /// has the first 100 bytes of the target.
    pub fn gnu_long_link(mut self, to: impl AsRef<[u8]>) -> Self {
        let text = [to.as_ref(), b"\0"].concat();
        self.preceding.extend(
            Entry { body: text, ..Entry::of_kind(b'K', "././@LongLink") }.bytes(),
        );
        self.link = to.as_ref().iter().copied().take(100).collect();
        self
    }

    /// Sets its content, whatever its type is.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        Entry { body: body.as_ref().into(), ..self }
    }

    /// Edits its header once more, before the checksum is computed.
    pub fn edit(mut self, edit: fn(&mut [u8; 512])) -> Self {
        self.edits.push(edit);
        self
    }

    /// Writes a checksum that is the sum of signed bytes.
    pub fn with_signed_checksum(self) -> Self {
        Entry { checksum: Checksum::Signed, ..self }
    }

    /// Writes a wrong checksum.
    pub fn with_wrong_checksum(self) -> Self {
        Entry { checksum: Checksum::Wrong, ..self }
    }
}
