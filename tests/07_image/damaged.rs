//! In a damaged store, all undamaged images still run. A file that cannot be read is
//! never treated as an empty one.

use std::fs;
use std::path::PathBuf;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Loads two images, which share a layer.
fn store_with_two_images() -> Option<TestStore> {
    let store = root()?;
    load_two_images(&store);
    Some(store)
}

fn load_two_images(store: &TestStore) {
    for name in ["good", "bad"] {
        let own = Archive::new().with(Entry::file(name, name)).end();
        let layers = [minimal_layer(), own];
        store.load(Layout::of(&format!("{name}:1"), &layers, Compression::Gzip).tar());
    }
}

fn blob_path(store: &TestStore, digest: &Value) -> PathBuf {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    store.path().join("blobs/sha256").join(hex)
}

/// Returns the paths of the documents of the image `bad:1`: manifest and configuration.
fn documents_of_bad(store: &TestStore) -> [PathBuf; 2] {
    let shown = store.call(&["inspect", "bad:1"]);
    let shown: Value = serde_json::from_str(&shown.exits(0).out).unwrap();
    [blob_path(store, &shown["digest"]), blob_path(store, &shown["id"])]
}

/// Damages a file, in one of seven ways.
fn damage(path: &PathBuf, way: usize) {
    let before = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    match way {
        0 => {}
        1 => fs::write(path, "").unwrap(),
        2 => fs::write(path, [b"{".as_slice(), &before].concat()).unwrap(),
        3 => mkfifo(path, Mode::S_IRUSR).unwrap(),
        4 => fs::create_dir(path).unwrap(),
        5 => fs::File::create(path).unwrap().set_len(2 << 30).unwrap(),
        _ => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
    }
}

#[test]
fn a_damaged_image_is_listed_and_can_be_removed_and_other_images_still_run() {
    let Some(store) = store_with_two_images() else { return };
    for way in 0..7 {
        for document in 0..2 {
            load_two_images(&store);
            let documents = documents_of_bad(&store);
            damage(&documents[document], way);
            let ran = store.call(&["images"]);
            assert!(ran.exits(0).out.contains("<damaged>"), "{ran:?}");
            ran.assert_stderr_contains("image bad:1 is damaged")
                .assert_stderr_contains("rmi ");
            assert_eq!(store.names(), ["bad:1", "good:1"]);
            store.call(&["inspect", "bad:1"]).exits(1).assert_stderr_contains("rmi ");
            store
                .run("bad:1", &[], &["true"])
                .exits(125)
                .assert_stderr_contains("damaged");
            store.run("good:1", &[], &["cat", "/good"]).assert_stdout("good");
            store
                .gc()
                .exits(0)
                .assert_stderr_contains("no layer is removed")
                .assert_stderr_contains("bad:1");
            // Names can still be added and removed, and `rmi` removes the damaged
            // image.
            store.call(&["tag", "good:1", "other:1"]).exits(0);
            store.call(&["rmi", "other:1"]).exits(0);
            let id = documents[1].file_name().unwrap().to_str().unwrap();
            store.call(&["rmi", &id[..12]]).exits(0);
            assert_eq!(store.names(), ["good:1"]);
            store.run("good:1", &[], &["cat", "/good"]).assert_stdout("good");
            assert_eq!(store.names_in("layers").len(), 2, "bad's own layer is removed");
        }
    }
}

#[test]
fn loading_an_image_again_repairs_its_documents() {
    let Some(store) = store_with_two_images() else { return };
    for way in 0..7 {
        for document in 0..2 {
            damage(&documents_of_bad(&store)[document], way);
            load_two_images(&store);
            store.run("bad:1", &[], &["cat", "/bad"]).assert_stdout("bad");
            assert_eq!(store.names(), ["bad:1", "good:1"]);
        }
    }
}

#[test]
fn a_damaged_index_is_never_treated_as_an_empty_one() {
    let Some(store) = store_with_two_images() else { return };
    let index = store.path().join("index.json");
    let list = fs::read(&index).unwrap();
    let content =
        || ["blobs/sha256", "layers"].map(|directory| store.names_in(directory));
    let before = content();
    for way in 0..7 {
        damage(&index, way);
        let ran = store.gc();
        ran.exits(1)
            .assert_stderr_contains("index.json")
            .assert_stderr_contains("nothing is removed");
        for arguments in
            [&["images"][..], &["rmi", "good:1"], &["tag", "good:1", "new:1"]]
        {
            store.call(arguments).exits(1).assert_stderr_contains("index.json");
        }
        store
            .run("good:1", &[], &["true"])
            .exits(125)
            .assert_stderr_contains("index.json");
        assert_eq!(content(), before);
        if index.is_dir() { fs::remove_dir(&index) } else { Ok(()) }.unwrap();
        let _ = fs::remove_file(&index);
        fs::write(&index, &list).unwrap();
    }
    store.gc().exits(0);
    store.run("good:1", &[], &["cat", "/good"]).assert_stdout("good");
}

/// A `load` that is killed before it lists its image leaves such a store.
#[test]
fn gc_removes_the_blobs_of_a_store_without_images() {
    as_root_and_as_user(|store| {
        assert_eq!(store.names(), [""; 0]);
        assert!(store.path().join("index.json").exists());
        fs::write(store.path().join("blobs/sha256").join("a".repeat(64)), "x").unwrap();
        store.gc().exits(0);
        assert_eq!(store.names_in("blobs/sha256"), [""; 0]);
    });
}

/// A program that opens a FIFO to read it would wait forever.
#[test]
fn no_command_waits_for_a_fifo_in_place_of_a_file_of_the_store() {
    let Some(store) = store_with_two_images() else { return };
    let manifest = documents_of_bad(&store)[0].clone();
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let archive = blob_path(&store, &manifest["layers"][1]["digest"]);
    fs::remove_file(&archive).unwrap();
    mkfifo(&archive, Mode::S_IRUSR).unwrap();
    let saved = store.dir().join("saved.tar");
    let save = ["save", "-o", saved.to_str().unwrap(), "bad:1"];
    store.call(&save).exits(1).assert_stderr_contains("no regular file");
    store.gc().exits(0);
    for name in ["lock", "names.lock"] {
        let lock = store.path().join(name);
        fs::remove_file(&lock).unwrap();
        mkfifo(&lock, Mode::S_IRWXU).unwrap();
        let commands: [&[&str]; 3] = [&["gc"], &["rmi", "bad:1"], &save];
        for arguments in &commands[..if name == "lock" { 3 } else { 2 }] {
            // `gc` changes no name.
            if (name, arguments[0]) != ("names.lock", "gc") {
                store.call(arguments).exits(1).assert_stderr_contains(name);
            }
        }
        fs::remove_file(&lock).unwrap();
    }
}
