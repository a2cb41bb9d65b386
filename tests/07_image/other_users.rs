//! Stores of root that another user has had in hand: root removes and writes nothing
//! that the user chooses.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use kiste_tests::exchange::{Exchange, OTHER_USER};
use kiste_tests::{Ran, Tree, host};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

/// Runs each kind of command on the store at this path.
fn call_all(store: &TestStore, path: &Path) -> Vec<Ran> {
    let tar = store.file("tiny.tar", minimal_layer());
    let (path, tar) = (path.to_str().unwrap(), tar.to_str().unwrap());
    let run_dirs = store.fixture().run_dirs();
    let run_dirs = run_dirs.to_str().unwrap();
    let mut ran: Vec<_> = [
        &["gc", "--run-dir", run_dirs][..],
        &["import", tar, "small:1"],
        &["images"],
        &["rmi", "small:1"],
        &["check"],
    ]
    .iter()
    .map(|arguments| store.call_exactly(&[arguments, &["--store", path][..]].concat()))
    .collect();
    ran.push(store.run("small:1", &["--store", path], &["true"]));
    ran
}

/// A user who owns the directory above could exchange the checked store for a directory
/// in which `layers` is a link to any other.
#[test]
fn a_store_that_another_user_exchanges_is_refused() {
    let Some(store) = root() else { return };
    store.let_others_enter();
    let canary = store.dir().join("canary");
    fs::create_dir_all(canary.join("precious")).unwrap();
    let above = store.dir().join("of-a-user");
    let (stores, forged) = (above.join("store"), above.join("forged"));
    for name in ["blobs/sha256", "containers", "tmp"] {
        fs::create_dir_all(forged.join(name)).unwrap();
    }
    for (name, text) in [
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", r#"{"schemaVersion":2,"manifests":[]}"#),
    ] {
        fs::write(forged.join(name), text).unwrap();
    }
    symlink(&canary, forged.join("layers")).unwrap();
    host::chown_recursive(&above, OTHER_USER, OTHER_USER);
    fs::create_dir(&stores).unwrap();
    fs::set_permissions(&stores, fs::Permissions::from_mode(0o700)).unwrap();
    let trees = || [&above, &canary].map(|path| Tree::of(path).0.len());
    let before = trees();
    let exchange = Exchange::start(&stores, &forged);
    for _ in 0..10 {
        for ran in call_all(&store, &stores) {
            assert!(ran.code == 1 || ran.code == 125, "{ran:?}");
            ran.assert_stderr_contains(&format!("belongs to uid {OTHER_USER}"))
                .assert_stderr_contains("--store");
        }
    }
    drop(exchange);
    assert_eq!(trees(), before, "nothing was made or removed");
}

#[test]
fn a_directory_of_the_store_that_is_a_link_is_refused() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let canary = store.dir().join("canary");
    fs::create_dir_all(canary.join("sha256/precious")).unwrap();
    for name in ["layers", "blobs", "blobs/sha256", "containers", "tmp", "complete"] {
        let (path, aside) = (store.path().join(name), store.dir().join("aside"));
        fs::rename(&path, &aside).unwrap();
        symlink(&canary, &path).unwrap();
        for ran in call_all(&store, &store.path()) {
            assert!(ran.code == 1 || ran.code == 125, "{name}: {ran:?}");
            ran.assert_stderr_contains(path.to_str().unwrap())
                .assert_stderr_contains("it is no directory");
        }
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    assert!(canary.join("sha256/precious").exists());
    store.run("small:1", &[], &["true"]).exits(0);
}
