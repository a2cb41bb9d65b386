//! The fuzzer's first archives (tests/fuzz): one for each feature and attack. This
//! module makes the files, and a test compares them with those that the fuzzer has.

use std::fs;
use std::path::Path;

use kiste_tests::archive::{Archive, Entry};

/// The variable that names a directory to write the files to.
const WRITE_TO: &str = "KISTE_FUZZ_CORPUS";

fn archive_of(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    entries.into_iter().fold(Archive::new(), Archive::with).end()
}

fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let long = "n/".repeat(100) + "file";
    let pieces: &[(u64, &[u8])] = &[(0, b"begin"), (8192, b"end")];
    let many: Vec<(u64, &[u8])> =
        (0..26).map(|nth| (nth * 1000, &b"data"[..])).collect();
    let sparse =
        |version| archive_of([Entry::sparse_pax(version, "sparse", pieces, 10_000)]);
    let label = |name| Entry::of_kind(b'V', name);
    vec![
        ("empty", Archive::new().end()),
        ("nothing", Archive::new().without_end()),
        ("file", archive_of([Entry::file("file", "content")])),
        (
            "directory",
            archive_of([
                Entry::dir("./"),
                Entry::dir("dir/").mode(0o1777),
                Entry::file("dir/file", "x"),
            ]),
        ),
        (
            "links",
            archive_of([
                Entry::file("a", "x"),
                Entry::hard_link("b", "a"),
                Entry::symlink("c", "/etc/passwd"),
            ]),
        ),
        (
            "nodes",
            archive_of([
                Entry::fifo("f"),
                Entry::char_device("c", 1, 3),
                Entry::block_device("b", 8, 0),
            ]),
        ),
        ("owner", archive_of([Entry::file("file", "").owner(1000, 100).mode(0o6755)])),
        (
            "large-ids",
            archive_of([Entry::file("file", "").owner(3_000_000, 4_000_000_000)]),
        ),
        (
            "times",
            archive_of([
                Entry::file("file", "").mtime_in_full("-1.5"),
                Entry::file("b", "").mtime(-5),
            ]),
        ),
        (
            "attributes",
            archive_of([
                Entry::file("file", "").xattr("user.x", b"1\n2"),
                Entry::dir("d").xattr("security.capability", [1; 20]),
            ]),
        ),
        ("long-name-gnu", archive_of([Entry::file("short", "x").gnu_long_name(&long)])),
        (
            "long-link-gnu",
            archive_of([Entry::symlink("short", "x").gnu_long_link(&long)]),
        ),
        ("long-name-pax", archive_of([Entry::file("short", "x").pax("path", &long)])),
        ("sparse-gnu", archive_of([Entry::sparse_gnu("sparse", pieces, 10_000)])),
        (
            "sparse-gnu-many",
            archive_of([
                Entry::sparse_gnu("sparse", &many, 30_000),
                Entry::file("after", "x"),
            ]),
        ),
        ("sparse-0.0", sparse("0.0")),
        ("sparse-0.1", sparse("0.1")),
        ("sparse-1.0", sparse("1.0")),
        (
            "sparse-lies",
            archive_of([Entry::sparse_pax(
                "1.0",
                "sparse",
                &[(8192, b"x"), (0, b"y")],
                10_000,
            )]),
        ),
        (
            "sparse-beyond",
            archive_of([Entry::sparse_pax("1.0", "sparse", pieces, 8194)]),
        ),
        (
            "label",
            archive_of([
                label("backup").body("x".repeat(600)),
                Entry::file("file", "x"),
            ]),
        ),
        (
            "whiteouts",
            archive_of([
                Entry::whiteout("gone"),
                Entry::opaque("dir"),
                Entry::file("dir/.wh.x", ""),
            ]),
        ),
        ("absolute", archive_of([Entry::file("/etc/x", "x")])),
        ("climbs", archive_of([Entry::file("a/../../x", "x")])),
        (
            "through-a-link",
            archive_of([Entry::symlink("a", "/tmp"), Entry::file("a/x", "x")]),
        ),
        ("hard-link-out", archive_of([Entry::hard_link("a", "../../etc/passwd")])),
        (
            "two-sizes",
            archive_of([Entry::file("file", "x".repeat(600))
                .claims(0)
                .pax("size", "600")]),
        ),
        ("size-huge", archive_of([Entry::file("file", "x").claims(1 << 60)])),
        ("pax-huge", archive_of([Entry::of_kind(b'x', "pax").claims(1 << 40)])),
        (
            "pax-malformed",
            archive_of([Entry::file("file", "x").pax_text("99 size=1\n")]),
        ),
        ("pax-negative", archive_of([Entry::file("file", "x").pax("size", "-1")])),
        (
            "pax-global",
            archive_of([
                Entry::of_kind(b'g', "global").body("13 uid=65534\n"),
                Entry::file("file", "x"),
            ]),
        ),
        (
            "not-utf-8",
            archive_of([
                Entry::file(b"\xff\xfe", "x"),
                Entry::file("b", "").pax("path", b"\xc3\x28"),
            ]),
        ),
        ("unknown-kind", archive_of([Entry::of_kind(b'?', "x")])),
        ("wrong-sum", archive_of([Entry::file("file", "x").with_wrong_checksum()])),
        (
            "cut",
            Archive::new().with(Entry::file("file", "x".repeat(2000))).without_end()
                [..700]
                .into(),
        ),
        (
            "behind-the-end",
            [archive_of([Entry::file("a", "x")]), archive_of([Entry::file("b", "x")])]
                .concat(),
        ),
    ]
}

#[test]
fn the_fuzzers_corpus_is_up_to_date() {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/archive");
    let written = std::env::var_os(WRITE_TO);
    for (name, bytes) in corpus() {
        if let Some(directory) = &written {
            fs::write(Path::new(directory).join(name), &bytes).unwrap();
            continue;
        }
        let on_disk = fs::read(directory.join(name)).unwrap_or_default();
        assert!(
            on_disk == bytes,
            "{name} has changed: {WRITE_TO}={} writes it anew",
            directory.display()
        );
    }
}
