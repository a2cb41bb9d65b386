//! Whiteouts and opaque directories work in every order of the entries in the archive.

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Loads an image of the minimal layer and these layers, and lists /data.
#[track_caller]
fn names_in_data(store: &TestStore, layers: &[Archive]) -> Vec<String> {
    let layers: Vec<Vec<u8>> =
        layers.iter().map(|archive| archive.clone().end()).collect();
    store.load_on_minimal_layer(&layers);
    let tree = store.tree_in_container("small:1", "/data");
    let names = tree
        .0
        .keys()
        .map(|path| path.to_str().unwrap().to_owned())
        .filter(|name| name != ".");
    names.collect()
}

fn archive_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Archive {
    entries.into_iter().cloned().fold(Archive::new(), Archive::with)
}

fn lower_layer() -> Archive {
    Archive::new()
        .with(Entry::dir("data"))
        .with(Entry::file("data/file", "below"))
        .with(Entry::dir("data/dir"))
        .with(Entry::file("data/dir/a", "below"))
        .with(Entry::file("data/dir/b", "below"))
        .with(Entry::symlink("data/link", "dir"))
}

#[test]
fn a_whiteout_removes_one_file() {
    as_root_and_as_user(|store| {
        let upper_layer = Archive::new()
            .with(Entry::whiteout("data/file"))
            .with(Entry::whiteout("data/dir/a"))
            .with(Entry::whiteout("data/link"))
            .with(Entry::whiteout("data/was-never-there"));
        assert_eq!(
            names_in_data(store, &[lower_layer(), upper_layer]),
            ["dir", "dir/b"]
        );
        // A whiteout of a directory removes everything in it.
        assert_eq!(
            names_in_data(
                store,
                &[lower_layer(), Archive::new().with(Entry::whiteout("data/dir"))]
            ),
            ["file", "link"]
        );
    });
}

#[test]
fn an_opaque_whiteout_counts_wherever_it_stands_in_the_archive() {
    as_root_and_as_user(|store| {
        let (dir, mark, new) = (
            Entry::dir("data/dir"),
            Entry::opaque("data/dir"),
            Entry::file("data/dir/new", ""),
        );
        for order in [
            [&dir, &mark, &new],
            [&dir, &new, &mark],
            [&mark, &dir, &new],
            [&new, &mark, &dir],
            [&mark, &new, &dir],
        ] {
            let upper_layer = archive_of(order);
            assert_eq!(
                names_in_data(store, &[lower_layer(), upper_layer]),
                ["dir", "dir/new", "file", "link"]
            );
        }
        let upper_layer = Archive::new().with(mark.clone()).with(new.clone());
        assert_eq!(
            names_in_data(store, &[lower_layer(), upper_layer]),
            ["dir", "dir/new", "file", "link"]
        );
    });
}

/// The OCI image specification says that whiteouts apply only to lower layers, wherever
/// they are in the archive.
#[test]
fn a_whiteout_removes_nothing_of_its_own_layer() {
    as_root_and_as_user(|store| {
        let (gone, back) =
            (Entry::whiteout("data/file"), Entry::file("data/file", "back"));
        for order in [[&gone, &back], [&back, &gone]] {
            let upper_layer = archive_of(order);
            let layers = [lower_layer(), upper_layer];
            assert_eq!(
                names_in_data(store, &layers),
                ["dir", "dir/a", "dir/b", "file", "link"]
            );
            store.run("small:1", &[], &["cat", "/data/file"]).assert_stdout("back");
        }
        // A directory that is removed and created again is empty.
        let (gone, back) =
            (Entry::whiteout("data/dir"), Entry::file("data/dir/new", ""));
        for order in [[&gone, &back], [&back, &gone]] {
            let upper_layer = archive_of(order);
            assert_eq!(
                names_in_data(store, &[lower_layer(), upper_layer]),
                ["dir", "dir/new", "file", "link"]
            );
        }
    });
}

#[test]
fn a_later_layer_can_add_a_removed_file_again() {
    as_root_and_as_user(|store| {
        let gone = Archive::new()
            .with(Entry::whiteout("data/dir"))
            .with(Entry::whiteout("data/file"));
        let back = Archive::new()
            .with(Entry::file("data/dir/c", ""))
            .with(Entry::dir("data/file"));
        assert_eq!(
            names_in_data(store, &[lower_layer(), gone.clone(), back]),
            ["dir", "dir/c", "file", "link"]
        );
        let opaque = Archive::new().with(Entry::opaque("data"));
        let more = Archive::new().with(Entry::file("data/more", ""));
        assert_eq!(names_in_data(store, &[lower_layer(), opaque, more]), ["more"]);
    });
}

#[test]
fn a_layer_can_replace_a_file_with_a_directory_and_the_other_way_round() {
    as_root_and_as_user(|store| {
        let upper_layer = Archive::new()
            .with(Entry::file("data/dir", "now a file"))
            .with(Entry::dir("data/file"))
            .with(Entry::file("data/file/in-it", ""))
            .with(Entry::dir("data/link"))
            .with(Entry::file("data/link/in-it", ""));
        assert_eq!(
            names_in_data(store, &[lower_layer(), upper_layer]),
            ["dir", "file", "file/in-it", "link", "link/in-it"]
        );
    });
}

#[test]
fn the_top_directory_of_a_layer_can_be_opaque() {
    as_root_and_as_user(|store| {
        let upper_layer = Archive::new()
            .with(Entry::file(".wh..wh..opq", ""))
            .with(Entry::dir("data"));
        let layout = Layout::of(
            "small:1",
            &[
                lower_layer().end(),
                minimal_layer(),
                [upper_layer.without_end(), minimal_layer()].concat(),
            ],
            Compression::Gzip,
        );
        store.load(layout.tar());
        store.sh("small:1", &[], "ls /data; ls -a / | grep wh").exits(1);
        assert_eq!(store.tree_in_container("small:1", "/data").0.len(), 1);
        let file = store.dir().join("exported.tar");
        store.call(&["export", "small:1", "-o", file.to_str().unwrap()]).exits(0);
        let listed = std::process::Command::new("tar")
            .arg("-tf")
            .arg(file)
            .output()
            .unwrap()
            .stdout;
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.contains("bin/sh") && !listed.contains("data/file"), "{listed}");
    });
}

#[test]
fn a_whiteout_is_unpacked_as_a_device_for_overlayfs() {
    as_root_and_as_user(|store| {
        let upper_layer = Archive::new()
            .with(Entry::whiteout("data/file"))
            .with(Entry::opaque("data/dir"))
            .end();
        store.load_on_minimal_layer(&[lower_layer().end(), upper_layer.clone()]);
        let tree = kiste_tests::Tree::of(
            &store
                .layer(&[minimal_layer(), lower_layer().end(), upper_layer.clone()])
                .join("data"),
        );
        let file = tree.at("file");
        assert_eq!((file.kind, file.device), ("char", (0, 0)));
        assert_eq!(tree.at("dir").xattrs["user.overlay.opaque"], b"y");
        assert_eq!(tree.0.len(), 3, "{tree:#?}");
    });
}

/// Names with `.wh.` are reserved, and must not become files.
#[test]
fn a_whiteout_without_a_name_is_refused() {
    as_root_and_as_user(|store| {
        for name in ["data/.wh.", "data/.wh..", "data/.wh..."] {
            let layout = Layout::of(
                "small:1",
                &[minimal_layer(), Archive::new().with(Entry::file(name, "")).end()],
                Compression::Gzip,
            );
            let ran = store.try_load(layout.tar());
            ran.exits(1).assert_stderr_contains(name);
            store.assert_empty(name);
        }
    });
}

/// Old versions of umoci write whiteouts of everything below a directory that becomes a
/// file.
#[test]
fn a_whiteout_below_a_new_file_or_link_is_ignored() {
    as_root_and_as_user(|store| {
        let (gone, file) = (Entry::whiteout("data/dir/a"), Entry::file("data/dir", ""));
        let link = Entry::symlink("data/dir", "file");
        for order in [[&gone, &file], [&file, &gone], [&gone, &link], [&link, &gone]] {
            assert_eq!(
                names_in_data(store, &[lower_layer(), archive_of(order)]),
                ["dir", "file", "link"]
            );
        }
        // The archive lists the directory after a whiteout in it.
        let deep = Entry::whiteout("data/dir/c/d");
        let back = Entry::dir("data/dir").mode(0o700);
        store.load_on_minimal_layer(&[
            lower_layer().end(),
            archive_of([&deep, &file, &back]).end(),
        ]);
        assert_eq!(store.tree_in_container("small:1", "/data").at("dir").mode, 0o700);
    });
}

/// umoci and buildkit wrote both whiteouts into one layer.
#[test]
fn a_whiteout_below_a_removed_directory_does_not_create_the_directory_again() {
    as_root_and_as_user(|store| {
        let (outer, inner) =
            (Entry::whiteout("data/dir"), Entry::whiteout("data/dir/a"));
        let opaque = Entry::opaque("data/dir");
        for order in
            [[&outer, &inner], [&inner, &outer], [&outer, &opaque], [&opaque, &outer]]
        {
            assert_eq!(
                names_in_data(store, &[lower_layer(), archive_of(order)]),
                ["file", "link"]
            );
        }
    });
}

/// Overlayfs would list the whiteout as a name without a file, which no program could
/// copy.
#[test]
fn a_whiteout_that_hides_nothing_is_not_stored() {
    as_root_and_as_user(|store| {
        let new = Entry::dir("data/new");
        let ghost = Entry::whiteout("data/new/ghost");
        let deep = Entry::whiteout("data/other/deep/ghost");
        let below_link = Entry::whiteout("data/link/ghost");
        let (opaque, hidden) =
            (Entry::opaque("data/dir"), Entry::whiteout("data/dir/a"));
        let upper_layer =
            archive_of([&new, &ghost, &deep, &below_link, &opaque, &hidden]);
        let layers = [lower_layer(), upper_layer];
        assert_eq!(names_in_data(store, &layers), ["dir", "file", "link", "new"]);
        assert_eq!(store.tree_in_container("small:1", "/data").at("link").kind, "link");
        let file = store.dir().join("exported.tar");
        store.call(&["export", "-o", file.to_str().unwrap(), "small:1"]).exits(0);
    });
}

/// Kiste removes a whiteout that hides nothing. This must not change the time of its
/// directory.
#[test]
fn a_directory_keeps_its_time_when_a_whiteout_in_it_is_removed() {
    let Some(store) = root() else { return };
    let new = Entry::dir("data/new").mtime(5);
    let upper_layer = archive_of([&new, &Entry::whiteout("data/new/ghost")]);
    store.load_on_minimal_layer(&[lower_layer().end(), upper_layer.end()]);
    assert_eq!(store.tree_in_container("small:1", "/data").at("new").mtime, (5, 0));
}

/// In archives of Docker's first years, hard links lead to files in a directory that
/// belongs to aufs.
#[test]
fn hard_links_to_files_in_aufs_directory_are_resolved() {
    as_root_and_as_user(|store| {
        let upper_layer = Archive::new()
            .with(Entry::file(".wh..wh.aufs", ""))
            .with(Entry::dir(".wh..wh.orph"))
            .with(Entry::file(".wh..wh.orph/x", "x"))
            .with(Entry::dir(".wh..wh.plnk"))
            .with(Entry::file(".wh..wh.plnk/1.2", "linked").mode(0o640))
            .with(Entry::hard_link("data/a", ".wh..wh.plnk/1.2"))
            .with(Entry::hard_link("data/b", ".wh..wh.plnk/1.2"))
            .with(Entry::file(".wh..wh.plnk/3.4", "not linked"));
        let layers = [lower_layer(), upper_layer];
        let all = ["a", "b", "dir", "dir/a", "dir/b", "file", "link"];
        assert_eq!(names_in_data(store, &layers), all);
        let tree = store.tree_in_container("small:1", "/data");
        assert_eq!((tree.at("a").size, tree.at("a").mode), (6, 0o640));
        let listed = store.run("small:1", &[], &["ls", "-a", "/"]);
        assert!(!listed.exits(0).out.contains(".wh."), "{}", listed.out);
        // A link in place of this directory, or a name that leads out of it, is
        // refused.
        for hostile in [
            Archive::new()
                .with(Entry::symlink(".wh..wh.plnk", "/tmp"))
                .with(Entry::hard_link("data/a", ".wh..wh.plnk/1.2")),
            Archive::new().with(Entry::file(".wh..wh.plnk/../x", "x")),
        ] {
            store.try_import(hostile.end()).exits(1);
        }
    });
}
