//! import, load, save and export: the same files go in and come out, in every format.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use kiste_tests::archive::{Archive, Entry, gzip, zstd};
use kiste_tests::image::{Compression, Layout, digest, docker_archive};
use kiste_tests::{Terminal, Tree};
use serde_json::json;

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root, with_ranges};

#[test]
fn an_imported_image_runs_however_its_archive_is_compressed() {
    as_root_and_as_user(|store| {
        let ids: BTreeSet<_> = [
            ("plain", minimal_layer()),
            ("gzip", gzip(&minimal_layer())),
            ("zstd", zstd(&minimal_layer())),
        ]
        .map(|(name, tar)| {
            let id = store.import(tar, name);
            store.run(name, &[], &["cat", "/etc/group"]).exits(0);
            id
        })
        .into();
        let names = ["gzip:latest", "plain:latest", "zstd:latest"];
        assert_eq!(store.names(), names);
        assert!(
            store.images().iter().all(|image| ids.contains(&image.id)),
            "{:?}",
            store.images()
        );
        // The three images have one layer, since the diff id is the same.
        assert_eq!(store.names_in("layers"), [&digest(&minimal_layer())[7..]]);
    });
}

#[test]
fn a_name_without_a_tag_gets_latest() {
    let Some(store) = root() else { return };
    for (name, listed) in [
        ("a", "a:latest"),
        ("b:1.0_x-y", "b:1.0_x-y"),
        ("host.example:5000/c/d:2", "host.example:5000/c/d:2"),
    ] {
        let id = store.import(Archive::new().with(Entry::file("x", name)).end(), name);
        let image = store.images().into_iter().find(|image| image.name == listed);
        assert_eq!(
            image.map(|image| image.id),
            Some(id),
            "{listed}: {:?}",
            store.images()
        );
    }
}

#[test]
fn an_invalid_name_is_refused() {
    let Some(store) = root() else { return };
    let tar = store.file("x.tar", minimal_layer());
    for name in [
        "", ":", "a:", ":1", "UPPER", "a b", "a:b:c", "../x", "/a", "a/", "a//b",
        "a:-x", "a:\u{e9}", "-a",
    ] {
        let ran = store.call(&["import", tar.to_str().unwrap(), "--", name]);
        ran.exits(2).assert_stderr_contains(&name.escape_debug().to_string());
        store.assert_empty(name);
    }
}

#[test]
fn import_and_load_read_from_a_pipe() {
    for store in [root(), with_ranges()] {
        let Some(mut store) = store else { continue };
        let tar = store.file("tiny.tar.gz", gzip(&minimal_layer()));
        store.call_with_stdin(&tar, &["import", "-", "piped:1"]).exits(0);
        let archive = store.file(
            "layout.tar",
            Layout::of("loaded:1", &[minimal_layer()], Compression::Zstd).tar(),
        );
        store
            .call_with_stdin(&archive, &["load", "-i", "-"])
            .assert_stdout("Loaded loaded:1");
        assert_eq!(store.names(), ["loaded:1", "piped:1"]);
        for name in store.names() {
            store.run(&name, &[], &["echo", "it runs"]).assert_stdout("it runs");
        }
    }
}

#[test]
fn an_oci_layout_is_loaded_as_a_directory_and_as_an_archive() {
    as_root_and_as_user(|store| {
        for packed in Compression::ALL {
            let name = format!("small:{packed:?}").to_lowercase();
            let layout = Layout::of(&name, &[minimal_layer()], packed);
            let directory = store.dir().join("layout");
            layout.write(&directory);
            let ran = store.call(&["load", directory.to_str().unwrap()]);
            ran.assert_stdout(&format!("Loaded {name}"));
            store.run(&name, &[], &["echo", "it runs"]).assert_stdout("it runs");
            store.call(&["rmi", &name]).exits(0);
            for tar in [layout.tar(), gzip(&layout.tar()), zstd(&layout.tar())] {
                assert_eq!(store.load(tar), [format!("Loaded {name}")]);
                store.run(&name, &[], &["echo", "it runs"]).assert_stdout("it runs");
                store.call(&["rmi", &name]).exits(0);
            }
            fs::remove_dir_all(directory).unwrap();
        }
    });
}

#[test]
fn a_docker_archive_is_loaded_with_all_its_names() {
    as_root_and_as_user(|store| {
        let layer = Archive::new().with(Entry::file("etc/layer", "second")).end();
        let archive = docker_archive(
            &["small:1", "small:2"],
            &[minimal_layer(), layer],
            &json!({"Env": ["A=1"]}),
        );
        let mut lines = store.load(archive);
        lines.sort();
        assert_eq!(lines, ["Loaded small:1", "Loaded small:2"]);
        store.sh("small:2", &[], "cat /etc/layer; echo $A").assert_stdout("second1");
    });
}

#[test]
fn all_images_of_an_archive_are_loaded() {
    let Some(store) = root() else { return };
    let mut layout = Layout::of("one:1", &[minimal_layer()], Compression::Gzip);
    let layer = Archive::new().with(Entry::file("two", "2")).end();
    layout.image("two:2", &[minimal_layer(), layer], Compression::Zstd, &json!({}));
    assert_eq!(store.load(layout.tar()), ["Loaded one:1", "Loaded two:2"]);
    store.run("two:2", &[], &["cat", "/two"]).assert_stdout("2");
    store.run("one:1", &[], &["cat", "/two"]).exits(1);
}

#[test]
fn an_image_without_a_name_is_loaded_by_its_id() {
    let Some(store) = root() else { return };
    let archive = docker_archive(&[], &[minimal_layer()], &json!({}));
    let lines = store.load(archive);
    let id = lines[0].rsplit(' ').next().unwrap();
    assert!(
        lines.len() == 1 && id.starts_with("sha256:") && id.len() == 71,
        "{lines:?}"
    );
    store.run(id, &[], &["echo", "it runs"]).assert_stdout("it runs");
}

#[test]
fn a_saved_image_is_the_same_in_another_store() {
    as_root_and_as_user(|store| {
        let layer = Archive::new()
            .with(Entry::dir("data").mtime(7))
            .with(Entry::file("data/x", "x").mode(0o4750).owner(5, 6))
            .end();
        store.load_on_minimal_layer(&[layer]);
        store.import(minimal_layer(), "other:2");
        let file = store.dir().join("saved.tar");
        store
            .call(&["save", "small:1", "other:2", "-o", file.to_str().unwrap()])
            .exits(0);
        let (images, seen) =
            (store.images(), store.tree_in_container("small:1", "/data"));

        let other = store.dir().join("other-store");
        let other = other.to_str().unwrap();
        let ran = store.call_exactly(&[
            "load",
            "--store",
            other,
            "-i",
            file.to_str().unwrap(),
        ]);
        let loaded: BTreeSet<_> = ran.exits(0).out.lines().collect();
        assert_eq!(loaded, ["Loaded other:2", "Loaded small:1"].into());
        let list = |store_path: &str| {
            store
                .call_exactly(&["images", "--store", store_path, "--format", "json"])
                .out
        };
        assert_eq!(list(other), list(store.path().to_str().unwrap()));

        for image in images {
            store.call(&["rmi", &image.name]).exits(0);
        }
        store.assert_empty("rmi");
        store.call(&["load", file.to_str().unwrap()]).exits(0);
        store.tree_in_container("small:1", "/data").assert_equal(&seen);
    });
}

/// A saved image has both formats at once, so that every program can load it.
#[test]
fn a_saved_image_is_an_oci_layout_and_a_docker_archive() {
    let Some(store) = root() else { return };
    store.load_on_minimal_layer(&[Archive::new().with(Entry::file("x", "x")).end()]);
    let saved = save_and_unpack(&store, "small:1");
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(
            &fs::read(saved.join(name)).unwrap_or_else(|_| panic!("{name}")),
        )
        .unwrap()
    };
    assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");
    let mut blobs = 0;
    for entry in fs::read_dir(saved.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(
            digest(&fs::read(&path).unwrap())[7..],
            *path.file_name().unwrap().to_str().unwrap()
        );
        blobs += 1;
    }
    assert_eq!(blobs, 4, "a manifest, a configuration, two layers");
    let blob_path = |digest: &serde_json::Value| {
        format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"))
    };
    let manifest = json(&blob_path(&json("index.json")["manifests"][0]["digest"]));
    let docker = &json("manifest.json")[0];
    assert_eq!(docker["RepoTags"], json!(["small:1"]));
    assert_eq!(docker["Config"], blob_path(&manifest["config"]["digest"]));
    let layers: Vec<_> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| blob_path(&it["digest"]))
        .collect();
    assert_eq!(docker["Layers"], json!(layers));
}

/// Saves an image, and unpacks the archive with tar(1).
fn save_and_unpack(store: &TestStore, image: &str) -> std::path::PathBuf {
    let (file, saved) = (store.dir().join("saved.tar"), store.dir().join("saved"));
    store.call(&["save", image, "-o", file.to_str().unwrap()]).exits(0);
    fs::create_dir(&saved).unwrap();
    let tar = Command::new("tar")
        .arg("-xf")
        .arg(&file)
        .arg("-C")
        .arg(&saved)
        .status()
        .unwrap();
    assert!(tar.success());
    saved
}

#[test]
fn layers_are_saved_as_they_were_loaded() {
    let Some(store) = root() else { return };
    for packed in Compression::ALL {
        let mut layout = Layout::new();
        let manifest = layout.image(
            "small:1",
            &[minimal_layer()],
            packed,
            &json!({"Labels": {"a": "b"}, "Odd": 1}),
        );
        store.load(layout.tar());
        let saved = save_and_unpack(&store, "small:1");
        for descriptor in [&manifest["config"], &manifest["layers"][0]] {
            let name = format!(
                "blobs/{}",
                descriptor["digest"].as_str().unwrap().replace(':', "/")
            );
            assert_eq!(
                fs::read(saved.join(&name)).ok(),
                layout.files.get(&name).cloned(),
                "{packed:?} {name}"
            );
        }
        fs::remove_dir_all(saved).unwrap();
    }
}

#[test]
fn save_writes_to_a_pipe() {
    let Some(store) = root() else { return };
    store.load_on_minimal_layer(&[]);
    let (store_path, other) = (store.path(), store.dir().join("other"));
    let script = format!(
        "set -o pipefail; $0 save --store {0} small:1 | $0 load --store {1} -i -; $0 save --store {0} small:1 -o - | tar -t | grep index.json",
        store_path.display(),
        other.display()
    );
    store
        .fixture()
        .run_through_shell(&script)
        .assert_stdout("Loaded small:1\nindex.json");
}

#[test]
fn save_and_export_refuse_to_write_to_a_terminal() {
    let Some(store) = root() else { return };
    store.load_on_minimal_layer(&[]);
    for sub in ["save", "export"] {
        let (exe, store_path) = (store.fixture().exe().into(), store.path().into());
        let words: [OsString; 5] =
            [exe, sub.into(), "--store".into(), store_path, "small:1".into()];
        let (code, shown) =
            Terminal::start_command(store.dir(), &words).wait_for_exit();
        assert!(
            [1, 2].contains(&code)
                && shown.contains("terminal")
                && shown.contains("-o"),
            "{code}: {shown}"
        );
        assert!(shown.len() < 500, "{shown}");
    }
}

#[test]
fn export_writes_the_whole_root_file_system() {
    as_root_and_as_user(|store| {
        let layer = Archive::new()
            .with(Entry::dir("data").owner(7, 8))
            .with(
                Entry::file("data/x", "x")
                    .mode(0o6711)
                    .owner(9, 10)
                    .mtime_in_full("1234.567890123"),
            )
            .with(Entry::hard_link("data/y", "data/x"))
            .with(Entry::symlink("data/link", "/nowhere").owner(3, 4))
            .with(Entry::fifo("data/fifo"))
            .with(Entry::whiteout("etc/group"))
            .end();
        store.load_on_minimal_layer(&[layer]);
        let file = store.dir().join("exported.tar");
        store.call(&["export", "small:1", "-o", file.to_str().unwrap()]).exits(0);
        let out = store.dir().join("exported");
        fs::create_dir(&out).unwrap();
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--same-owner", "-xpf"])
            .arg(&file)
            .arg("-C")
            .arg(&out);
        assert!(tar.status().unwrap().success());
        let exported = Tree::of(&out);
        assert!(
            exported.has("bin/sh")
                && !exported.has("etc/group")
                && !exported.has("etc/.wh.group")
        );
        let data = Tree::of(&out.join("data"));
        data.assert_equal(&store.tree_in_container("small:1", "/data"));
        assert_eq!(
            data.at("x").owner,
            (9, 10),
            "the owner in the image, whoever exports it"
        );
        fs::remove_dir_all(&out).unwrap();
        // The exported archive can be imported again.
        let tar = fs::read(file).unwrap();
        store.import(tar, "again");
        store.tree_in_container("again", "/data").assert_equal(&data);
    });
}
