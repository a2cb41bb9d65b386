//! `check` names what is damaged, and finds nothing else.

use std::fs;
use std::path::Path;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Layout, Packed};

use crate::test_store::{TestStore, everywhere, root};
use crate::tiny::tiny;

/// A layer with everything that a tree can have, and directories that it only implies.
fn rich() -> Vec<u8> {
    Archive::new()
        .with(Entry::file("usr/lib/deep/file", "text").mode(0o4755).owner(1, 2))
        .with(Entry::symlink("link", "usr/lib"))
        .with(Entry::hard_link("usr/lib/other", "usr/lib/deep/file"))
        .with(Entry::fifo("pipe"))
        .with(Entry::whiteout("bin/nothing"))
        .with(Entry::opaque("etc"))
        .with(Entry::file("many/large", "x".repeat(100_000)).xattr("user.a", "b"))
        .end()
}

fn layout() -> Layout {
    Layout::of("rich:1", &[tiny(), rich()], Packed::Zstd)
}

/// Changes one thing, and asserts that `check` finds it and that loading repairs it.
#[track_caller]
fn finds(store: &TestStore, what: &str, damage: impl Fn(&Path)) {
    damage(&store.layer(&[tiny(), rich()]));
    let ran = store.call(&["check"]);
    assert!(ran.exits(1).out.contains("rich:1: damaged: layer "), "{what}: {ran:?}");
    assert!(ran.out.contains("good:1: ok\n"), "{what}: {ran:?}");
    ran.complains("damaged images: 1 of 2").complains("load");
    store.call(&["check", "good:1"]).prints("good:1: ok");
    store.load(layout().tar());
    store.call(&["check"]).prints("good:1: ok\nrich:1: ok");
    assert_eq!(store.in_store("tmp"), [""; 0], "{what}");
}

#[test]
fn whole_images_are_ok() {
    everywhere(|store| {
        store.call(&["check"]).prints("");
        store.import(tiny(), "small:1");
        store.load(layout().tar());
        store.run(
            "small:1",
            &["--commit", "new:1"],
            &["sh", "-c", "echo it >/etc/new"],
        );
        store.call(&["check"]).prints("new:1: ok\nrich:1: ok\nsmall:1: ok");
        store.call(&["check", "none:1"]).exits(1).complains("none:1");
    });
}

#[test]
fn each_kind_of_damage_is_found_and_repaired_by_loading_again() {
    let Some(store) = root() else { return };
    store.import(tiny(), "good:1");
    store.load(layout().tar());
    finds(&store, "other content of the same size and time", |layer| {
        let path = layer.join("many/large");
        let time = path.metadata().unwrap().modified().unwrap();
        fs::write(&path, "y".repeat(100_000)).unwrap();
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    });
    finds(&store, "a missing file", |layer| {
        fs::remove_file(layer.join("usr/lib/other")).unwrap();
    });
    finds(&store, "a new file", |layer| fs::write(layer.join("usr/new"), "").unwrap());
    finds(&store, "another target of a link", |layer| {
        fs::remove_file(layer.join("link")).unwrap();
        std::os::unix::fs::symlink("usr/bin", layer.join("link")).unwrap();
    });
    finds(&store, "no layer", |layer| fs::remove_dir_all(layer).unwrap());
    let blobs = store.path().join("blobs/sha256");
    let zstd = |name: &String| {
        fs::read(blobs.join(name)).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    };
    let archives: Vec<_> =
        store.in_store("blobs/sha256").into_iter().filter(zstd).collect();
    assert_eq!(archives.len(), 2);
    for archive in archives {
        finds(&store, "a byte of an archive", |_| {
            let mut bytes = fs::read(blobs.join(&archive)).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(blobs.join(&archive), bytes).unwrap();
        });
        finds(&store, "no archive", |_| fs::remove_file(blobs.join(&archive)).unwrap());
    }
}

#[test]
fn an_archive_is_checked_without_loading_it() {
    let Some(store) = root() else { return };
    let good = store.file("good.tar", layout().tar());
    store.call(&["check", "-i", good.to_str().unwrap()]).prints("rich:1: ok");
    let outside = Archive::new().with(Entry::file("../outside", "x")).end();
    let bad = Layout::of("bad:1", &[tiny(), outside], Packed::Gzip).tar();
    let bad = store.file("bad.tar", bad);
    let ran = store.call(&["check", "--input", bad.to_str().unwrap()]);
    assert!(ran.exits(1).out.contains("bad:1: damaged: layer "), "{ran:?}");
    assert!(ran.out.contains("../outside"), "{ran:?}");
    ran.complains("`load` would refuse it");
    store.call(&["check", "-i", bad.to_str().unwrap(), "x:1"]).exits(2);
    store.holds_nothing("check");
    assert_eq!(store.in_store("blobs/sha256"), [""; 0]);
}
