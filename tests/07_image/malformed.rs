//! Malformed archives, and archives that two programs would read differently.

use kiste_tests::archive::{Archive, Entry};

use crate::hostile::{assert_refused, canary};
use crate::minimal_layer::minimal_layer;
use crate::test_store::as_root_and_as_user;

/// TARmageddon (CVE-2025-62518) and tar 2026-33055: a program that believes the smaller
/// size reads the data of the file as more entries.
#[test]
fn the_size_in_a_pax_header_overrides_the_size_in_the_tar_header() {
    as_root_and_as_user(|store| {
        let hidden =
            Archive::new().with(Entry::file("data/smuggled", "x")).without_end();
        // GNU tar also reads the hidden entry as the content of the file.
        let outer = Entry::file("data/outer", &hidden)
            .claims(0)
            .pax("size", hidden.len().to_string());
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(outer)
            .with(Entry::file("data/last", "x"))
            .end();
        store.load_on_minimal_layer(&[archive]);
        let tree = store.tree_in_container("small:1", "/data");
        assert!(
            tree.has("outer") && tree.has("last") && !tree.has("smuggled"),
            "{tree:#?}"
        );
        assert_eq!(tree.at("outer").size, hidden.len() as u64);
    });
}

#[test]
fn a_malformed_pax_header_is_refused() {
    as_root_and_as_user(|store| {
        let texts: [&[u8]; 11] = [
            b"nonsense",
            b"11 path=x\n",
            b"0 path=x\n",
            b"-9 path=x\n",
            b"99999999999999999999999 path=x\n",
            b"10 path=x\n\n\n",
            b"8 path=x\n",
            b"4 \n",
            b"10 size=-1\n",
            b"30 size=99999999999999999999\n ",
            b"10 pathxyz\n",
        ];
        for text in texts {
            assert_refused(
                store,
                Archive::new().with(Entry::file("innocent", "x").pax_text(text)),
                "PaxHeaders/x",
            );
        }
        for (key, value) in [
            ("mtime", "soon"),
            ("mtime", "1.2.3"),
            ("uid", "-1"),
            ("gid", "4294967295"),
            ("uid", "root"),
        ] {
            assert_refused(
                store,
                Archive::new().with(Entry::file("innocent", "x").pax(key, value)),
                "innocent",
            );
        }
        assert_refused(
            store,
            Archive::new().with(Entry::file("innocent", "x").pax("path", "a\0b")),
            "a\0b",
        );
        assert_refused(
            store,
            Archive::new()
                .with(Entry::file("innocent", "x").pax_text("9 path=x\n9 size=y\n")),
            "x",
        );
    });
}

#[test]
fn a_claim_of_a_huge_size_is_refused_before_anything_is_read() {
    as_root_and_as_user(|store| {
        for size in [1 << 33, u64::MAX >> 1] {
            for kind in [b'L', b'K', b'x', b'g'] {
                let claim = Entry::of_kind(kind, "././@LongLink").claims(size);
                let archive =
                    Archive::new().with(claim).with(Entry::file("innocent", "x"));
                canary(store);
                let ran = store.try_import(archive.end());
                ran.exits(1).assert_stderr_contains("@LongLink");
                store.assert_empty("a huge header");
            }
            assert_refused(
                store,
                Archive::new().with(Entry::file("huge", "x").claims(size)),
                "huge",
            );
        }
        let name = "n".repeat(2 << 20);
        let archive =
            Archive::new().with(Entry::file("", "x").gnu_long_name(&name)).end();
        let ran = store.try_import(archive);
        ran.exits(1);
        assert!(ran.err.len() < 10_000, "stderr has {} bytes", ran.err.len());
        store.assert_empty("a long name");
    });
}

#[test]
fn a_name_of_more_than_255_bytes_is_refused() {
    as_root_and_as_user(|store| {
        let name = "n".repeat(256);
        let tar = Archive::new().with(Entry::file("x", "x").pax("path", &name)).end();
        store
            .try_import(tar)
            .exits(1)
            .assert_stderr_contains("nnnn")
            .assert_stderr_contains("File name too long");
        store.assert_empty("a long name");
    });
}

#[test]
fn malformed_sparse_maps_are_refused() {
    as_root_and_as_user(|store| {
        let data: &[u8] = &[1; 100];
        for (pieces, size) in [
            (&[(0, data), (50, data)][..], 1000),
            (&[(500, data), (0, data)], 1000),
            (&[(950, data)], 1000),
            (&[(u64::MAX >> 4, data)], 1000),
            (&[(0, data)], 1 << 63),
        ] {
            for version in ["0.0", "0.1", "1.0"] {
                assert_refused(
                    store,
                    Archive::new()
                        .with(Entry::sparse_pax(version, "liar", pieces, size)),
                    "liar",
                );
            }
            if size < 1 << 33 && pieces[0].0 < 1 << 33 {
                assert_refused(
                    store,
                    Archive::new().with(Entry::sparse_gnu("liar", pieces, size)),
                    "liar",
                );
            }
        }
        let map = Entry::file("x", "999999999999\n")
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0");
        let map = map.pax("GNU.sparse.name", "liar").pax("GNU.sparse.realsize", "1000");
        assert_refused(store, Archive::new().with(map), "liar");
    });
}

#[test]
fn a_truncated_archive_is_refused() {
    as_root_and_as_user(|store| {
        let whole = Archive::new()
            .with(Entry::dir("d"))
            .with(Entry::file("d/file", [7; 3000]))
            .without_end();
        for length in [512 + 512 + 1, 512 + 512 + 2000, whole.len() - 600] {
            let ran = store.try_import(&whole[..length]);
            ran.exits(1).assert_stderr_contains("d/file");
            store.assert_empty("half an archive");
        }
        for length in [1, 511, 700] {
            store.try_import(&whole[..length]).exits(1);
            store.assert_empty("half a header");
        }
        let packed = kiste_tests::archive::gzip(&minimal_layer());
        for bytes in
            [&packed[..packed.len() / 2], &packed[..packed.len() - 4], &packed[..5]]
        {
            store.try_import(bytes).exits(1);
            store.assert_empty("half a gzip file");
        }
        let packed = kiste_tests::archive::zstd(&minimal_layer());
        store.try_import(&packed[..packed.len() / 2]).exits(1);
        store.assert_empty("half a zstd file");
    });
}

#[test]
fn a_file_that_is_not_an_archive_is_refused() {
    as_root_and_as_user(|store| {
        for bytes in [
            &b""[..],
            b"hello",
            &[0xff; 5000],
            b"\x1f\x8b\x08\x00garbage",
            b"\x28\xb5\x2f\xfdgarbage",
            b"BZh91AY&SY",
            b"\xfd7zXZ\0",
        ] {
            for ran in [store.try_import(bytes), store.try_load(bytes)] {
                ran.exits(1).assert_stderr_contains("archive.tar");
                store.assert_empty("not an archive");
            }
        }
    });
}

#[test]
fn a_damaged_header_is_refused() {
    as_root_and_as_user(|store| {
        store
            .try_import(
                Archive::new()
                    .with(Entry::dir("d"))
                    .with(Entry::file("x", "x").with_wrong_checksum())
                    .end(),
            )
            .exits(1)
            .assert_stderr_contains("checksum is wrong");
        store.assert_empty("a wrong checksum");
        fn letters_as_mode(header: &mut [u8; 512]) {
            header[100..108].copy_from_slice(b"rwxrwx\0\0");
        }
        assert_refused(
            store,
            Archive::new().with(Entry::file("x", "x").edit(letters_as_mode)),
            "x",
        );
    });
}

/// Some programs would unpack the data, and others would not.
#[test]
fn data_after_the_end_of_an_archive_is_refused() {
    as_root_and_as_user(|store| {
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::file("data/x", ""))
            .end();
        for extra in [
            Archive::new().with(Entry::file("data/behind", "x")).end(),
            b"garbage".to_vec(),
        ] {
            store
                .try_import([&archive[..], &extra].concat())
                .exits(1)
                .assert_stderr_contains("after its end");
            store.assert_empty("data after the end");
        }
        // tar(1) pads archives with zeros.
        store.import([archive, vec![0; 10240]].concat(), "small:1");
    });
}

#[test]
fn an_entry_of_an_unknown_type_is_refused() {
    as_root_and_as_user(|store| {
        for kind in [b'Q', b'M', b'D', b'N', 200] {
            assert_refused(
                store,
                Archive::new().with(Entry::of_kind(kind, "odd")),
                "odd",
            );
        }
    });
}
