//! Ambiguous archives, which two programs would unpack to two different trees: a
//! scanner might see other files than those that run. Each is refused.

use kiste_tests::archive::{Archive, Entry, pax_record};

use crate::hostile::assert_refused;
use crate::test_store::root;

/// Makes an extended header without the entry that it describes.
fn pax_header(kind: u8, key: &str, value: &str) -> Entry {
    Entry::of_kind(kind, "header").body(pax_record(key, value.as_bytes()))
}

/// Makes an archive of these entries and a file after them.
fn archive_with_a_file_after(entries: impl IntoIterator<Item = Entry>) -> Archive {
    entries
        .into_iter()
        .fold(Archive::new(), Archive::with)
        .with(Entry::file("file", "x"))
}

/// GNU tar and Go use only the second header; other programs use both.
#[test]
fn two_extended_headers_in_a_row_are_refused() {
    let Some(store) = root() else { return };
    for (first, second) in [("path", "mtime"), ("mtime", "path"), ("path", "path")] {
        let headers = [pax_header(b'x', first, "1"), pax_header(b'x', second, "2")];
        assert_refused(&store, archive_with_a_file_after(headers), "header");
    }
    for kind in [b'L', b'K'] {
        let name = || Entry::of_kind(kind, "header").body("other\0");
        assert_refused(&store, archive_with_a_file_after([name(), name()]), "header");
    }
}

#[test]
fn an_entry_with_a_long_name_in_both_formats_is_refused() {
    let Some(store) = root() else { return };
    let name = Entry::file("file", "").pax("path", "a").gnu_long_name("b");
    assert_refused(&store, Archive::new().with(name), "b");
    let link = Entry::symlink("file", "").pax("linkpath", "a").gnu_long_link("b");
    assert_refused(&store, Archive::new().with(link), "file");
}

/// In some programs the global header overrides the entry's own, because it comes
/// later.
#[test]
fn a_global_header_after_an_entrys_own_header_is_refused() {
    let Some(store) = root() else { return };
    for own in [pax_header(b'x', "path", "a"), Entry::of_kind(b'L', "name").body("a\0")]
    {
        let headers = [own, pax_header(b'g', "comment", "b")];
        assert_refused(&store, archive_with_a_file_after(headers), "header");
    }
}

/// Go's programs ignore global headers.
#[test]
fn a_global_header_that_changes_files_is_refused() {
    let Some(store) = root() else { return };
    let files = ["path", "linkpath", "size", "GNU.sparse.name", "SCHILY.xattr.user.x"];
    for key in files.into_iter().chain(["uid", "gid", "mtime"]) {
        assert_refused(
            &store,
            archive_with_a_file_after([pax_header(b'g', key, "1")]),
            "header",
        );
    }
}

#[test]
fn an_extended_header_before_a_volumes_label_or_the_end_is_refused() {
    let Some(store) = root() else { return };
    let label = Entry::of_kind(b'V', "backup");
    let headers = [pax_header(b'x', "path", "a"), label];
    assert_refused(&store, archive_with_a_file_after(headers), "backup");
    let alone =
        Archive::new().with(Entry::dir("d")).with(pax_header(b'x', "path", "a"));
    store.try_import(alone.end()).exits(1).assert_stderr_contains("without an entry");
    store.assert_empty("a header alone");
}

/// Some programs read only the low 64 bits of a size; some accept a sign.
#[test]
fn a_size_that_is_no_plain_number_is_refused() {
    let Some(store) = root() else { return };
    let edits: [fn(&mut [u8; 512]); 4] = [
        |header| header[124..136].copy_from_slice(b"\x80\0\0\x01\0\0\0\0\0\0\0\x01"),
        |header| {
            header[124..136].copy_from_slice(b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x01")
        },
        |header| header[124..136].copy_from_slice(b"+0000000001\0"),
        |header| header[124..136].copy_from_slice(b"-0000000001\0"),
    ];
    for edit in edits {
        let file = Entry::file("file", "x").edit(edit);
        assert_refused(&store, Archive::new().with(file), "file");
    }
}

/// libarchive reads the data of a hard link once there was an extended header, and the
/// segments of a sparse file whatever the type is; GNU tar reads a long name up to its
/// NUL.
#[test]
fn an_entry_whose_data_or_name_ends_at_two_places_is_refused() {
    let Some(store) = root() else { return };
    let pax = Entry::file("a", "x").pax("comment", "x");
    let link = Entry::hard_link("link", "a").body("data");
    assert_refused(&store, Archive::new().with(pax).with(link), "link");
    let realsize = Entry::hard_link("link", "a").pax("SCHILY.realsize", "3");
    let file = Entry::file("a", "x");
    assert_refused(&store, Archive::new().with(file).with(realsize), "link");
    let sparse = Entry::sparse_gnu("sparse", &[(4096, b"data")], 8192);
    let plain = sparse.edit(|header| header[156] = b'0');
    assert_refused(&store, Archive::new().with(plain), "sparse");
    let slash = Entry::sparse_gnu("sparse/", &[(4096, b"data")], 8192);
    assert_refused(&store, Archive::new().with(slash), "sparse/");
    let long = Entry::of_kind(b'L', "name").body("a name").claims(5);
    assert_refused(&store, archive_with_a_file_after([long]), "name");
}
