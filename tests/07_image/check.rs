//! `check` reports every damaged image, and no undamaged one.

use std::fs;
use std::path::Path;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Returns a layer with an entry of every kind. Its archive does not list all parent
/// directories.
fn layer_of_every_kind() -> Vec<u8> {
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
    Layout::of("rich:1", &[minimal_layer(), layer_of_every_kind()], Compression::Zstd)
}

/// Damages the image `rich:1`, and asserts that `check` finds the damage and that
/// loading the image again repairs it.
#[track_caller]
fn assert_found_and_repaired(store: &TestStore, what: &str, damage: impl Fn(&Path)) {
    damage(&store.layer(&[minimal_layer(), layer_of_every_kind()]));
    let ran = store.call(&["check"]);
    assert!(ran.exits(1).out.contains("rich:1: damaged: layer "), "{what}: {ran:?}");
    assert!(ran.out.contains("good:1: ok\n"), "{what}: {ran:?}");
    ran.assert_stderr_contains("damaged images: 1 of 2").assert_stderr_contains("load");
    store.call(&["check", "good:1"]).assert_stdout("good:1: ok");
    store.load(layout().tar());
    store.call(&["check"]).assert_stdout("good:1: ok\nrich:1: ok");
    assert_eq!(store.names_in("tmp"), [""; 0], "{what}");
}

#[test]
fn check_says_ok_for_undamaged_images() {
    as_root_and_as_user(|store| {
        store.call(&["check"]).assert_stdout("");
        store.import(minimal_layer(), "small:1");
        store.load(layout().tar());
        store.run(
            "small:1",
            &["--commit", "new:1"],
            &["sh", "-c", "echo it >/etc/new"],
        );
        store.call(&["check"]).assert_stdout("new:1: ok\nrich:1: ok\nsmall:1: ok");
        store.call(&["check", "none:1"]).exits(1).assert_stderr_contains("none:1");
    });
}

#[test]
fn each_kind_of_damage_is_found_and_repaired_by_loading_again() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "good:1");
    store.load(layout().tar());
    assert_found_and_repaired(
        &store,
        "other content of the same size and time",
        |layer| {
            let path = layer.join("many/large");
            let time = path.metadata().unwrap().modified().unwrap();
            fs::write(&path, "y".repeat(100_000)).unwrap();
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        },
    );
    assert_found_and_repaired(&store, "a missing file", |layer| {
        fs::remove_file(layer.join("usr/lib/other")).unwrap();
    });
    assert_found_and_repaired(&store, "a new file", |layer| {
        fs::write(layer.join("usr/new"), "").unwrap()
    });
    assert_found_and_repaired(&store, "another target of a link", |layer| {
        fs::remove_file(layer.join("link")).unwrap();
        std::os::unix::fs::symlink("usr/bin", layer.join("link")).unwrap();
    });
    assert_found_and_repaired(&store, "no layer", |layer| {
        fs::remove_dir_all(layer).unwrap()
    });
    let blobs = store.path().join("blobs/sha256");
    let is_zstd = |name: &String| {
        fs::read(blobs.join(name)).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    };
    let archives: Vec<_> =
        store.names_in("blobs/sha256").into_iter().filter(is_zstd).collect();
    assert_eq!(archives.len(), 2);
    for archive in archives {
        assert_found_and_repaired(&store, "a byte of an archive", |_| {
            let mut bytes = fs::read(blobs.join(&archive)).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(blobs.join(&archive), bytes).unwrap();
        });
        assert_found_and_repaired(&store, "no archive", |_| {
            fs::remove_file(blobs.join(&archive)).unwrap()
        });
    }
}

#[test]
fn a_missing_lower_layer_is_damage_of_the_layers_above_as_well() {
    let Some(store) = root() else { return };
    store.load(layout().tar());
    fs::remove_dir_all(store.layer(&[minimal_layer()])).unwrap();
    let ran = store.call(&["check"]);
    assert_eq!(ran.exits(1).out.matches("rich:1: damaged: ").count(), 2, "{ran:?}");
    store.load(layout().tar());
    store.call(&["check"]).assert_stdout("rich:1: ok");
}

#[test]
fn an_archive_is_checked_without_loading_it() {
    let Some(store) = root() else { return };
    let good = store.file("good.tar", layout().tar());
    store.call(&["check", "-i", good.to_str().unwrap()]).assert_stdout("rich:1: ok");
    let outside = Archive::new().with(Entry::file("../outside", "x")).end();
    let bad = Layout::of("bad:1", &[minimal_layer(), outside], Compression::Gzip).tar();
    let bad = store.file("bad.tar", bad);
    let ran = store.call(&["check", "--input", bad.to_str().unwrap()]);
    assert!(ran.exits(1).out.contains("bad:1: damaged: layer "), "{ran:?}");
    assert!(ran.out.contains("../outside"), "{ran:?}");
    ran.assert_stderr_contains("`load` would refuse it");
    store.call(&["check", "-i", bad.to_str().unwrap(), "x:1"]).exits(2);
    store.assert_empty("check");
    assert_eq!(store.names_in("blobs/sha256"), [""; 0]);
}
