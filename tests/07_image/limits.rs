//! The program's limits: memory and time grow with what is read, and not with what an
//! archive claims. Every test gives the program 192 MiB of address space and a few
//! seconds of a processor, and the error names the limit.

use kiste_tests::archive::{Archive, Entry, gzip, gzip_of_zeros, pax_record, zstd};
use kiste_tests::image::{Compression, Layout};
use kiste_tests::{Ran, host};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

/// Seconds of a processor. The program is built without optimizations.
const SECONDS: u32 = 6;

/// Calls a subcommand on a file, with little memory and time.
#[track_caller]
fn call(store: &TestStore, sub: &str, bytes: impl AsRef<[u8]>) -> Ran {
    let file = store.file(&format!("archive-{}", host::unique()), bytes);
    let store_path = store.path();
    let arguments =
        [sub, "--store", store_path.to_str().unwrap(), file.to_str().unwrap()];
    let name = if sub == "import" { &["small:1"][..] } else { &[] };
    let cpu = format!("--cpu={SECONDS}");
    let limits = ["prlimit", "--as=201326592", &cpu];
    let ran = store.fixture().call_under(&limits, [&arguments, name].concat());
    std::fs::remove_file(file).unwrap();
    ran
}

/// Asserts that a subcommand refuses a file, with an error that names these words, and
/// leaves nothing.
#[track_caller]
fn assert_refused(store: &TestStore, sub: &str, bytes: impl AsRef<[u8]>, words: &str) {
    let ran = call(store, sub, bytes);
    ran.exits(1).assert_stderr_contains(words);
    assert!(!ran.err.contains("panic"), "{}", ran.err);
    store.assert_empty(words);
}

#[test]
fn a_name_longer_than_the_kernel_takes_is_refused() {
    let Some(store) = root() else { return };
    let name = |length: usize| "n".repeat(200) + &"/n".repeat((length - 200) / 2);
    let limit = "a name of 5000 bytes: the most is 4096";
    for entry in [
        Entry::file("x", "").gnu_long_name(name(5000)),
        Entry::file("x", "").pax("path", name(5000)),
        Entry::symlink("x", "").gnu_long_link(name(5000)),
        Entry::symlink("x", "").pax("linkpath", name(5000)),
    ] {
        let bytes = Archive::new().with(entry).end();
        assert_refused(&store, "import", &bytes, limit);
        assert_refused(&store, "load", &bytes, limit);
    }
    let long = Entry::file("x", "x").pax("path", name(3000));
    call(&store, "import", Archive::new().with(long).end()).exits(0);
}

/// A list of ten thousand names of a megabyte would have 10 GB.
#[test]
fn the_names_of_an_archive_of_images_take_little_memory() {
    let Some(store) = root() else { return };
    let mut bytes = Vec::new();
    for number in 0..5000 {
        let name = format!("{number}{}", "/n".repeat(2000));
        bytes.extend(Entry::file("x", "").gnu_long_name(name).bytes());
    }
    assert_refused(&store, "load", gzip(&bytes), "the most is 10000, and 16777216");
    let many = Entry::file("x", "").bytes().repeat(10_001);
    assert_refused(&store, "load", gzip(&many), "10001 files");
}

/// Makes an archive whose entries, of 4 KB each, imply hundreds of directories. Their
/// names have 1.5 MB together.
fn deep_entries(count: usize) -> Vec<u8> {
    let above = format!("{}/", "n".repeat(250)).repeat(12);
    let below = "/d".repeat(440);
    let entry =
        |number| Entry::file("x", "").pax("path", format!("{above}{number}{below}"));
    (0..count).map(entry).fold(Archive::new(), Archive::with).end()
}

#[test]
fn directories_that_an_archive_does_not_list_take_little_memory_and_time() {
    let Some(store) = root() else { return };
    let words = "does not list";
    assert_refused(&store, "import", gzip(&deep_entries(40)), words);
    let deepest = Entry::file("x", "").pax("path", "d/".repeat(2040) + "file");
    call(&store, "import", Archive::new().with(deepest).end()).exits(0);
    store.call(&["rmi", "small:1"]).exits(0);

    // All layers share the limit: an image may list one of them 500 times.
    let layers = vec![deep_entries(8); 4];
    let layout = Layout::of("small:1", &layers, Compression::Gzip).tar();
    assert_refused(&store, "load", layout, words);
    let layers = [vec![minimal_layer()], vec![deep_entries(0); 4]].concat();
    let layout = Layout::of("small:1", &layers, Compression::Gzip).tar();
    call(&store, "load", layout).exits(0);
    store.run("small:1", &[], &["true"]).exits(0);
}

#[test]
fn data_that_becomes_no_file_is_limited() {
    let Some(store) = root() else { return };
    let words = "that become no file: the most is 64.0 MiB";
    let skipped = [
        Entry::of_kind(b'0', ".wh.x").claims(100 << 20),
        Entry::of_kind(b'V', "label").claims(100 << 20),
        Entry::of_kind(b'0', ".wh..wh.aufs").claims(100 << 20),
    ];
    for entry in skipped {
        let header = entry.bytes();
        assert_refused(
            &store,
            "import",
            [gzip(&header), gzip_of_zeros(101)].concat(),
            words,
        );
        // An archive of images is not read, but the bytes must be there.
        call(&store, "load", [gzip(&header), gzip_of_zeros(101)].concat()).exits(1);
    }
    let comment = pax_record("comment", &vec![b'x'; 1_000_000]);
    let entry = Entry::file("x", "").pax_text(&comment).bytes();
    assert_refused(&store, "import", zstd(&entry.repeat(80)), words);
    let global = Entry::of_kind(b'g', "g").body(pax_record("comment", &[b'x'; 60_000]));
    assert_refused(&store, "import", zstd(&global.bytes().repeat(1_500)), words);
}

/// The data of a whiteout is skipped; here it would be 16 GiB, of half a megabyte.
#[test]
fn a_frame_of_zstd_that_is_32768_times_as_large_unpacked_takes_no_time() {
    let Some(store) = root() else { return };
    let header = Entry::of_kind(b'0', ".wh.x").claims(16 << 30).bytes();
    // A frame without a content size, with a window of 128 KiB, of blocks with a
    // repeated byte and 128 KiB each: RFC 8878, "Blocks".
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let block = (128u32 << 10) << 3 | 1 << 1;
    for number in 0..128 << 10 {
        let last = u32::from(number == (128 << 10) - 1);
        frame.extend_from_slice(&(block | last).to_le_bytes()[..3]);
        frame.push(0);
    }
    assert!(frame.len() < 600 << 10);
    let bytes = [zstd(&header), frame].concat();
    assert_refused(&store, "import", bytes, "become no file");
}

#[test]
fn a_list_of_a_million_segments_takes_little_time() {
    let Some(store) = root() else { return };
    let map = |count: usize| {
        let mut body = format!("{count}\n").into_bytes();
        body.extend(b"0\n0\n".repeat(count));
        body.resize(body.len().next_multiple_of(512), 0);
        let entry = Entry::file("x", &body)
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0")
            .pax("GNU.sparse.name", "x")
            .pax("GNU.sparse.realsize", "1");
        zstd(&Archive::new().with(entry).end())
    };
    let bytes = map(1 << 20);
    assert!(bytes.len() < 2000, "{}", bytes.len());
    call(&store, "import", bytes).exits(0);
    store.call(&["rmi", "small:1"]).exits(0);
    let hole = Entry::sparse_pax("1.0", "x", &[(1 << 33, b"")], 1 << 33).bytes();
    call(&store, "import", [&hole[..], &[0; 1024]].concat()).exits(0);
    store.call(&["rmi", "small:1"]).exits(0);
    let holes = Entry::sparse_pax("1.0", "x", &[(1 << 41, b"")], 1 << 41);
    let bytes = Archive::new().with(holes).end();
    assert_refused(&store, "import", bytes, "bytes: the most is 1 TiB");
    let words = "a sparse file of 1048577 segments: the most is 1048576";
    assert_refused(&store, "import", map((1 << 20) + 1), words);
}

#[test]
fn the_values_of_a_document_take_little_memory() {
    let Some(store) = root() else { return };
    let document = format!("[{}1]", r#"{"":0},"#.repeat(500_000));
    let words = "more than 100000 values";
    let bytes = Archive::new().with(Entry::file("manifest.json", document)).end();
    assert_refused(&store, "load", bytes, words);
}

/// Links of one name to two files in turn: each is compared with the one before.
#[test]
fn links_of_the_same_name_take_little_time() {
    let Some(store) = root() else { return };
    let content = vec![b'x'; 4 << 20];
    let mut archive = Archive::new()
        .with(Entry::file("a", &content))
        .with(Entry::file("b", &content))
        .with(Entry::file("manifest.json", "[]"));
    for _ in 0..4000 {
        archive = archive.with(Entry::symlink("c", "a")).with(Entry::symlink("c", "b"));
    }
    assert_refused(&store, "load", archive.end(), "\"c\": it is in the archive twice");
}

/// Directories below a depth are moved up before they are removed, each to a new name.
#[test]
fn a_deep_tree_is_removed_in_time_that_grows_with_its_directories_alone() {
    let Some(store) = root() else { return };
    let deep = "d/".repeat(205);
    let mut bytes = Vec::new();
    for number in 0..2000 {
        let name = format!("{deep}{number}/e");
        bytes.extend(Entry::dir("x").pax("path", name).bytes());
    }
    bytes.extend([0; 1024]);
    let file = store.file("deep.tar", bytes);
    store.call(&["import", file.to_str().unwrap(), "small:1"]).exits(0);
    let store_path = store.path();
    let arguments = ["rmi", "--store", store_path.to_str().unwrap(), "small:1"];
    store.fixture().call_under(&["prlimit", "--cpu=3"], arguments).exits(0);
    store.assert_empty("a deep tree");
}
