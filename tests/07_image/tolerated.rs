//! Archives of programs that do not keep to the format. Kiste accepts them if all
//! programs unpack them to the same files.

use kiste_tests::Tree;
use kiste_tests::archive::{Archive, Entry};

use crate::hostile::assert_refused;
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Loads an archive as a layer, and returns the files in /data.
#[track_caller]
fn load_data(store: &TestStore, archive: Vec<u8>) -> Tree {
    store.load_on_minimal_layer(&[archive]);
    let tree = store.tree_in_container("small:1", "/data");
    store.call(&["rmi", "small:1"]).exits(0);
    tree
}

/// Sets the prefix field of a header, so that the file `x` becomes `data/x`.
fn set_prefix_data(header: &mut [u8; 512]) {
    header[257..263].copy_from_slice(b"ustar\0");
    header[345..349].copy_from_slice(b"data");
}

/// Go 1.1 wrote another version. A program that then ignores the prefix unpacks the
/// file at the top of the tree.
#[test]
fn the_prefix_is_used_whatever_the_version_of_ustar() {
    as_root_and_as_user(|store| {
        let versions: [fn(&mut [u8; 512]); 4] = [
            |header| header[263..265].copy_from_slice(b"00"),
            |header| header[263..265].copy_from_slice(b" \0"),
            |header| header[263..265].copy_from_slice(b"\0\0"),
            |header| header[263..265].copy_from_slice(b"  "),
        ];
        for version in versions {
            let file = Entry::file("x", "x").edit(set_prefix_data).edit(version);
            let tree = load_data(store, Archive::new().with(file).end());
            assert!(tree.has("x"), "{tree:#?}");
        }
    });
}

/// star(1) writes times where ustar has the end of the prefix.
#[test]
fn the_times_that_star_writes_are_no_part_of_the_prefix() {
    let Some(store) = root() else { return };
    let file = Entry::file("x", "x").edit(set_prefix_data).edit(|header| {
        header[349..476].fill(b'/');
        header[476..488].copy_from_slice(b"01234567012\0");
        header[508..512].copy_from_slice(b"tar\0");
    });
    let tree = load_data(&store, Archive::new().with(file).end());
    assert!(tree.has("x") && tree.0.len() == 2, "{tree:#?}");
}

#[test]
fn a_checksum_of_signed_bytes_is_right_too() {
    let Some(store) = root() else { return };
    let file = Entry::file("data/\u{e9}", "x").with_signed_checksum();
    let tree = load_data(&store, Archive::new().with(file).end());
    assert!(tree.has("\u{e9}"), "{tree:#?}");
}

/// Old versions of umoci end an archive right after the data of the last file.
#[test]
fn an_archive_may_end_without_padding() {
    as_root_and_as_user(|store| {
        for length in [5, 512, 1000] {
            let file = Entry::file("data/x", vec![b'x'; length]);
            let mut archive = Archive::new().with(file).without_end();
            archive.truncate(512 + length);
            let tree = load_data(store, archive);
            assert_eq!(tree.at("x").size, length as u64);
        }
    });
}

#[test]
fn the_size_of_a_directory_or_link_is_ignored() {
    as_root_and_as_user(|store| {
        let archive = Archive::new()
            .with(Entry::dir("data").claims(4096))
            .with(Entry::file("data/a", "x"))
            .with(Entry::hard_link("data/b", "data/a").claims(1))
            .with(Entry::symlink("data/c", "a").claims(1))
            .with(Entry::fifo("data/d").claims(7))
            .with(Entry::dir("data/e").claims(4096).mtime_in_full("5.5"))
            .with(Entry::file("data/last", "x"));
        let tree = load_data(store, archive.end());
        assert!(["a", "b", "c", "d", "e", "last"].iter().all(|it| tree.has(it)));
    });
}

/// After such a link, libarchive reads data where other programs read a header.
#[test]
fn an_ambiguous_size_is_refused() {
    let Some(store) = root() else { return };
    let hidden = Archive::new().with(Entry::file("smuggled", "x")).without_end();
    let link = Entry::hard_link("link", "file").body(&hidden);
    for odd in [
        link.clone().mtime_in_full("1.5"),
        link.pax("size", hidden.len().to_string()),
        Entry::dir("link").pax("size", "4096"),
    ] {
        let archive = Archive::new().with(Entry::file("file", "x")).with(odd);
        assert_refused(&store, archive, "link");
    }
}

/// Programs use the low 32 bits of an owner's id. On macOS, the user nobody has the id
/// -2.
#[test]
fn a_negative_owner_is_the_number_in_its_low_32_bits() {
    let Some(store) = root() else { return };
    let ids = (u64::from(u32::MAX) - 1, u64::from(u32::MAX) - 2);
    let negative: fn(&mut [u8; 512]) = |header| {
        header[108..124].fill(0xff);
        header[115] = 0xfe; // -2
        header[123] = 0xfd; // -3
    };
    let archive = Archive::new()
        .with(Entry::file("data/header", "").edit(negative))
        .with(Entry::file("data/pax", "").pax("uid", "-2").pax("gid", "-3"));
    let tree = load_data(&store, archive.end());
    for name in ["header", "pax"] {
        let (uid, gid) = tree.at(name).owner;
        assert_eq!((u64::from(uid), u64::from(gid)), ids, "{name}");
    }
    // The id -1 tells chown(2) not to change the owner.
    let minus_one = |header: &mut [u8; 512]| header[108..116].fill(0xff);
    assert_refused(
        &store,
        Archive::new().with(Entry::file("x", "").edit(minus_one)),
        "x",
    );
}
