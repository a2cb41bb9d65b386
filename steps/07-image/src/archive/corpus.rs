//! Reads the archives of the fuzzer's corpus, whole and damaged.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::io::Read;

use tar::Header;

use super::header::BLOCK;
use super::*;

/// Reads the fuzzer's first archives, by name: one for each feature and attack.
fn corpus() -> BTreeMap<String, Vec<u8>> {
    let directory =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/archive");
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    let read_file = |file: DirEntry| {
        (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
    };
    files.map(read_file).collect()
}

/// Describes what the reader sees in an archive: a line for each entry, and one for the
/// end or the error.
fn describe_archive(archive: &[u8]) -> String {
    let mut archive = ArchiveReader::new(archive);
    let mut text = String::new();
    loop {
        let read = archive.next().and_then(|entry| {
            let mut data = Vec::new();
            archive.data().read_to_end(&mut data)?;
            Ok(entry.map(|entry| (entry, data)))
        });
        let line = match read {
            Ok(Some((entry, data))) => describe_entry(&entry, &data),
            Ok(None) => return text + "  end\n",
            Err(error) => return text + &format!("  {error:#}\n"),
        };
        text += &line;
    }
}

fn describe_entry(entry: &Entry, data: &[u8]) -> String {
    let Entry {
        kind,
        path,
        uid,
        gid,
        mode,
        mtime: (seconds, nanoseconds),
        size,
        segments,
        attributes,
    } = entry;
    let kind = match kind {
        EntryKind::HardLink(to) => format!("HardLink to {}", shown(to)),
        EntryKind::SymbolicLink(to) => format!("SymbolicLink to {}", shown(to)),
        other => format!("{other:?}"),
    };
    let mut line = format!(
        "  {} {kind} {uid}:{gid} {mode:o} {seconds}+{nanoseconds} {size}",
        shown(path)
    );
    if size > &0 {
        line += &format!(", data {} {}", data.len(), shown(data));
    }
    for (name, value) in attributes {
        line += &format!(", {} {}", shown(name), shown(value));
    }
    if let Some((segments, whole)) = segments {
        let to_text =
            |segment: &Segment| format!("{}+{}", segment.offset, segment.length);
        line += &format!(
            ", of {whole}: {}",
            segments.iter().map(to_text).collect::<Vec<_>>().join(" ")
        );
    }
    line + "\n"
}

/// After an intended change, `INSTA_UPDATE=always` records the new text.
#[test]
fn the_archives_of_the_corpus_are_read_as_the_snapshot_says() {
    let text: String = corpus()
        .iter()
        .map(|(name, archive)| format!("{name}\n{}", describe_archive(archive)))
        .collect();
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/snapshots"),
        prepend_module_to_snapshot => false, omit_expression => true,
    }, { insta::assert_snapshot!("07-image-archives", text) });
}

/// Only archives below this size are damaged: each is read 200 times.
const LARGEST_TO_DAMAGE: usize = 64 * 1024;

#[test]
fn a_damaged_archive_never_makes_the_reader_panic() {
    let corpus = corpus();
    assert!(corpus.len() > 20, "{} archives", corpus.len());
    // xorshift: the same damage on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut errors = 0;
    for archive in corpus
        .values()
        .filter(|archive| (1..LARGEST_TO_DAMAGE).contains(&archive.len()))
    {
        for _ in 0..200 {
            let mut damaged = archive.clone();
            for _ in 0..=random(4) {
                let at = random(damaged.len());
                damaged[at] = [0, b'0', b'7', b'9', b' ', b'\n', 0x80, 0xff][random(8)];
            }
            // With a right checksum the damage reaches the code after the check.
            if let Some(header) = damaged.first_chunk_mut::<BLOCK>() {
                let mut fixed = Header::from_byte_slice(header).clone();
                fixed.set_cksum();
                *header = *fixed.as_bytes();
            }
            damaged.truncate(damaged.len() - random(2) * random(damaged.len()));
            errors += u32::from(read(damaged.as_slice()).is_err());
        }
    }
    assert!(errors > 100, "only {errors} were seen");
}
