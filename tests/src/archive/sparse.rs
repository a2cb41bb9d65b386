//! Sparse files, in the formats of GNU tar.

use super::Entry;

/// Pads all pieces but the last one with zeros to whole blocks, as programs write them.
fn whole_blocks(pieces: &[(u64, &[u8])]) -> Vec<(u64, Vec<u8>)> {
    let last = pieces.iter().rposition(|(_, data)| !data.is_empty()).unwrap_or(0);
    let pad = |(nth, (offset, data)): (usize, &(u64, &[u8]))| {
        let mut data = data.to_vec();
        if nth < last {
            data.resize(data.len().next_multiple_of(512), 0);
        }
        (*offset, data)
    };
    pieces.iter().enumerate().map(pad).collect()
}

impl Entry {
    /// Creates a sparse file in the old GNU format: pieces of data at their offsets,
    /// and holes between.
    pub fn sparse_gnu(name: &str, pieces: &[(u64, &[u8])], size: u64) -> Self {
        let pieces = &whole_blocks(pieces);
        let numbers = |(offset, data): &(u64, Vec<u8>)| {
            format!("{offset:011o}\0{:011o}\0", data.len())
        };
        let map = |pieces: &[(u64, Vec<u8>)], width| {
            let mut map = pieces.iter().map(numbers).collect::<String>().into_bytes();
            map.resize(width, 0);
            map
        };
        // The header has room for four pieces. Extension blocks with room for 21 pieces
        // each follow. The entry's size does not count these blocks. A flag in each
        // block says whether another block follows.
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

    /// Creates a sparse file in the PAX formats 0.0, 0.1 and 1.0.
    pub fn sparse_pax(
        version: &str,
        name: &str,
        pieces: &[(u64, &[u8])],
        size: u64,
    ) -> Self {
        let pieces = &whole_blocks(pieces);
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
                let numbers = |(offset, data): &(u64, Vec<u8>)| {
                    format!("{offset},{}", data.len())
                };
                let map = pieces.iter().map(numbers).collect::<Vec<_>>().join(",");
                Entry { name: b"GNUSparseFile.0/x".into(), ..entry }
                    .pax("GNU.sparse.size", size)
                    .pax("GNU.sparse.numblocks", count)
                    .pax("GNU.sparse.name", name)
                    .pax("GNU.sparse.map", map)
            }
            _ => {
                let numbers = |(offset, data): &(u64, Vec<u8>)| {
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
}
