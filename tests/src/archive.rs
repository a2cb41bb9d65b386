//! Tar archives made byte by byte, including ones that no tool would write.
//!
//! Nothing is checked here. An [`Entry`] can claim a wrong size, be called `../x`, or
//! stand before the directory that contains it. The format is described in tar(5).

use std::io::Write;

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

    /// Returns the archive without its end.
    pub fn cut(self) -> Vec<u8> {
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
    before: Vec<u8>,
    pax: Vec<u8>,
    body: Vec<u8>,
    claim: Option<u64>,
    edit: Option<fn(&mut [u8; 512])>,
    checksum: Checksum,
}

#[derive(Clone, Copy)]
enum Checksum {
    Right,
    Wrong,
}

impl Entry {
    /// An entry of any type: the letter of tar(5).
    pub fn of_kind(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Entry {
            name: name.as_ref().into(),
            kind,
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            owner: (0, 0),
            mtime: 1000,
            link: Vec::new(),
            device: (0, 0),
            before: Vec::new(),
            pax: Vec::new(),
            body: Vec::new(),
            claim: None,
            edit: None,
            checksum: Checksum::Right,
        }
    }

    /// A file with this content.
    pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Entry { body: content.as_ref().into(), ..Entry::of_kind(b'0', name) }
    }

    /// A directory.
    pub fn dir(name: impl AsRef<[u8]>) -> Self {
        Entry::of_kind(b'5', name)
    }

    /// A symbolic link to `to`.
    pub fn symlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Entry { link: to.as_ref().into(), mode: 0o777, ..Entry::of_kind(b'2', name) }
    }

    /// A hard link to `to`.
    pub fn hard_link(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Entry { link: to.as_ref().into(), ..Entry::of_kind(b'1', name) }
    }

    /// A FIFO.
    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Entry::of_kind(b'6', name)
    }

    /// A character device.
    pub fn char_device(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Entry { device: (major, minor), ..Entry::of_kind(b'3', name) }
    }

    /// A block device.
    pub fn block_device(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Entry { device: (major, minor), ..Entry::of_kind(b'4', name) }
    }

    /// A whiteout: hides `path` of the layers below.
    pub fn whiteout(path: &str) -> Self {
        let (dir, name) =
            path.rsplit_once('/').map_or(("", path), |(dir, name)| (dir, name));
        let slash = if dir.is_empty() { "" } else { "/" };
        Entry::file(format!("{dir}{slash}.wh.{name}"), "")
    }

    /// An opaque whiteout: hides everything that the layers below have in `dir`.
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
        Entry { claim: Some(size), ..self }
    }

    /// Adds a record to the PAX header before it.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.extend(pax_record(key, value.as_ref()));
        self
    }

    /// Adds any text to the PAX header before it, well-formed or not.
    pub fn pax_text(mut self, text: impl AsRef<[u8]>) -> Self {
        self.pax.extend(text.as_ref());
        self
    }

    /// Adds an extended attribute.
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Puts its name into a GNU long-name entry before it. Its own header has the first
    /// 100 bytes.
    pub fn gnu_long_name(mut self, name: impl AsRef<[u8]>) -> Self {
        let text = [name.as_ref(), b"\0"].concat();
        self.before.extend(
            Entry { body: text, ..Entry::of_kind(b'L', "././@LongLink") }.bytes(),
        );
        self.name = name.as_ref().iter().copied().take(100).collect();
        self
    }

    /// Puts its link target into a GNU long-link entry before it.
    pub fn gnu_long_link(mut self, to: impl AsRef<[u8]>) -> Self {
        let text = [to.as_ref(), b"\0"].concat();
        self.before.extend(
            Entry { body: text, ..Entry::of_kind(b'K', "././@LongLink") }.bytes(),
        );
        self.link = to.as_ref().iter().copied().take(100).collect();
        self
    }

    /// Sets its content, whatever its type is.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        Entry { body: body.as_ref().into(), ..self }
    }

    /// Edits its header, before the checksum is computed.
    pub fn edit(self, edit: fn(&mut [u8; 512])) -> Self {
        Entry { edit: Some(edit), ..self }
    }

    /// Writes a wrong checksum.
    pub fn with_wrong_checksum(self) -> Self {
        Entry { checksum: Checksum::Wrong, ..self }
    }

    /// A sparse file in the old GNU format: pieces of data at their offsets, and holes
    /// between.
    pub fn sparse_gnu(name: &str, pieces: &[(u64, &[u8])], size: u64) -> Self {
        let numbers = |(offset, data): &(u64, &[u8])| {
            format!("{offset:011o}\0{:011o}\0", data.len())
        };
        let map = |pieces: &[(u64, &[u8])], room| {
            let mut map = pieces.iter().map(numbers).collect::<String>().into_bytes();
            map.resize(room, 0);
            map
        };
        // The header has room for four pieces. Extension blocks with 21 each follow;
        // the entry's size does not count them, and a flag in each says whether another
        // follows.
        let (first, more) = pieces.split_at(pieces.len().min(4));
        let (mut body, count) = (Vec::new(), more.chunks(21).count());
        for (nth, pieces) in more.chunks(21).enumerate() {
            body.extend(
                [
                    map(pieces, 504),
                    vec![u8::from(nth + 1 < count), 0, 0, 0, 0, 0, 0, 0],
                ]
                .concat(),
            );
        }
        body.extend(pieces.iter().flat_map(|(_, data)| data.iter()));
        let data: usize = pieces.iter().map(|(_, data)| data.len()).sum();
        let mut entry = Entry::of_kind(b'S', name).body(body).claims(data as u64);
        // The sparse map and the real size are in the header from byte 386 on, which
        // `header` fills from here.
        entry.link = [
            map(first, 96),
            vec![u8::from(count > 0)],
            format!("{size:011o}\0").into(),
        ]
        .concat();
        entry
    }

    /// A sparse file in the PAX formats 0.0, 0.1 and 1.0.
    pub fn sparse_pax(
        version: &str,
        name: &str,
        pieces: &[(u64, &[u8])],
        size: u64,
    ) -> Self {
        let data: Vec<u8> =
            pieces.iter().flat_map(|(_, data)| data.iter().copied()).collect();
        let (count, size) = (pieces.len().to_string(), size.to_string());
        let entry = Entry::file(name, &data);
        match version {
            "0.0" => {
                let entry = entry
                    .pax("GNU.sparse.size", size)
                    .pax("GNU.sparse.numblocks", count);
                pieces.iter().fold(entry, |entry, (offset, data)| {
                    let length = data.len().to_string();
                    entry
                        .pax("GNU.sparse.offset", offset.to_string())
                        .pax("GNU.sparse.numbytes", length)
                })
            }
            "0.1" => {
                let numbers =
                    |(offset, data): &(u64, &[u8])| format!("{offset},{}", data.len());
                let map = pieces.iter().map(numbers).collect::<Vec<_>>().join(",");
                Entry { name: b"GNUSparseFile.0/x".into(), ..entry }
                    .pax("GNU.sparse.size", size)
                    .pax("GNU.sparse.numblocks", count)
                    .pax("GNU.sparse.name", name)
                    .pax("GNU.sparse.map", map)
            }
            _ => {
                let numbers = |(offset, data): &(u64, &[u8])| {
                    format!("{offset}\n{}\n", data.len())
                };
                let map = format!(
                    "{count}\n{}",
                    pieces.iter().map(numbers).collect::<String>()
                );
                let mut map = map.into_bytes();
                map.resize(map.len().next_multiple_of(512), 0);
                Entry { name: b"GNUSparseFile.0/x".into(), ..entry }
                    .body([map, data].concat())
                    .pax("GNU.sparse.major", "1")
                    .pax("GNU.sparse.minor", "0")
                    .pax("GNU.sparse.name", name)
                    .pax("GNU.sparse.realsize", size)
            }
        }
    }

    /// Returns the entry, preceded by its PAX header and its GNU long-name entries.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.before.clone();
        if !self.pax.is_empty() {
            let header = Entry {
                body: self.pax.clone(),
                ..Entry::of_kind(b'x', "PaxHeaders/x")
            };
            bytes.extend(header.bytes());
        }
        bytes.extend(self.header());
        bytes.extend(&self.body);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn header(&self) -> [u8; 512] {
        let mut header = [0; 512];
        write_field(&mut header, 0, 100, &self.name);
        write_field(&mut header, 100, 8, format!("{:07o}\0", self.mode).as_bytes());
        write_field(&mut header, 108, 8, &number(self.owner.0, 8));
        write_field(&mut header, 116, 8, &number(self.owner.1, 8));
        write_field(
            &mut header,
            124,
            12,
            &number(self.claim.unwrap_or(self.body.len() as u64), 12),
        );
        write_field(&mut header, 136, 12, &number(self.mtime as u64, 12));
        header[156] = self.kind;
        if self.kind == b'S' {
            write_field(&mut header, 257, 8, b"ustar  \0");
            write_field(&mut header, 386, 109, &self.link);
        } else {
            write_field(&mut header, 157, 100, &self.link);
            write_field(&mut header, 257, 8, b"ustar\x0000");
            write_field(
                &mut header,
                329,
                8,
                format!("{:07o}\0", self.device.0).as_bytes(),
            );
            write_field(
                &mut header,
                337,
                8,
                format!("{:07o}\0", self.device.1).as_bytes(),
            );
        }
        if let Some(edit) = self.edit {
            edit(&mut header);
        }
        // The checksum is computed with spaces in its own field.
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        let wrong = matches!(self.checksum, Checksum::Wrong);
        write_field(
            &mut header,
            148,
            8,
            format!("{:06o}\0 ", sum + u32::from(wrong)).as_bytes(),
        );
        header
    }
}

fn write_field(header: &mut [u8; 512], at: usize, room: usize, text: &[u8]) {
    let length = text.len().min(room);
    header[at..at + length].copy_from_slice(&text[..length]);
}

/// Octal digits. A number that is too large for them is written in GNU's base-256
/// encoding, marked by the first bit.
fn number(number: u64, room: usize) -> Vec<u8> {
    let octal = format!("{number:0width$o}\0", width = room - 1);
    if octal.len() <= room {
        return octal.into_bytes();
    }
    // A time before 1970 is negative: its first bits are set anyway.
    let fill = if (number as i64) < 0 { 0xff } else { 0 };
    let mut bytes = vec![fill; room];
    let start = room.saturating_sub(8);
    let digits = number.to_be_bytes();
    bytes[start..].copy_from_slice(&digits[8 - (room - start)..]);
    bytes[0] |= 0x80;
    bytes
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
pub fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// Compressed by gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compress")
}

/// Compressed by zstd.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("compress")
}

/// Mebibytes of zeros in gzip: one compressed member, repeated.
pub fn gzip_of_zeros(mebibytes: usize) -> Vec<u8> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let member = encoder
        .write_all(&vec![0; 1 << 20])
        .and_then(|()| encoder.finish())
        .expect("compress");
    member.repeat(mebibytes)
}

/// Mebibytes of zeros in zstd.
pub fn zstd_of_zeros(mebibytes: usize) -> Vec<u8> {
    zstd(&vec![0; 1 << 20]).repeat(mebibytes)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// The lines that GNU tar lists: type and permissions, owner, size, name.
    fn listed(archive: Vec<u8>) -> Vec<String> {
        let mut tar = Command::new("tar")
            .args(["--numeric-owner", "--quoting-style=escape", "-tvf", "-"])
            .envs([("TZ", "UTC"), ("LC_ALL", "C")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start tar");
        tar.stdin.take().unwrap().write_all(&archive).unwrap();
        let output = tar.wait_with_output().unwrap();
        assert!(output.status.success());
        let tidy = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        String::from_utf8(output.stdout).unwrap().lines().map(tidy).collect()
    }

    #[test]
    fn gnu_tar_lists_the_entries_as_they_were_made() {
        let long = "l".repeat(150);
        let archive = Archive::new()
            .with(Entry::dir("d").mode(0o2750).owner(5, 6))
            .with(Entry::file("d/x", "abc").mode(0o4755).mtime(86400))
            .with(Entry::symlink("d/s", "x"))
            .with(Entry::hard_link("d/h", "d/x"))
            .with(Entry::fifo("p"))
            .with(Entry::char_device("null", 1, 3))
            .with(Entry::file("large-ids", "").owner(4_000_000_000, 7))
            .with(Entry::file("", "x").gnu_long_name(&long))
            .with(Entry::file("x", "").pax("path", "caf\u{e9}"))
            .with(Entry::whiteout("d/x"));
        let expected = [
            "drwxr-s--- 5/6 0 1970-01-01 00:16 d".to_owned(),
            "-rwsr-xr-x 0/0 3 1970-01-02 00:00 d/x".into(),
            "lrwxrwxrwx 0/0 0 1970-01-01 00:16 d/s -> x".into(),
            "hrw-r--r-- 0/0 0 1970-01-01 00:16 d/h link to d/x".into(),
            "prw-r--r-- 0/0 0 1970-01-01 00:16 p".into(),
            "crw-r--r-- 0/0 1,3 1970-01-01 00:16 null".into(),
            "-rw-r--r-- 4000000000/7 0 1970-01-01 00:16 large-ids".into(),
            format!("-rw-r--r-- 0/0 1 1970-01-01 00:16 {long}"),
            "-rw-r--r-- 0/0 0 1970-01-01 00:16 caf\\303\\251".into(),
            "-rw-r--r-- 0/0 0 1970-01-01 00:16 d/.wh.x".into(),
        ];
        assert_eq!(listed(archive.end()), expected);
    }

    #[test]
    fn gnu_tar_sees_the_whole_size_of_sparse_files_of_every_format() {
        let pieces: [(u64, &[u8]); 2] = [(0, b"begin"), (1 << 20, b"end")];
        let mut archive =
            Archive::new().with(Entry::sparse_gnu("gnu", &pieces, 2 << 20));
        for version in ["0.0", "0.1", "1.0"] {
            archive = archive.with(Entry::sparse_pax(
                version,
                &format!("pax-{version}"),
                &pieces,
                2 << 20,
            ));
        }
        for line in listed(archive.end()) {
            assert!(line.contains(" 2097152 "), "{line}");
        }
    }

    #[test]
    fn the_length_of_a_pax_record_includes_its_own_digits() {
        assert_eq!(pax_record("path", b"x"), b"9 path=x\n");
        assert_eq!(pax_record("path", b"xy"), b"11 path=xy\n");
        let long = pax_record("k", &[b'v'; 93]);
        assert_eq!((long.len(), &long[..5]), (99, &b"99 k="[..]));
        let longer = pax_record("k", &[b'v'; 94]);
        assert_eq!((longer.len(), &longer[..6]), (101, &b"101 k="[..]));
    }

    #[test]
    fn a_claimed_size_and_a_wrong_checksum_are_in_the_header_only() {
        let bytes = Entry::file("x", "abc").claims(1 << 40).bytes();
        assert_eq!((bytes.len(), bytes[124]), (1024, 0x80));
        let (right, wrong) = (
            Entry::file("x", "").bytes(),
            Entry::file("x", "").with_wrong_checksum().bytes(),
        );
        assert_ne!(right[148..156], wrong[148..156]);
    }
}
