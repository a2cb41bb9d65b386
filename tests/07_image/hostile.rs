//! Hostile archives, which try to write outside of their layer.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use kiste_tests::archive::{Archive, Entry, pax_record};
use kiste_tests::image::{Compression, Layout};
use kiste_tests::{Ran, Tree};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Makes a directory beside the store, which must not change.
pub fn canary(store: &TestStore) -> String {
    let path = store.dir().join("outside");
    if !path.exists() {
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "of the host").unwrap();
        fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o600))
            .unwrap();
        symlink("file", path.join("link")).unwrap();
        for name in [path.clone(), path.join("file"), path.join("link")] {
            store.chown_to_owner(&name);
        }
    }
    path.to_str().unwrap().to_owned()
}

/// Returns the files of the test's directory outside of the store. They must not
/// change.
pub fn files_outside(store: &TestStore) -> Tree {
    let ours = ["store", "rootfs"];
    let tree = Tree::filtered(store.dir(), |path| {
        !ours.iter().any(|name| path.starts_with(name))
    });
    tree.only(|path| path != Path::new("."))
}

/// Imports an archive as a root file system, and loads it as a layer of an image. Both
/// must fail with the name of the entry, and change nothing.
#[track_caller]
pub fn assert_refused(store: &TestStore, archive: Archive, entry: &str) {
    canary(store);
    let before = files_outside(store);
    let (below, tar) = (Archive::new().with(Entry::dir("below")).end(), archive.end());
    let layout = Layout::of("small:1", &[below, tar.clone()], Compression::Gzip);
    let calls: [(&str, &dyn Fn() -> Ran); 2] = [
        ("import", &|| store.try_import(&tar)),
        ("load", &|| store.try_load(layout.tar())),
    ];
    for (sub, call) in calls {
        let ran = call();
        assert_eq!(ran.code, 1, "{sub}: {entry:?}: {ran:?}");
        let named_entry = format!("entry {entry:?}");
        assert!(
            ran.err.contains(&named_entry),
            "{sub}: stderr should have {named_entry} in it, and is:\n{}",
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
        files_outside(store).assert_equal(&before);
        store.assert_empty(&format!("{sub} of {entry:?}"));
    }
}

/// kaniko and ko write such names. All programs unpack them below the directory of the
/// layer.
#[test]
fn an_absolute_name_is_unpacked_below_the_directory_of_the_layer() {
    as_root_and_as_user(|store| {
        assert_refused(store, Archive::new().with(Entry::file("/../x", "x")), "/../x");
        let canary = canary(store);
        let before = files_outside(store);
        let made = format!("{canary}/made");
        let archive = Archive::new()
            .with(Entry::dir("/"))
            .with(Entry::file(&made, "x"))
            .with(Entry::file("x", "x").pax("path", format!("/{canary}/file")))
            .with(Entry::hard_link("/data/link", &made));
        let image =
            Layout::of("small:1", &[minimal_layer(), archive.end()], Compression::Gzip);
        let ran = store.try_load(image.tar());
        ran.exits(0)
            .assert_stderr_contains("note: 4 names begin with /; they are taken below");
        files_outside(store).assert_equal(&before);
        let tree = store.tree_in_container("small:1", &canary);
        assert!(tree.has("made") && tree.has("file") && tree.0.len() == 3, "{tree:#?}");
        store.run("small:1", &[], &["cat", "/data/link"]).assert_stdout("x");
    });
}

#[test]
fn a_name_with_dot_dot_is_refused() {
    as_root_and_as_user(|store| {
        let canary = canary(store);
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
            assert_refused(
                store,
                Archive::new().with(Entry::dir("a")).with(Entry::file(name, "x")),
                name,
            );
        }
        assert_refused(store, Archive::new().with(Entry::dir("../made")), "../made");
        assert_refused(
            store,
            Archive::new().with(Entry::symlink("../made", "x")),
            "../made",
        );
        assert_refused(
            store,
            Archive::new().with(Entry::file("", "").gnu_long_name("../made")),
            "../made",
        );
        assert_refused(
            store,
            Archive::new().with(Entry::whiteout("../outside/file")),
            "../outside/.wh.file",
        );
        assert_refused(
            store,
            Archive::new().with(Entry::file("a/.wh...", "x")),
            "a/.wh...",
        );
    });
}

/// CVE-2018-20990 and 2021-32760: the archive has a link, and then an entry below the
/// link.
#[test]
fn an_entry_below_a_symbolic_link_is_refused() {
    as_root_and_as_user(|store| {
        let canary = canary(store);
        let archive = |to| {
            Archive::new()
                .with(Entry::dir("elsewhere"))
                .with(Entry::symlink("link", to))
        };
        for to in ["../../../outside", "../../../../outside", "/", "elsewhere", "."] {
            assert_refused(
                store,
                archive(to).with(Entry::file("link/made", "x")),
                "link/made",
            );
        }
        let archive = || archive(canary.as_str());
        assert_refused(
            store,
            archive().with(Entry::file("link/made", "x")),
            "link/made",
        );
        assert_refused(store, archive().with(Entry::dir("link/made")), "link/made");
        assert_refused(
            store,
            archive().with(Entry::symlink("link/made", "x")),
            "link/made",
        );
        assert_refused(store, archive().with(Entry::fifo("link/made")), "link/made");
        assert_refused(
            store,
            archive().with(Entry::file("link/deep/made", "x")),
            "link/deep/made",
        );
        let chained = archive()
            .with(Entry::symlink("second", "link"))
            .with(Entry::file("second/made", "x"));
        assert_refused(store, chained, "second/made");
        let hard = archive()
            .with(Entry::hard_link("same", "link"))
            .with(Entry::file("same/made", "x"));
        assert_refused(store, hard, "same/made");
    });
}

/// Old versions of umoci write such whiteouts. They hide nothing, since the link itself
/// is new in this layer.
#[test]
fn a_whiteout_below_a_symbolic_link_removes_nothing() {
    as_root_and_as_user(|store| {
        let canary = canary(store);
        let before = files_outside(store);
        for mark in [Entry::whiteout("link/file"), Entry::opaque("link")] {
            let link = Entry::symlink("link", &canary);
            store.load_on_minimal_layer(&[Archive::new().with(link).with(mark).end()]);
            files_outside(store).assert_equal(&before);
            store.call(&["rmi", "small:1"]).exits(0);
        }
    });
}

#[test]
fn a_file_that_replaces_a_symbolic_link_is_not_written_to_its_target() {
    as_root_and_as_user(|store| {
        let canary = canary(store);
        let before = files_outside(store);
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
            store.load_on_minimal_layer(&[archive.end()]);
            files_outside(store).assert_equal(&before);
            let tree = store.tree_in_container("small:1", "/data");
            assert_eq!((tree.at("link").kind, tree.at("link").mode), ("file", 0o666));
            store.call(&["rmi", "small:1"]).exits(0);
        }
    });
}

/// CVE-2021-38511 and tar 2026-33056: a symbolic link replaces a directory. The
/// directory's mode, owner, times and attributes are applied later.
#[test]
fn metadata_is_not_applied_through_a_symbolic_link() {
    as_root_and_as_user(|store| {
        let canary = canary(store);
        let before = files_outside(store);
        let link = Entry::symlink("data/d", &canary)
            .mode(0o777)
            .owner(7, 7)
            .mtime_in_full("1.5");
        let archive = Archive::new()
            .with(Entry::dir("data"))
            // A program that applies the metadata of directories last must not apply it
            // to the target of the link.
            .with(
                Entry::dir("data/d")
                    .mode(0o777)
                    .owner(9, 9)
                    .mtime_in_full("5.5")
                    .xattr("user.x", "y"),
            )
            .with(link);
        let ran = store.try_load(
            Layout::of("small:1", &[minimal_layer(), archive.end()], Compression::Gzip)
                .tar(),
        );
        files_outside(store).assert_equal(&before);
        if ran.code == 0 {
            let tree = store.tree_in_container("small:1", "/data");
            let node = tree.at("d");
            assert_eq!(
                (node.kind, node.owner, node.mtime),
                ("link", (7, 7), (1, 500_000_000))
            );
        } else {
            ran.exits(1).assert_stderr_contains("data/d");
            store.assert_empty("a directory that becomes a link");
        }
        // Here a directory replaces the link.
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::symlink("data/d", &canary))
            .with(Entry::dir("data/d").mode(0o777).owner(9, 9));
        store.load_on_minimal_layer(&[archive.end()]);
        files_outside(store).assert_equal(&before);
        let tree = store.tree_in_container("small:1", "/data");
        assert_eq!(
            (tree.at("d").kind, tree.at("d").mode, tree.at("d").owner),
            ("dir", 0o777, (9, 9))
        );
    });
}

#[test]
fn a_hard_link_to_a_file_outside_of_the_layer_is_refused() {
    as_root_and_as_user(|store| {
        let canary = canary(store);
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
            assert_refused(store, archive, "mine");
        }
        for to in [canary.as_str(), "../../../outside"] {
            let archive = Archive::new()
                .with(Entry::symlink("link", to))
                .with(Entry::hard_link("mine", "link/file"));
            assert_refused(store, archive, "mine");
        }
        assert_refused(
            store,
            Archive::new().with(Entry::dir("d")).with(Entry::hard_link("mine", "d")),
            "mine",
        );
        assert_refused(
            store,
            Archive::new().with(Entry::hard_link("mine", "mine")),
            "mine",
        );
    });
}

/// An entry that replaces a hard link must not write to the target of the symbolic
/// link.
#[test]
fn a_hard_link_to_a_symbolic_link_is_not_followed() {
    as_root_and_as_user(|store| {
        let canary = canary(store);
        let before = files_outside(store);
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::symlink("data/a", format!("{canary}/file")))
            .with(Entry::hard_link("data/b", "data/a").mode(0o4777).owner(0, 0))
            .with(Entry::file("data/b", "written"));
        store.load_on_minimal_layer(&[archive.end()]);
        files_outside(store).assert_equal(&before);
        assert_eq!(store.tree_in_container("small:1", "/data").at("b").kind, "file");
    });
}

#[test]
fn a_name_that_is_not_utf_8_keeps_its_bytes() {
    as_root_and_as_user(|store| {
        let name: &[u8] = b"data/caf\xe9";
        let archive =
            Archive::new().with(Entry::dir("data")).with(Entry::file(name, "x"));
        let layout =
            Layout::of("small:1", &[minimal_layer(), archive.end()], Compression::Gzip);
        store.try_load(layout.tar()).exits(0);
        let tree = store.tree_in_container("small:1", "/data");
        assert!(
            tree.has(kiste_tests::tree::path(&name[5..])) && tree.0.len() == 2,
            "{tree:#?}"
        );
        // Error messages replace the bytes that are not UTF-8.
        let name = [b"../", name].concat();
        store
            .try_import(Archive::new().with(Entry::file(name, "x")).end())
            .exits(1)
            .assert_stderr_contains("\"../data/caf\u{fffd}\"");
    });
}

/// Error messages contain names from the archive.
#[test]
fn escape_sequences_in_a_name_do_not_reach_the_terminal() {
    as_root_and_as_user(|store| {
        let name = "../\u{1b}[2J\u{7}";
        let ran = store.try_import(Archive::new().with(Entry::file(name, "x")).end());
        ran.exits(1);
        assert!(
            !ran.err.contains('\u{1b}') && !ran.err.contains('\u{7}'),
            "{:?}",
            ran.err
        );
        assert!(ran.err.contains("u{1b}") || ran.err.contains("x1b"), "{:?}", ran.err);
    });
}

/// A link that an archive has as its top directory would replace the layer's directory
/// in the store.
#[test]
fn the_top_entry_of_an_archive_must_be_a_directory() {
    let Some(store) = root() else { return };
    let canary = canary(&store);
    for name in [".", "./", "./."] {
        assert_refused(
            &store,
            Archive::new().with(Entry::symlink(name, &canary)),
            name,
        );
        assert_refused(&store, Archive::new().with(Entry::file(name, "x")), name);
        assert_refused(&store, Archive::new().with(Entry::fifo(name)), name);
    }
}

#[test]
fn a_path_in_a_global_header_cannot_lead_out_of_the_layer() {
    as_root_and_as_user(|store| {
        let before = files_outside(store);
        let record = pax_record("path", b"../outside/made");
        let global = Entry::of_kind(b'g', "pax_global_header").body(record);
        let archive = Archive::new()
            .with(Entry::dir("data"))
            .with(global)
            .with(Entry::file("data/x", "x"));
        let ran = store.try_load(
            Layout::of("small:1", &[minimal_layer(), archive.end()], Compression::Gzip)
                .tar(),
        );
        assert!([0, 1].contains(&ran.code), "{ran:?}");
        files_outside(store).assert_equal(&before);
        // git archive writes a global header with a comment.
        let global = Entry::of_kind(b'g', "pax_global_header")
            .body(pax_record("comment", b"abc"));
        let archive = Archive::new()
            .with(global)
            .with(Entry::dir("data"))
            .with(Entry::file("data/x", "x"));
        store.load_on_minimal_layer(&[archive.end()]);
        assert!(store.tree_in_container("small:1", "/data").has("x"));
    });
}
