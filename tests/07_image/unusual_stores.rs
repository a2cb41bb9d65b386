//! Stores that are full, read-only, damaged or owned by another user.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use kiste_tests::archive::{Archive, Entry, gzip_of_zeros};
use kiste_tests::image::{Compression, Layout, digest};
use kiste_tests::{Ran, require_tool};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root, without_ranges};

/// Runs the program in a new mount namespace, after the script `prepare`.
fn run_in_mount_namespace(store: &TestStore, prepare: &str, arguments: &[&str]) -> Ran {
    run_script_in_mount_namespace(
        store,
        &format!("set -e; {prepare}; exec \"$@\""),
        arguments,
    )
}

/// Runs a script in a new mount namespace. The script runs the program as `"$@"`.
fn run_script_in_mount_namespace(
    store: &TestStore,
    script: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Ran {
    let unshare = ["unshare", "--mount", "--propagation", "private"];
    let starter = [&unshare[..], &["sh", "-c", script, "sh"]].concat();
    store.fixture().call_under(&starter, arguments)
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_left_of_the_image() {
    if !require_tool("mount") {
        return;
    }
    let Some(store) = root() else { return };
    let disk = store.dir().join("disk");
    fs::create_dir(&disk).unwrap();
    let disk = disk.to_str().unwrap();
    let large = Archive::new().with(Entry::file("large", vec![b'x'; 12 << 20])).end();
    let layout = store.file(
        "layout.tar",
        Layout::of("small:1", &[minimal_layer(), large.clone()], Compression::Gzip)
            .tar(),
    );
    let tar = store.file("large.tar", large);
    let store_path = format!("{disk}/store");
    for arguments in [
        &["load", "--store", &store_path, "-i", layout.to_str().unwrap()][..],
        &["import", "--store", &store_path, tar.to_str().unwrap(), "small:1"],
    ] {
        // The script lists the remaining files, since only its namespace has the disk.
        let script = format!(
            "mount -t tmpfs -o size=8m tmpfs {disk}; \"$@\" && exit 99; code=$?; \
             find {store_path}/layers {store_path}/tmp -mindepth 1 | head; \"$1\" images --store {store_path} --format json; exit $code"
        );
        let ran = run_script_in_mount_namespace(&store, &script, arguments);
        ran.exits(1);
        assert!(
            ran.err.contains("No space left") || ran.err.contains("free"),
            "{ran:?}"
        );
        assert_eq!(ran.out.replace(char::is_whitespace, ""), "[]", "{ran:?}");
    }
}

#[test]
fn a_decompression_bomb_is_refused() {
    if !require_tool("mount") {
        return;
    }
    let Some(store) = root() else { return };
    let disk = store.dir().join("disk");
    fs::create_dir(&disk).unwrap();
    let disk = disk.to_str().unwrap();
    // The archive has a few hundred KiB, and a file of 4 GiB in it.
    let header = kiste_tests::archive::gzip(
        &Entry::of_kind(b'0', "bomb").claims(4 << 30).bytes(),
    );
    let bomb = store.file("bomb.tar.gz", [header, gzip_of_zeros(4096)].concat());
    assert!(fs::metadata(&bomb).unwrap().len() < 32 << 20);
    let store_path = format!("{disk}/store");
    let prepare = format!("mount -t tmpfs -o size=64m tmpfs {disk}");
    let ran = run_in_mount_namespace(
        &store,
        &prepare,
        &["import", "--store", &store_path, bomb.to_str().unwrap(), "small:1"],
    );
    ran.exits(1).assert_stderr_contains("entry \"bomb\"");
    assert!(ran.err.contains("No space left") || ran.err.contains("free"), "{ran:?}");
}

/// A container may use up all inodes of the store's file system.
#[test]
fn a_container_that_fills_the_disk_is_removed_at_its_end() {
    // Overlayfs needs `user.` attributes, which tmpfs has from Linux 6.6 on.
    if !require_tool("mount") || crate::doctor::kernel_version() < (6, 6) {
        return;
    }
    let Some(store) = root() else { return };
    let tar = store.file("tiny.tar", minimal_layer());
    let (path, exe) = (store.path(), store.fixture().exe().display());
    fs::create_dir(&path).unwrap();
    let path = path.display();
    let script = format!(
        "mount -t tmpfs -o mode=700,nr_inodes=1000 tmpfs {path}; \
         {exe} import --store {path} {} small:1 >&2 || exit 99; \
         \"$@\"; code=$?; ls -A {path}/containers {path}/tmp | grep -v : ; exit $code",
        tar.display()
    );
    let fill =
        "i=0; while (: > /$i) 2> /dev/null; do i=$((i + 1)); done; echo $((i > 100))";
    let arguments =
        store.fixture().arguments(&["--image", "small:1"], &["sh", "-c", fill]);
    let ran = run_script_in_mount_namespace(&store, &script, arguments);
    assert_eq!(ran.exits(0).out.trim_end(), "1", "nothing is left: {ran:?}");
}

/// `check` unpacks each layer once more. If there is no room for that, or the store is
/// read-only, nothing is known about the image.
#[test]
fn an_image_that_cannot_be_unpacked_again_is_not_damaged() {
    if !require_tool("mount") {
        return;
    }
    let Some(store) = root() else { return };
    let large = Archive::new().with(Entry::file("large", vec![0; 12 << 20])).end();
    let file = store
        .file("large.tar", Layout::of("small:1", &[large], Compression::Gzip).tar());
    let (path, exe) = (store.path(), store.fixture().exe().display());
    fs::create_dir(&path).unwrap();
    let (path, file) = (path.to_str().unwrap(), file.to_str().unwrap());
    for (change, expected) in [
        ("mount -o remount,size=20m .", "it unpacks to more than"),
        ("i=0; while (: >fill-$i) 2>/dev/null; do i=$((i + 1)); done", "No space left"),
        ("mount -o remount,ro .", "Read-only file system"),
    ] {
        let script = format!(
            "mount -t tmpfs -o mode=700,size=100m,nr_inodes=200 tmpfs {path}; {exe} load --store {path} {file} >&2 || exit 99; \
             (cd {path}; {change}); \"$@\"; code=$?; ls {path}/complete; exit $code"
        );
        for of in [&["small:1"][..], &["-i", file]] {
            let arguments = [&["check", "--store", path], of].concat();
            let ran = run_script_in_mount_namespace(&store, &script, &arguments);
            ran.exits(1).assert_stderr_contains(expected);
            assert!(!ran.err.contains("damaged"), "{ran:?}");
            assert_eq!(ran.out.trim_end().len(), 64, "the record alone: {ran:?}");
        }
    }
}

#[test]
fn a_read_only_store_can_be_read() {
    if !require_tool("mount") {
        return;
    }
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let (store_path, file) = (store.path(), store.file("tiny.tar", minimal_layer()));
    let store_path = store_path.to_str().unwrap();
    let prepare = format!(
        "mount --bind {store_path} {store_path}; mount -o remount,bind,ro {store_path}"
    );
    let ran =
        run_in_mount_namespace(&store, &prepare, &["images", "--store", store_path]);
    assert!(ran.exits(0).out.contains("small"), "{ran:?}");
    run_in_mount_namespace(
        &store,
        &prepare,
        &["inspect", "--store", store_path, "small:1"],
    )
    .exits(0);
    for arguments in [
        &["import", "--store", store_path, file.to_str().unwrap(), "other:1"][..],
        &["tag", "--store", store_path, "small:1", "other:1"],
        &["rmi", "--store", store_path, "small:1"],
    ] {
        run_in_mount_namespace(&store, &prepare, arguments)
            .exits(1)
            .assert_stderr_contains("Read-only file system")
            .assert_stderr_contains(store_path);
    }
    let arguments = store.fixture().arguments(&["--image", "small:1"], &["true"]);
    let arguments: Vec<_> =
        arguments.iter().map(|word| word.to_str().unwrap()).collect();
    run_in_mount_namespace(&store, &prepare, &arguments)
        .exits(125)
        .assert_stderr_contains("Read-only file system")
        .assert_stderr_contains("hint: the store must be writable");
    assert_eq!(store.names(), ["small:1"]);
}

#[test]
fn a_store_that_another_user_owns_is_refused() {
    let Some(store) = without_ranges() else { return };
    let TestStore::User(user) = &store else { unreachable!() };
    let store_path = store.path();
    let file = store.file("tiny.tar", minimal_layer());
    for (uid, mode) in
        [(0, 0o755), (0, 0o777), (59_712, 0o777), (user.uid, 0o777), (0, 0o700)]
    {
        fs::create_dir(&store_path).unwrap();
        chown(&store_path, Some(uid), Some(uid)).unwrap();
        fs::set_permissions(&store_path, fs::Permissions::from_mode(mode)).unwrap();
        let ran = store.call(&["import", file.to_str().unwrap(), "small:1"]);
        if uid == user.uid {
            // If others can enter the user's own directory, the program closes it to
            // them, or refuses it.
            let now = fs::metadata(&store_path).unwrap().permissions().mode() & 0o7777;
            assert!(ran.code == 1 || now == 0o700, "{now:o} {ran:?}");
        } else {
            ran.exits(1).assert_stderr_contains(store_path.to_str().unwrap());
            assert_eq!(
                fs::read_dir(&store_path).unwrap().count(),
                0,
                "nothing was created in it"
            );
        }
        fs::remove_dir_all(&store_path).unwrap();
    }
}

#[test]
fn a_store_must_be_a_directory() {
    as_root_and_as_user(|store| {
        let file = store.file("tiny.tar", minimal_layer());
        let store_path = store.file("store", "a file");
        let assert_refused = || {
            let ran = store.call(&["import", file.to_str().unwrap(), "x"]);
            ran.exits(1).assert_stderr_contains(store_path.to_str().unwrap());
        };
        assert_refused();
        fs::remove_file(&store_path).unwrap();
        symlink("/nonexistent/place", &store_path).unwrap();
        assert_refused();
        fs::remove_file(&store_path).unwrap();
        // A directory with files of the user must not become a store.
        fs::create_dir(&store_path).unwrap();
        fs::write(store_path.join("thesis.txt"), "text").unwrap();
        fs::write(store_path.join("index.json"), "not ours").unwrap();
        store.chown_to_owner(&store_path);
        assert_refused();
        store.gc();
        assert_eq!(fs::read_to_string(store_path.join("thesis.txt")).unwrap(), "text");
        assert_eq!(
            fs::read_to_string(store_path.join("index.json")).unwrap(),
            "not ours"
        );
        fs::remove_dir_all(&store_path).unwrap();
    });
}

/// `gc` removes files that it does not know, so a directory with files of the user must
/// not become a store.
#[test]
fn a_directory_with_other_files_is_refused_as_a_store() {
    as_root_and_as_user(|store| {
        let file = store.file("tiny.tar", minimal_layer());
        let project = store.dir().join("project");
        fs::create_dir_all(project.join("layers/mine")).unwrap();
        fs::write(project.join("layers/mine/thesis.txt"), "text").unwrap();
        for path in [
            &project,
            &project.join("layers"),
            &project.join("layers/mine"),
            &project.join("layers/mine/thesis.txt"),
        ] {
            store.chown_to_owner(path);
        }
        let store_path = project.to_str().unwrap();
        store
            .call_exactly(&[
                "import",
                "--store",
                store_path,
                file.to_str().unwrap(),
                "x",
            ])
            .exits(1)
            .assert_stderr_contains(store_path);
        let run_dirs = store.fixture().run_dirs();
        store.call_exactly(&[
            "gc",
            "--store",
            store_path,
            "--run-dir",
            run_dirs.to_str().unwrap(),
        ]);
        assert_eq!(
            fs::read_to_string(project.join("layers/mine/thesis.txt")).unwrap(),
            "text"
        );
    });
}

#[test]
fn a_damaged_blob_is_refused() {
    as_root_and_as_user(|store| {
        store.load_on_minimal_layer(&[]);
        let manifest = Layout::of("small:1", &[minimal_layer()], Compression::Gzip)
            .manifests[0]["digest"]
            .as_str()
            .unwrap()
            .to_owned();
        for name in store.names_in("blobs/sha256") {
            let path = store.path().join("blobs/sha256").join(&name);
            let whole = fs::read(&path).unwrap();
            let mut damaged = whole.clone();
            let at = damaged.len() / 2;
            damaged[at] ^= 1;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(&path, &damaged).unwrap();
            let out = store.dir().join("out.tar");
            let ran = store.call(&["save", "small:1", "-o", out.to_str().unwrap()]);
            ran.exits(1).assert_stderr_contains(&name);
            assert!(!out.exists(), "half a file is worse than none");
            if name == manifest[7..] || whole.starts_with(b"{") {
                store
                    .run("small:1", &[], &["true"])
                    .exits(125)
                    .assert_stderr_contains(&name);
            }
            fs::write(&path, &whole).unwrap();
        }
        store.run("small:1", &[], &["echo", "it runs"]).assert_stdout("it runs");
    });
}

#[test]
fn a_damaged_index_is_reported_and_kept() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let index = store.path().join("index.json");
        let whole = fs::read(&index).unwrap();
        for damaged in [&b""[..], b"{", b"[]", b"null", &whole[..whole.len() / 2]] {
            fs::write(&index, damaged).unwrap();
            store.call(&["images"]).exits(1).assert_stderr_contains("index.json");
            store
                .run("small:1", &[], &["true"])
                .exits(125)
                .assert_stderr_contains("index.json");
            store.gc().exits(1).assert_stderr_contains("index.json");
            assert_eq!(fs::read(&index).unwrap(), damaged);
            assert_eq!(
                store.names_in("layers"),
                [&digest(&minimal_layer())[7..]],
                "gc has removed nothing"
            );
        }
        fs::write(&index, &whole).unwrap();
        store.run("small:1", &[], &["echo", "it runs"]).assert_stdout("it runs");
    });
}

#[test]
fn a_missing_layer_is_reported() {
    let Some(store) = root() else { return };
    store.load_on_minimal_layer(&[]);
    let layer = store.layer(&[minimal_layer()]);
    fs::rename(&layer, store.dir().join("aside")).unwrap();
    let ran = store.run("small:1", &[], &["echo", "it runs"]);
    // The program may also unpack the layer again, since its blob is still there.
    if ran.code != 0 {
        ran.exits(125).assert_stderr_contains(&digest(&minimal_layer())[7..19]);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn the_default_store_is_the_users_own() {
    let Some(mut store) = without_ranges() else { return };
    let dir = store.dir().to_path_buf();
    let file = store.file("tiny.tar", minimal_layer());
    let TestStore::User(user) = &mut store else { unreachable!() };
    let home = format!("HOME={}", dir.display());
    let data = format!("XDG_DATA_HOME={}", dir.join("data").display());
    for (env, place) in [
        (&["-u", "XDG_DATA_HOME", &home][..], ".local/share/kiste"),
        (&[&*home, &*data], "data/kiste"),
        (&[&*home, "XDG_DATA_HOME="], ".local/share/kiste"),
        // The XDG specification says that programs ignore relative paths.
        (&[&*home, "XDG_DATA_HOME=relative"], ".local/share/kiste"),
    ] {
        user.user_prefix =
            [&["env"], env].concat().into_iter().map(String::from).collect();
        user.call(["import", file.to_str().unwrap(), "small:1"]).exits(0);
        let store_path = dir.join(place);
        assert_eq!(
            fs::metadata(&store_path).unwrap().permissions().mode() & 0o7777,
            0o700,
            "{place}"
        );
        assert!(
            store_path.join("index.json").exists() && !Path::new("relative").exists()
        );
        fs::remove_dir_all(dir.join(place.split('/').next().unwrap())).unwrap();
    }
}
