//! Hostile archives: they try to write outside of the layer, to fill the disk, or to be
//! read differently by another program.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use kiste_tests::Tree;
use kiste_tests::archive::{Archive, Entry, pax_record};
use kiste_tests::image::{Layout, Packed};

use crate::shop::{Shop, everywhere, root};
use crate::tiny::tiny;

/// Makes a directory beside the store, which must not change.
fn canary(shop: &Shop) -> String {
    let path = shop.dir().join("outside");
    if !path.exists() {
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "of the host").unwrap();
        fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o600))
            .unwrap();
        symlink("file", path.join("link")).unwrap();
        for name in [path.clone(), path.join("file"), path.join("link")] {
            shop.give(&name);
        }
    }
    path.to_str().unwrap().to_owned()
}

/// The files of the test's directory outside of the store, which must not change.
fn outside(shop: &Shop) -> Tree {
    let ours = ["store", "hostile.tar", "rootfs"];
    let tree = Tree::of_what_is(shop.dir(), |path| {
        !ours.iter().any(|name| path.starts_with(name))
    });
    tree.only(|path| path != Path::new("."))
}

/// Imports an archive as a root file system, and loads it as a layer of an image. Both
/// must fail with the name of the entry, and change nothing.
#[track_caller]
fn refused(shop: &Shop, archive: Archive, entry: &str) {
    canary(shop);
    let before = outside(shop);
    let (below, tar) = (Archive::new().with(Entry::dir("below")).end(), archive.end());
    let layout = Layout::of("small:1", &[below, tar.clone()], Packed::Gzip);
    for (sub, bytes) in [("import", tar), ("load", layout.tar())] {
        let file = shop.file("hostile.tar", bytes);
        let arguments = [
            &[sub, file.to_str().unwrap()][..],
            if sub == "import" { &["small:1"] } else { &[] },
        ]
        .concat();
        let ran = shop.call(&arguments);
        assert_eq!(ran.code, 1, "{sub}: {entry:?}: {ran:?}");
        let told = format!("entry {entry:?}");
        assert!(
            ran.err.contains(&told),
            "{sub}: stderr should have {told} in it, and is:\n{}",
            ran.err
        );
        assert!(
            !ran.err.contains("panic")
                && ran.err.lines().count() <= 3
                && ran.err.len() < 1000,
            "{}",
            ran.err
        );
        assert_eq!(ran.out, "", "{sub}");
        outside(shop).is(&before);
        shop.holds_nothing(&format!("{sub} of {entry:?}"));
    }
}

#[test]
fn an_absolute_name_is_refused() {
    everywhere(|shop| {
        let canary = canary(shop);
        let made = format!("{canary}/made");
        refused(shop, Archive::new().with(Entry::file(&made, "x")), &made);
        refused(shop, Archive::new().with(Entry::dir(&made)), &made);
        let double = format!("/{made}");
        refused(
            shop,
            Archive::new().with(Entry::file("x", "x").pax("path", &double)),
            &double,
        );
    });
}

#[test]
fn a_name_with_dot_dot_is_refused() {
    everywhere(|shop| {
        let canary = canary(shop);
        let up = format!("{}{canary}/made", "../".repeat(20).trim_end_matches('/'));
        for name in [
            "../x",
            "../../x",
            "../../../outside/made",
            "a/../../x",
            "./../x",
            "a/..",
            "..",
            &up,
            "a/../../../outside/file",
        ] {
            refused(
                shop,
                Archive::new().with(Entry::dir("a")).with(Entry::file(name, "x")),
                name,
            );
        }
        refused(shop, Archive::new().with(Entry::dir("../made")), "../made");
        refused(shop, Archive::new().with(Entry::symlink("../made", "x")), "../made");
        refused(
            shop,
            Archive::new().with(Entry::file("", "").gnu_long_name("../made")),
            "../made",
        );
        refused(
            shop,
            Archive::new().with(Entry::whiteout("../outside/file")),
            "../outside/.wh.file",
        );
        refused(shop, Archive::new().with(Entry::file("a/.wh...", "x")), "a/.wh...");
    });
}

/// CVE-2018-20990 and 2021-32760: the archive brings the link, and then an entry below
/// it.
#[test]
fn an_entry_below_a_symbolic_link_is_refused() {
    everywhere(|shop| {
        let canary = canary(shop);
        let archive = |to| {
            Archive::new()
                .with(Entry::dir("elsewhere"))
                .with(Entry::symlink("link", to))
        };
        for to in ["../../../outside", "../../../../outside", "/", "elsewhere", "."] {
            refused(shop, archive(to).with(Entry::file("link/made", "x")), "link/made");
        }
        let archive = || archive(canary.as_str());
        refused(shop, archive().with(Entry::file("link/made", "x")), "link/made");
        refused(shop, archive().with(Entry::dir("link/made")), "link/made");
        refused(shop, archive().with(Entry::symlink("link/made", "x")), "link/made");
        refused(shop, archive().with(Entry::fifo("link/made")), "link/made");
        refused(
            shop,
            archive().with(Entry::file("link/deep/made", "x")),
            "link/deep/made",
        );
        refused(shop, archive().with(Entry::whiteout("link/file")), "link/.wh.file");
        refused(shop, archive().with(Entry::opaque("link")), "link/.wh..wh..opq");
        let chained = archive()
            .with(Entry::symlink("second", "link"))
            .with(Entry::file("second/made", "x"));
        refused(shop, chained, "second/made");
        let hard = archive()
            .with(Entry::hard_link("same", "link"))
            .with(Entry::file("same/made", "x"));
        refused(shop, hard, "same/made");
    });
}

#[test]
fn a_file_that_replaces_a_symbolic_link_is_not_written_to_its_target() {
    everywhere(|shop| {
        let canary = canary(shop);
        let before = outside(shop);
        for to in [
            format!("{canary}/file"),
            "../../../outside/file".into(),
            format!("{canary}/new"),
        ] {
            let archive = Archive::new()
                .with(Entry::dir("data"))
                .with(Entry::symlink("data/link", &to))
                .with(
                    Entry::file("data/link", "written")
                        .mode(0o666)
                        .owner(3, 3)
                        .xattr("user.x", "y"),
                );
            shop.load_on_tiny(&[archive.end()]);
            outside(shop).is(&before);
            let tree = shop.seen("small:1", "/data");
            assert_eq!((tree.at("link").kind, tree.at("link").mode), ("file", 0o666));
            shop.call(&["rmi", "small:1"]).exits(0);
        }
    });
}

/// CVE-2021-38511 and tar 2026-33056: a symbolic link replaces a directory, whose mode,
/// owner, times and attributes are applied later.
#[test]
fn metadata_is_not_applied_through_a_symbolic_link() {
    everywhere(|shop| {
        let canary = canary(shop);
        let before = outside(shop);
        let link = Entry::symlink("data/d", &canary)
            .mode(0o777)
            .owner(7, 7)
            .mtime_in_full("1.5");
        let archive = Archive::new()
            .with(Entry::dir("data"))
            // A program that applies the metadata of directories at the end must not
            // apply it to the link's target.
            .with(
                Entry::dir("data/d")
                    .mode(0o777)
                    .owner(9, 9)
                    .mtime_in_full("5.5")
                    .xattr("user.x", "y"),
            )
            .with(link);
        let file = shop.file(
            "hostile.tar",
            Layout::of("small:1", &[tiny(), archive.end()], Packed::Gzip).tar(),
        );
        let ran = shop.call(&["load", file.to_str().unwrap()]);
        outside(shop).is(&before);
        if ran.code == 0 {
            let tree = shop.seen("small:1", "/data");
            let node = tree.at("d");
            assert_eq!(
                (node.kind, node.owner, node.mtime),
                ("link", (7, 7), (1, 500_000_000))
            );
        } else {
            ran.exits(1).complains("data/d");
            shop.holds_nothing("a directory that becomes a link");
        }
        // The other way round, a directory replaces the link.
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::symlink("data/d", &canary))
            .with(Entry::dir("data/d").mode(0o777).owner(9, 9));
        shop.load_on_tiny(&[archive.end()]);
        outside(shop).is(&before);
        let tree = shop.seen("small:1", "/data");
        assert_eq!(
            (tree.at("d").kind, tree.at("d").mode, tree.at("d").owner),
            ("dir", 0o777, (9, 9))
        );
    });
}

#[test]
fn a_hard_link_to_a_file_outside_is_refused() {
    everywhere(|shop| {
        let canary = canary(shop);
        let absolute = format!("{canary}/file");
        for to in [
            absolute.as_str(),
            "../../../outside/file",
            "../x",
            "a/../../../../outside/file",
            "nowhere",
            "",
            "/etc/passwd-of-the-host",
        ] {
            let archive =
                Archive::new().with(Entry::dir("a")).with(Entry::hard_link("mine", to));
            refused(shop, archive, "mine");
        }
        for to in [canary.as_str(), "../../../outside"] {
            let archive = Archive::new()
                .with(Entry::symlink("link", to))
                .with(Entry::hard_link("mine", "link/file"));
            refused(shop, archive, "mine");
        }
        refused(
            shop,
            Archive::new().with(Entry::dir("d")).with(Entry::hard_link("mine", "d")),
            "mine",
        );
        refused(shop, Archive::new().with(Entry::hard_link("mine", "mine")), "mine");
    });
}

/// To write to a hard link is to write to the file; the link's target must not change.
#[test]
fn a_hard_link_to_a_symbolic_link_is_not_followed() {
    everywhere(|shop| {
        let canary = canary(shop);
        let before = outside(shop);
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::symlink("data/a", format!("{canary}/file")))
            .with(Entry::hard_link("data/b", "data/a").mode(0o4777).owner(0, 0))
            .with(Entry::file("data/b", "written"));
        shop.load_on_tiny(&[archive.end()]);
        outside(shop).is(&before);
        assert_eq!(shop.seen("small:1", "/data").at("b").kind, "file");
    });
}

/// TARmageddon (CVE-2025-62518) and tar 2026-33055: with the smaller size, the data is
/// read as more entries.
#[test]
fn where_two_sizes_disagree_that_of_the_pax_header_counts() {
    everywhere(|shop| {
        let hidden = Archive::new().with(Entry::file("data/smuggled", "x")).cut();
        // GNU tar reads the hidden entry as the file's content as well.
        let outer = Entry::file("data/outer", &hidden)
            .claims(0)
            .pax("size", hidden.len().to_string());
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(outer)
            .with(Entry::file("data/last", "x"))
            .end();
        shop.load_on_tiny(&[archive]);
        let tree = shop.seen("small:1", "/data");
        assert!(
            tree.has("outer") && tree.has("last") && !tree.has("smuggled"),
            "{tree:#?}"
        );
        assert_eq!(tree.at("outer").size, hidden.len() as u64);
    });
}

#[test]
fn a_malformed_pax_header_is_refused() {
    everywhere(|shop| {
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
            refused(
                shop,
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
            refused(
                shop,
                Archive::new().with(Entry::file("innocent", "x").pax(key, value)),
                "innocent",
            );
        }
        refused(
            shop,
            Archive::new().with(Entry::file("innocent", "x").pax("path", "a\0b")),
            "a\0b",
        );
        refused(
            shop,
            Archive::new()
                .with(Entry::file("innocent", "x").pax_text("9 path=x\n9 size=y\n")),
            "x",
        );
    });
}

#[test]
fn a_claim_of_a_huge_size_is_refused_before_anything_is_read() {
    everywhere(|shop| {
        for size in [1 << 33, u64::MAX >> 1] {
            for kind in [b'L', b'K', b'x', b'g'] {
                let claim = Entry::of_kind(kind, "././@LongLink").claims(size);
                let archive =
                    Archive::new().with(claim).with(Entry::file("innocent", "x"));
                canary(shop);
                let file = shop.file("hostile.tar", archive.end());
                let ran = shop.call(&["import", file.to_str().unwrap(), "small:1"]);
                ran.exits(1).complains("@LongLink");
                shop.holds_nothing("a huge header");
            }
            refused(
                shop,
                Archive::new().with(Entry::file("huge", "x").claims(size)),
                "huge",
            );
        }
        let name = "n".repeat(2 << 20);
        let archive =
            Archive::new().with(Entry::file("", "x").gnu_long_name(&name)).end();
        let file = shop.file("hostile.tar", archive);
        let ran = shop.call(&["import", file.to_str().unwrap(), "small:1"]);
        ran.exits(1);
        assert!(ran.err.len() < 10_000, "{} bytes of it", ran.err.len());
        shop.holds_nothing("a long name");
    });
}

#[test]
fn a_name_of_more_than_255_bytes_is_refused() {
    everywhere(|shop| {
        let name = "n".repeat(256);
        let tar = Archive::new().with(Entry::file("x", "x").pax("path", &name)).end();
        let file = shop.file("hostile.tar", tar);
        shop.call(&["import", file.to_str().unwrap(), "small:1"])
            .exits(1)
            .complains("nnnn")
            .complains("File name too long");
        shop.holds_nothing("a long name");
    });
}

#[test]
fn malformed_sparse_maps_are_refused() {
    everywhere(|shop| {
        let data: &[u8] = &[1; 100];
        for (pieces, size) in [
            (&[(0, data), (50, data)][..], 1000),
            (&[(500, data), (0, data)], 1000),
            (&[(950, data)], 1000),
            (&[(u64::MAX >> 4, data)], 1000),
            (&[(0, data)], 1 << 63),
        ] {
            for version in ["0.0", "0.1", "1.0"] {
                refused(
                    shop,
                    Archive::new()
                        .with(Entry::sparse_pax(version, "liar", pieces, size)),
                    "liar",
                );
            }
            if size < 1 << 33 && pieces[0].0 < 1 << 33 {
                refused(
                    shop,
                    Archive::new().with(Entry::sparse_gnu("liar", pieces, size)),
                    "liar",
                );
            }
        }
        let many = Entry::file("x", "999999999999\n")
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0");
        let many =
            many.pax("GNU.sparse.name", "liar").pax("GNU.sparse.realsize", "1000");
        refused(shop, Archive::new().with(many), "liar");
    });
}

#[test]
fn a_truncated_archive_is_refused() {
    everywhere(|shop| {
        let whole = Archive::new()
            .with(Entry::dir("d"))
            .with(Entry::file("d/file", [7; 3000]))
            .cut();
        for length in [512 + 512 + 1, 512 + 512 + 2000, whole.len() - 600] {
            let file = shop.file("hostile.tar", &whole[..length]);
            let ran = shop.call(&["import", file.to_str().unwrap(), "small:1"]);
            ran.exits(1).complains("d/file");
            shop.holds_nothing("half an archive");
        }
        for length in [1, 511, 700] {
            let file = shop.file("hostile.tar", &whole[..length]);
            shop.call(&["import", file.to_str().unwrap(), "small:1"]).exits(1);
            shop.holds_nothing("half a header");
        }
        let packed = kiste_tests::archive::gzip(&tiny());
        for bytes in
            [&packed[..packed.len() / 2], &packed[..packed.len() - 4], &packed[..5]]
        {
            let file = shop.file("hostile.tar", bytes);
            shop.call(&["import", file.to_str().unwrap(), "small:1"]).exits(1);
            shop.holds_nothing("half a gzip file");
        }
        let packed = kiste_tests::archive::zstd(&tiny());
        let file = shop.file("hostile.tar", &packed[..packed.len() / 2]);
        shop.call(&["import", file.to_str().unwrap(), "small:1"]).exits(1);
        shop.holds_nothing("half a zstd file");
    });
}

#[test]
fn a_file_that_is_not_an_archive_is_refused() {
    everywhere(|shop| {
        for bytes in [
            &b""[..],
            b"hello",
            &[0xff; 5000],
            b"\x1f\x8b\x08\x00garbage",
            b"\x28\xb5\x2f\xfdgarbage",
            b"BZh91AY&SY",
            b"\xfd7zXZ\0",
        ] {
            for sub in [&["import"][..], &["load"]] {
                let file = shop.file("hostile.tar", bytes);
                let name = if sub == ["import"] { &["small:1"][..] } else { &[] };
                let ran = shop.call(&[sub, &[file.to_str().unwrap()], name].concat());
                ran.exits(1).complains("hostile.tar");
                shop.holds_nothing("not an archive");
            }
        }
    });
}

#[test]
fn a_damaged_header_is_refused() {
    everywhere(|shop| {
        let file = shop.file(
            "hostile.tar",
            Archive::new()
                .with(Entry::dir("d"))
                .with(Entry::file("x", "x").with_wrong_checksum())
                .end(),
        );
        shop.call(&["import", file.to_str().unwrap(), "small:1"])
            .exits(1)
            .complains("checksum is wrong");
        shop.holds_nothing("a wrong checksum");
        fn letters(header: &mut [u8; 512]) {
            header[100..108].copy_from_slice(b"rwxrwx\0\0");
        }
        refused(shop, Archive::new().with(Entry::file("x", "x").edit(letters)), "x");
    });
}

/// Some readers would see the data, and others would not.
#[test]
fn data_after_the_end_is_refused() {
    everywhere(|shop| {
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::file("data/x", ""))
            .end();
        for behind in [
            Archive::new().with(Entry::file("data/behind", "x")).end(),
            b"garbage".to_vec(),
        ] {
            let file = shop.file("hostile.tar", [&archive[..], &behind].concat());
            shop.call(&["import", file.to_str().unwrap(), "small:1"])
                .exits(1)
                .complains("after its end");
            shop.holds_nothing("data after the end");
        }
        // tar(1) pads archives with zeros.
        shop.import([archive, vec![0; 10240]].concat(), "small:1");
    });
}

#[test]
fn a_name_that_is_not_utf_8_is_never_turned_into_another() {
    everywhere(|shop| {
        let name: &[u8] = b"data/caf\xe9";
        let archive =
            Archive::new().with(Entry::dir("data")).with(Entry::file(name, "x"));
        let layout = Layout::of("small:1", &[tiny(), archive.end()], Packed::Gzip);
        let file = shop.file("hostile.tar", layout.tar());
        shop.call(&["load", file.to_str().unwrap()]).exits(0);
        let tree = shop.seen("small:1", "/data");
        assert!(
            tree.has(kiste_tests::tree::path(&name[5..])) && tree.0.len() == 2,
            "{tree:#?}"
        );
        // Errors show the name as text.
        let name = [b"../", name].concat();
        let file =
            shop.file("hostile.tar", Archive::new().with(Entry::file(name, "x")).end());
        shop.call(&["import", file.to_str().unwrap(), "x"])
            .exits(1)
            .complains("\"../data/caf\u{fffd}\"");
    });
}

/// Errors with names from the archive go to a terminal: escape sequences must not.
#[test]
fn a_name_cannot_write_to_the_terminal() {
    everywhere(|shop| {
        let name = "../\u{1b}[2J\u{7}";
        let file =
            shop.file("hostile.tar", Archive::new().with(Entry::file(name, "x")).end());
        let ran = shop.call(&["import", file.to_str().unwrap(), "small:1"]);
        ran.exits(1);
        assert!(
            !ran.err.contains('\u{1b}') && !ran.err.contains('\u{7}'),
            "{:?}",
            ran.err
        );
        assert!(ran.err.contains("u{1b}") || ran.err.contains("x1b"), "{:?}", ran.err);
    });
}

#[test]
fn an_entry_of_an_unknown_type_is_refused() {
    everywhere(|shop| {
        for kind in [b'Q', b'M', b'D', b'N', 200] {
            refused(shop, Archive::new().with(Entry::of_kind(kind, "odd")), "odd");
        }
    });
}

/// Otherwise the layer's directory in the store would become a link.
#[test]
fn the_top_of_an_archive_must_be_a_directory() {
    let Some(shop) = root() else { return };
    let canary = canary(&shop);
    for name in [".", "./", "./."] {
        refused(&shop, Archive::new().with(Entry::symlink(name, &canary)), name);
        refused(&shop, Archive::new().with(Entry::file(name, "x")), name);
        refused(&shop, Archive::new().with(Entry::fifo(name)), name);
    }
}

#[test]
fn a_global_header_cannot_lead_outside() {
    everywhere(|shop| {
        let before = outside(shop);
        let record = pax_record("path", b"../outside/made");
        let global = Entry::of_kind(b'g', "pax_global_header").body(record);
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(global)
            .with(Entry::file("data/x", "x"));
        let file = shop.file(
            "hostile.tar",
            Layout::of("small:1", &[tiny(), archive.end()], Packed::Gzip).tar(),
        );
        let ran = shop.call(&["load", file.to_str().unwrap()]);
        assert!([0, 1].contains(&ran.code), "{ran:?}");
        let _ = fs::remove_file(&file);
        outside(shop).is(&before);
        // git archive writes a global header with a comment.
        let global = Entry::of_kind(b'g', "pax_global_header")
            .body(pax_record("comment", b"abc"));
        let archive = Archive::new()
            .with(global)
            .with(Entry::dir("data"))
            .with(Entry::file("data/x", "x"));
        shop.load_on_tiny(&[archive.end()]);
        assert!(shop.seen("small:1", "/data").has("x"));
    });
}
