//! Layers that take away: whiteouts and opaque directories, in whatever order they
//! stand.

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Layout, Packed};

use crate::shop::{Shop, everywhere};
use crate::tiny::tiny;

/// What is in /data of an image of these layers.
#[track_caller]
fn names(shop: &Shop, layers: &[Archive]) -> Vec<String> {
    let layers: Vec<Vec<u8>> =
        layers.iter().map(|archive| archive.clone().end()).collect();
    shop.load_on_tiny(&layers);
    let tree = shop.seen("small:1", "/data");
    let names = tree
        .0
        .keys()
        .map(|path| path.to_str().unwrap().to_owned())
        .filter(|name| name != ".");
    names.collect()
}

fn below() -> Archive {
    Archive::new()
        .with(Entry::dir("data"))
        .with(Entry::file("data/file", "below"))
        .with(Entry::dir("data/dir"))
        .with(Entry::file("data/dir/a", "below"))
        .with(Entry::file("data/dir/b", "below"))
        .with(Entry::symlink("data/link", "dir"))
}

#[test]
fn a_whiteout_takes_one_thing_away() {
    everywhere(|shop| {
        let above = Archive::new()
            .with(Entry::whiteout("data/file"))
            .with(Entry::whiteout("data/dir/a"))
            .with(Entry::whiteout("data/link"))
            .with(Entry::whiteout("data/was-never-there"));
        assert_eq!(names(shop, &[below(), above]), ["dir", "dir/b"]);
        // Of a whole tree, too.
        assert_eq!(
            names(shop, &[below(), Archive::new().with(Entry::whiteout("data/dir"))]),
            ["file", "link"]
        );
    });
}

#[test]
fn an_opaque_directory_hides_all_below_it_wherever_its_mark_stands() {
    everywhere(|shop| {
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
            let above = order
                .into_iter()
                .fold(Archive::new(), |archive, entry| archive.with(entry.clone()));
            assert_eq!(
                names(shop, &[below(), above]),
                ["dir", "dir/new", "file", "link"]
            );
        }
        let above = Archive::new().with(mark.clone()).with(new.clone());
        assert_eq!(names(shop, &[below(), above]), ["dir", "dir/new", "file", "link"]);
    });
}

/// The specification: whiteouts apply to lower layers only, whatever their order in the
/// archive.
#[test]
fn a_whiteout_takes_nothing_of_its_own_layer_away() {
    everywhere(|shop| {
        let (gone, back) =
            (Entry::whiteout("data/file"), Entry::file("data/file", "back"));
        for order in [[&gone, &back], [&back, &gone]] {
            let above = order
                .into_iter()
                .fold(Archive::new(), |archive, entry| archive.with(entry.clone()));
            let layers = [below(), above];
            assert_eq!(names(shop, &layers), ["dir", "dir/a", "dir/b", "file", "link"]);
            shop.run("small:1", &[], &["cat", "/data/file"]).prints("back");
        }
        // A directory that is taken away and made anew has nothing of the old one in
        // it.
        let (gone, back) =
            (Entry::whiteout("data/dir"), Entry::file("data/dir/new", ""));
        for order in [[&gone, &back], [&back, &gone]] {
            let above = order
                .into_iter()
                .fold(Archive::new(), |archive, entry| archive.with(entry.clone()));
            assert_eq!(
                names(shop, &[below(), above]),
                ["dir", "dir/new", "file", "link"]
            );
        }
    });
}

#[test]
fn what_was_taken_away_can_come_back_in_a_later_layer() {
    everywhere(|shop| {
        let gone = Archive::new()
            .with(Entry::whiteout("data/dir"))
            .with(Entry::whiteout("data/file"));
        let back = Archive::new()
            .with(Entry::file("data/dir/c", ""))
            .with(Entry::dir("data/file"));
        assert_eq!(
            names(shop, &[below(), gone.clone(), back]),
            ["dir", "dir/c", "file", "link"]
        );
        let opaque = Archive::new().with(Entry::opaque("data"));
        let more = Archive::new().with(Entry::file("data/more", ""));
        assert_eq!(names(shop, &[below(), opaque, more]), ["more"]);
    });
}

#[test]
fn one_kind_becomes_another_in_the_next_layer() {
    everywhere(|shop| {
        let above = Archive::new()
            .with(Entry::file("data/dir", "now a file"))
            .with(Entry::dir("data/file"))
            .with(Entry::file("data/file/in-it", ""))
            .with(Entry::dir("data/link"))
            .with(Entry::file("data/link/in-it", ""));
        assert_eq!(
            names(shop, &[below(), above]),
            ["dir", "file", "file/in-it", "link", "link/in-it"]
        );
    });
}

#[test]
fn the_whole_root_can_be_opaque() {
    everywhere(|shop| {
        let above = Archive::new()
            .with(Entry::file(".wh..wh..opq", ""))
            .with(Entry::dir("data"));
        let layout = Layout::of(
            "small:1",
            &[below().end(), tiny(), [above.cut(), tiny()].concat()],
            Packed::Gzip,
        );
        shop.load(layout.tar());
        shop.sh("small:1", &[], "ls /data; ls -a / | grep wh").exits(1);
        assert_eq!(shop.seen("small:1", "/data").0.len(), 1);
        let file = shop.dir().join("exported.tar");
        shop.call(&["export", "small:1", "-o", file.to_str().unwrap()]).exits(0);
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
fn a_whiteout_is_a_device_of_overlayfs_and_no_file_of_that_name() {
    everywhere(|shop| {
        let above = Archive::new()
            .with(Entry::whiteout("data/file"))
            .with(Entry::opaque("data/dir"))
            .end();
        shop.load_on_tiny(&[below().end(), above.clone()]);
        let tree = kiste_tests::Tree::of(
            &shop.layer(&[tiny(), below().end(), above.clone()]).join("data"),
        );
        let file = tree.at("file");
        assert_eq!((file.kind, file.device), ("char", (0, 0)));
        assert_eq!(tree.at("dir").xattrs["user.overlay.opaque"], b"y");
        assert_eq!(tree.0.len(), 3, "{tree:#?}");
    });
}

/// Names that begin so are reserved; what is none of the known ones must not appear as
/// a file.
#[test]
fn a_whiteout_of_nothing_or_of_what_is_above_is_refused() {
    everywhere(|shop| {
        for name in ["data/.wh.", "data/.wh..", "data/.wh..."] {
            let layout = Layout::of(
                "small:1",
                &[tiny(), Archive::new().with(Entry::file(name, "")).end()],
                Packed::Gzip,
            );
            let file = shop.file("layout.tar", layout.tar());
            let ran = shop.call(&["load", file.to_str().unwrap()]);
            ran.exits(1).complains(name);
            shop.holds_nothing(name);
        }
    });
}
