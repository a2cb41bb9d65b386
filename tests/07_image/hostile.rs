//! Archives that want something written outside, more than there is, or to be taken for
//! another. See security.md's rows, by CVE number.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use kiste_tests::Tree;
use kiste_tests::archive::{Archive, Entry, pax_record};
use kiste_tests::image::{Layout, Packed};

use crate::shop::{Shop, everywhere, root};
use crate::tiny::tiny;

/// A directory beside the store that must stay as it is.
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

/// All of the test's directory but the store: nothing of it may change.
fn outside(shop: &Shop) -> Tree {
    let ours = ["store", "hostile.tar", "rootfs"];
    let tree = Tree::of_what_is(shop.dir(), |path| {
        !ours.iter().any(|name| path.starts_with(name))
    });
    tree.only(|path| path != Path::new("."))
}

/// Imported as a root file system, and loaded as a layer of an image, it is refused
/// with the name of the entry that is to blame, and nothing has happened.
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
fn a_name_that_climbs_is_refused() {
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

/// CVE-2018-20990 and 2021-32760: the link is the archive's own, and what follows goes
/// through it.
#[test]
fn what_is_written_through_a_link_is_refused() {
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
fn a_file_that_takes_the_place_of_a_link_is_not_written_where_it_led() {
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

/// CVE-2021-38511 and tar 2026-33056: the mode, owner, times and attributes of a
/// directory that has become a link.
#[test]
fn a_mode_is_not_changed_through_a_link() {
    everywhere(|shop| {
        let canary = canary(shop);
        let before = outside(shop);
        let link = Entry::symlink("data/d", &canary)
            .mode(0o777)
            .owner(7, 7)
            .mtime_in_full("1.5");
        let archive = Archive::new()
            .with(Entry::dir("data"))
            // What is due for a directory when all is there must not be done to the
            // link's target.
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
        // The other way round it is a directory of its own.
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
fn a_hard_link_out_is_refused() {
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

/// Writing to a hard link writes to the file: one of a link must not lead further.
#[test]
fn a_hard_link_to_a_link_is_not_followed() {
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

/// TARmageddon (CVE-2025-62518) and tar 2026-33055: two sizes, and entries between
/// them.
#[test]
fn where_two_sizes_disagree_it_is_the_pax_headers() {
    everywhere(|shop| {
        let hidden = Archive::new().with(Entry::file("data/smuggled", "x")).cut();
        // GNU tar lists the file, and takes the hidden entry for its content.
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
fn a_pax_header_that_is_not_well_made_is_refused() {
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
fn a_component_that_is_too_long_is_refused() {
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
fn sparse_maps_that_lie_are_refused() {
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
fn an_archive_that_is_cut_off_is_refused() {
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
fn what_is_no_archive_is_refused() {
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
                shop.holds_nothing("what is no archive");
            }
        }
    });
}

#[test]
fn a_header_that_is_damaged_is_refused() {
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

/// One reader would see it, and another not.
#[test]
fn what_stands_behind_the_end_is_refused() {
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
            shop.holds_nothing("what stands behind the end");
        }
        // Zeros are what tar(1) fills it up with.
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
        // Where it is told, it is told as text.
        let name = [b"../", name].concat();
        let file =
            shop.file("hostile.tar", Archive::new().with(Entry::file(name, "x")).end());
        shop.call(&["import", file.to_str().unwrap(), "x"])
            .exits(1)
            .complains("\"../data/caf\u{fffd}\"");
    });
}

/// What the archive says goes to a terminal: its names must not write there.
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
fn an_entry_of_an_unknown_kind_is_refused() {
    everywhere(|shop| {
        for kind in [b'Q', b'M', b'D', b'N', 200] {
            refused(shop, Archive::new().with(Entry::of_kind(kind, "odd")), "odd");
        }
    });
}

/// A link that stands in the store's own place of work: whoever unpacks must not meet
/// it.
#[test]
fn the_root_of_an_archive_is_nothing_but_a_directory() {
    let Some(shop) = root() else { return };
    let canary = canary(&shop);
    for name in [".", "./", "./."] {
        refused(&shop, Archive::new().with(Entry::symlink(name, &canary)), name);
        refused(&shop, Archive::new().with(Entry::file(name, "x")), name);
        refused(&shop, Archive::new().with(Entry::fifo(name)), name);
    }
}

#[test]
fn a_record_of_a_global_header_counts_for_nothing_dangerous() {
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
        // git archive writes one with a comment, and that is fine.
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
