//! Archives of which two programs would make two different trees: what was scanned would
//! not be what runs. Each is refused.

use kiste_tests::archive::{Archive, Entry, pax_record};

use crate::hostile::refused;
use crate::test_store::root;

/// Makes an extended header by itself, without the entry that it is for.
fn pax(kind: u8, key: &str, value: &str) -> Entry {
    Entry::of_kind(kind, "header").body(pax_record(key, value.as_bytes()))
}

/// Makes an archive of these entries, and of a file.
fn before_a_file(entries: impl IntoIterator<Item = Entry>) -> Archive {
    entries
        .into_iter()
        .fold(Archive::new(), Archive::with)
        .with(Entry::file("file", "x"))
}

/// GNU tar and Go take the last one alone; others take both.
#[test]
fn two_extended_headers_in_a_row_are_refused() {
    let Some(store) = root() else { return };
    for (first, second) in [("path", "mtime"), ("mtime", "path"), ("path", "path")] {
        let headers = [pax(b'x', first, "1"), pax(b'x', second, "2")];
        refused(&store, before_a_file(headers), "header");
    }
    for kind in [b'L', b'K'] {
        let name = || Entry::of_kind(kind, "header").body("other\0");
        refused(&store, before_a_file([name(), name()]), "header");
    }
}

#[test]
fn a_long_name_of_both_formats_is_refused() {
    let Some(store) = root() else { return };
    let name = Entry::file("file", "").pax("path", "a").gnu_long_name("b");
    refused(&store, Archive::new().with(name), "b");
    let link = Entry::symlink("file", "").pax("linkpath", "a").gnu_long_link("b");
    refused(&store, Archive::new().with(link), "file");
}

/// Some programs let the global one win, because it comes later.
#[test]
fn a_global_header_behind_an_entrys_own_is_refused() {
    let Some(store) = root() else { return };
    for own in [pax(b'x', "path", "a"), Entry::of_kind(b'L', "name").body("a\0")] {
        let headers = [own, pax(b'g', "comment", "b")];
        refused(&store, before_a_file(headers), "header");
    }
}

/// Go's programs ignore global headers.
#[test]
fn a_global_header_that_makes_other_files_is_refused() {
    let Some(store) = root() else { return };
    for key in ["path", "linkpath", "size", "GNU.sparse.name", "SCHILY.xattr.user.x"] {
        refused(&store, before_a_file([pax(b'g', key, "1")]), "header");
    }
}

#[test]
fn an_extended_header_before_a_volumes_label_or_the_end_is_refused() {
    let Some(store) = root() else { return };
    let label = Entry::of_kind(b'V', "backup");
    let headers = [pax(b'x', "path", "a"), label];
    refused(&store, before_a_file(headers), "backup");
    let alone = Archive::new().with(Entry::dir("d")).with(pax(b'x', "path", "a"));
    store.try_import(alone.end()).exits(1).complains("without an entry");
    store.holds_nothing("a header alone");
}

/// Some programs see only the low 64 bits; some take a sign.
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
        refused(&store, Archive::new().with(file), "file");
    }
}
