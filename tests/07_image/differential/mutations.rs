//! Archives that are changed at random, but the same way in every run.

use kiste_tests::archive::{Entry, pax_record};

const BLOCK: usize = 512;

/// Pseudo-random numbers: xorshift.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    pub fn choose<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// Returns entries of every kind, each with the headers before it.
pub fn pieces() -> Vec<Vec<u8>> {
    let long = "n".repeat(120);
    [
        Entry::dir("d").owner(1, 2),
        Entry::file("d/a", "alpha").owner(3, 4).mode(0o640),
        Entry::file("d/p", "pax").pax("path", "d/pax").pax("mtime", "1234.5"),
        Entry::symlink("d/l", "a"),
        Entry::hard_link("d/h", "d/a").owner(3, 4).mode(0o640),
        Entry::file("d/g", "gnu").gnu_long_name(format!("d/{long}")),
        Entry::symlink("d/k", "").gnu_long_link(format!("{long}/target")),
        Entry::file("d/u", "uid").owner(3_000_000, 5).pax("uid", "7"),
        Entry::fifo("d/f"),
        Entry::file("d/e", ""),
        Entry::sparse_gnu(
            "d/s",
            &[(4096, b"data"), (8192, b"end"), (10_000, b"")],
            10_000,
        ),
        Entry::sparse_pax("1.0", "d/t", &[(4096, b"data"), (10_000, b"")], 10_000),
        Entry::file("d/z", "last"),
    ]
    .iter()
    .map(Entry::bytes)
    .collect()
}

/// Changes an archive in one place or two. Returns it, and what was changed.
pub fn mutate(random: &mut Random) -> (Vec<u8>, String) {
    let mut pieces = pieces();
    let mut description = Vec::new();
    for _ in 0..=random.below(2) {
        let at = random.below(pieces.len());
        description.push(match random.below(10) {
            0..=3 => edit_field(random, &mut pieces[at]),
            4 | 5 => {
                let (entry, what) = entry_with_records(random);
                pieces.insert(at, entry);
                what
            }
            6 => {
                let to = random.below(pieces.len());
                pieces.insert(to, pieces[at].clone());
                format!("entry {at} again at {to}")
            }
            7 | 8 => {
                let (header, what) = extra_header(random);
                pieces.insert(at, header);
                what
            }
            _ => edit_end(random, &mut pieces),
        });
    }
    let archive = [pieces.concat(), vec![0; 2 * BLOCK]].concat();
    (archive, description.join(", "))
}

/// The fields of a header, and texts for them.
const FIELDS: [(&str, usize, usize); 10] = [
    ("name", 0, 100),
    ("mode", 100, 8),
    ("uid", 108, 8),
    ("gid", 116, 8),
    ("size", 124, 12),
    ("mtime", 136, 12),
    ("type", 156, 1),
    ("magic", 257, 8),
    ("prefix", 345, 155),
    ("major", 329, 8),
];
const NUMBERS: [&[u8]; 16] = [
    b"0000005\0",
    b"5",
    b"      5 ",
    b"+000005\0",
    b"-000005\0",
    b"0x00005\0",
    b"0000008\0",
    b"5 5\0",
    b"5\x005",
    b"\x005",
    b"",
    b"00000005",
    b"\x80\0\0\0\0\0\0\x05",
    b"\xff\xff\xff\xff\xff\xff\xff\xfe",
    b"\x80\0\0\0\0\0\0\0\0\0\0\x05",
    b"\x80\0\0\x01\0\0\0\0\0\0\0\x05",
];
const NAMES: [&[u8]; 13] = [
    b"d/other",
    b"./d/other",
    b"d//other",
    b"d/./other",
    b"/d/other",
    b"d/other/",
    b"d",
    b"d/a",
    b"",
    b"d/other\0rest",
    b"d/\\other",
    b"d/C:other",
    b"d/other\n",
];
const TYPES: &[u8] = b"\x000123567LKxgVMNDSXAI@z";
const MAGICS: [&[u8]; 6] =
    [b"ustar\x0000", b"ustar  \0", b"ustar\0\0\0", b"ustar   ", b"", b"USTAR\x0000"];

/// Changes a field of one of the headers of an entry.
fn edit_field(random: &mut Random, piece: &mut [u8]) -> String {
    let headers = headers_of(piece);
    if headers.is_empty() {
        return "nothing".into();
    }
    let start = random.choose(&headers);
    let (name, at, width) = random.choose(&FIELDS);
    let one_type = [random.choose(TYPES)];
    let text: &[u8] = match name {
        "name" | "prefix" => random.choose(&NAMES),
        "type" => &one_type,
        "magic" => random.choose(&MAGICS),
        _ => random.choose(&NUMBERS),
    };
    let header = &mut piece[start..start + BLOCK];
    let field = &mut header[at..at + width];
    field.fill(0);
    let length = text.len().min(width);
    field[..length].copy_from_slice(&text[..length]);
    write_checksum(header);
    format!("{name} {:?}", String::from_utf8_lossy(text))
}

/// Returns the places of the headers in an entry.
fn headers_of(piece: &[u8]) -> Vec<usize> {
    let mut places = vec![0];
    let mut at = 0;
    // An earlier change may have left a size that leads nowhere.
    while let Some(header) = piece.get(at..at + BLOCK)
        && matches!(header[156], b'x' | b'L' | b'K')
    {
        let size = String::from_utf8_lossy(&header[124..135]);
        let size = usize::from_str_radix(&size, 8).unwrap_or(0);
        at += BLOCK + size.next_multiple_of(BLOCK);
        places.push(at);
    }
    places.retain(|at| at + BLOCK <= piece.len());
    places
}

fn write_checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

const KEYS: [&str; 14] = [
    "path",
    "linkpath",
    "size",
    "uid",
    "gid",
    "mtime",
    "Path",
    "PATH",
    "hdrcharset",
    "GNU.sparse.name",
    "GNU.sparse.realsize",
    "GNU.sparse.major",
    "SCHILY.realsize",
    "uname",
];
const VALUES: [&str; 16] = [
    "",
    "d/record",
    "3",
    "0",
    "-1",
    "1.5",
    "+3",
    " 3",
    "3 ",
    "4096",
    "d/a",
    "d/record/",
    "1e3",
    "BINARY",
    "99999999999999999999",
    "d/record\0rest",
];

fn random_records(random: &mut Random) -> Vec<u8> {
    let mut records = Vec::new();
    for _ in 0..=random.below(2) {
        let (key, value) = (random.choose(&KEYS), random.choose(&VALUES));
        records.extend(pax_record(key, value.as_bytes()));
    }
    match random.below(12) {
        0 => records.truncate(records.len() - 1),
        1 => records.push(b'\n'),
        2 => records.push(0),
        3 => records.insert(0, b'0'),
        4 => records.insert(0, b' '),
        _ => {}
    }
    records
}

/// Makes a file with random records in an extended header.
fn entry_with_records(random: &mut Random) -> (Vec<u8>, String) {
    let records = random_records(random);
    let what = format!("records {:?}", String::from_utf8_lossy(&records));
    let entry = match random.below(4) {
        0 => Entry::symlink("d/new", "a"),
        1 => Entry::hard_link("d/new", "d/a"),
        2 => Entry::dir("d/new"),
        _ => Entry::file("d/new", "abc"),
    };
    (entry.pax_text(records).bytes(), what)
}

/// Makes a header of another type, with its data.
fn extra_header(random: &mut Random) -> (Vec<u8>, String) {
    let kind = random.choose(b"xgLKVNMXD7");
    let body = match kind {
        b'x' | b'g' | b'X' => random_records(random),
        b'L' | b'K' => [random.choose(&NAMES), &b"\0"[..]].concat(),
        _ => random.choose(&[&b""[..], b"data"]).to_vec(),
    };
    let what =
        format!("header {:?} {:?}", kind as char, String::from_utf8_lossy(&body));
    (Entry::of_kind(kind, "d/header").body(body).bytes(), what)
}

/// Changes the end of the archive, or leaves an entry out.
fn edit_end(random: &mut Random, pieces: &mut Vec<Vec<u8>>) -> String {
    let kind = random.below(4);
    match kind {
        0 => pieces.push(vec![0; BLOCK]),
        1 => {
            pieces.push([vec![0; BLOCK], Entry::file("d/after", "x").bytes()].concat())
        }
        2 => pieces.push(b"garbage".to_vec()),
        _ => {
            let at = random.below(pieces.len());
            pieces.remove(at);
        }
    }
    format!("end {kind}")
}
