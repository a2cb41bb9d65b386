//! The program needs little memory, whatever sizes an archive claims: these tests give
//! it 192 MiB of address space.

use kiste_tests::Ran;
use kiste_tests::archive::{Archive, Entry, gzip, gzip_of_zeros, zstd, zstd_of_zeros};
use kiste_tests::image::{Compression, Layout};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

const LIMIT: &str = "--as=201326592";

/// Calls `import` or `load` with 192 MiB of address space, and asserts that the program
/// ends without a panic.
#[track_caller]
fn call_with_192_mib(store: &TestStore, sub: &str, bytes: impl AsRef<[u8]>) -> Ran {
    let file = store.file("archive", bytes);
    let store_path = store.path();
    let arguments =
        [sub, "--store", store_path.to_str().unwrap(), file.to_str().unwrap()];
    let name = if sub == "import" { &["small:1"][..] } else { &[] };
    let ran =
        store.fixture().call_under(&["prlimit", LIMIT], [&arguments, name].concat());
    assert!([0, 1].contains(&ran.code), "the exit code is {}: {}", ran.code, ran.err);
    assert!(
        !ran.err.contains("panic") && !ran.err.contains("memory allocation"),
        "{}",
        ran.err
    );
    ran
}

#[test]
fn an_ordinary_image_needs_little_memory() {
    let Some(store) = root() else { return };
    for packed in Compression::ALL {
        let large = Archive::new().with(Entry::file("large", vec![7; 60 << 20])).end();
        call_with_192_mib(
            &store,
            "load",
            Layout::of("small:1", &[minimal_layer(), large], packed).tar(),
        )
        .exits(0);
        store.call(&["rmi", "small:1"]).exits(0);
    }
}

#[test]
fn an_archive_larger_than_the_memory_is_read_in_pieces() {
    let Some(store) = root() else { return };
    let header = Entry::of_kind(b'0', "zeros").claims(400 << 20).bytes();
    for bytes in [
        [gzip(&header), gzip_of_zeros(401)].concat(),
        [zstd(&header), zstd_of_zeros(401)].concat(),
    ] {
        call_with_192_mib(&store, "import", bytes).exits(0);
        store.call(&["rmi", "small:1"]).exits(0);
    }
}

#[test]
fn zeros_after_the_end_take_no_memory() {
    let Some(store) = root() else { return };
    for bytes in [
        [gzip(&minimal_layer()), gzip_of_zeros(1024)].concat(),
        [zstd(&minimal_layer()), zstd_of_zeros(1024)].concat(),
    ] {
        let ran = call_with_192_mib(&store, "import", bytes);
        if ran.code == 1 {
            ran.assert_stderr_contains("zeros");
            store.assert_empty("zeros after the end");
        }
    }
}

/// The first bytes of a zstd frame may ask for a window of gibibytes.
#[test]
fn a_zstd_window_of_gibibytes_is_refused() {
    let Some(store) = root() else { return };
    // The magic number, a frame header with a window descriptor for 2^31 bytes and no
    // content size, and a last raw block of 0 bytes.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    call_with_192_mib(&store, "import", frame).exits(1);
    store.assert_empty("a huge window");
}

#[test]
fn a_claimed_size_takes_no_memory() {
    let Some(store) = root() else { return };
    for kind in [b'L', b'K', b'x', b'g', b'0'] {
        let claim = Entry::of_kind(kind, "claim").claims(1 << 32);
        let bytes = Archive::new().with(claim).end();
        call_with_192_mib(
            &store,
            "import",
            [gzip(&bytes), gzip_of_zeros(300)].concat(),
        )
        .exits(1);
        store.assert_empty("a claim");
    }
    let map = Entry::file("x", "99999999999\n")
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0");
    let map = map.pax("GNU.sparse.name", "x").pax("GNU.sparse.realsize", "1");
    call_with_192_mib(&store, "import", Archive::new().with(map).end()).exits(1);
}

/// The program must free the memory of an entry before it reads the next one.
#[test]
fn many_entries_need_no_more_memory_than_one() {
    let Some(store) = root() else { return };
    let header = Entry::file("d/x", "").pax("SCHILY.xattr.user.a", "b").bytes();
    call_with_192_mib(
        &store,
        "import",
        gzip(&[header.repeat(3_000), vec![0; 1024]].concat()),
    )
    .exits(0);
    let global = Entry::of_kind(b'g', "g")
        .body(kiste_tests::archive::pax_record("comment", &[b'x'; 100_000]))
        .bytes();
    call_with_192_mib(
        &store,
        "import",
        gzip(&[global.repeat(2_000), minimal_layer()].concat()),
    );
}

#[test]
fn a_huge_document_is_not_read_into_memory() {
    let Some(store) = root() else { return };
    let layout = Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#).bytes();
    let header = Entry::of_kind(b'0', "index.json").claims(256 << 20).bytes();
    let bytes = [gzip(&layout), gzip(&header), gzip_of_zeros(257)].concat();
    call_with_192_mib(&store, "load", bytes)
        .exits(1)
        .assert_stderr_contains("index.json");
    store.assert_empty("a huge index");
}
