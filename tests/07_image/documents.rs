//! The documents of an image (index, manifest and configuration), and the digests that
//! connect them.

use kiste_tests::archive::{Archive, Entry, gzip, gzip_of_zeros};
use kiste_tests::image::{self, CONFIG, Compression, INDEX, Layout, MANIFEST, digest};
use serde_json::{Value, json};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Asserts that a layout is refused with these words, as an archive and as a directory,
/// and that the store stays empty.
#[track_caller]
fn assert_refused(store: &TestStore, layout: &Layout, words: &[&str]) {
    let file = store.file("hostile.tar", layout.tar());
    let directory = store.dir().join(format!("layout-{}", kiste_tests::host::unique()));
    layout.write(&directory);
    for source in [file, directory] {
        let ran = store.call(&["load", source.to_str().unwrap()]);
        ran.exits(1);
        for word in words {
            ran.assert_stderr_contains(word);
        }
        assert!(!ran.err.contains("panic") && ran.err.len() < 2000, "{}", ran.err);
        store.assert_empty(&format!("{words:?}"));
    }
}

fn hex(digest: &Value) -> &str {
    &digest.as_str().unwrap()["sha256:".len()..]
}

/// Makes a layout of one image, and changes its manifest and blobs.
fn changed_layout(change: impl FnOnce(&mut Layout, &mut Value)) -> Layout {
    let mut layout = Layout::new();
    let mut manifest =
        layout.image("small:1", &[minimal_layer()], Compression::Plain, &json!({}));
    layout.manifests.clear();
    change(&mut layout, &mut manifest);
    layout.add_manifest("small:1", MANIFEST, manifest.to_string().as_bytes());
    layout
}

/// Returns the descriptor of the first layer or of the configuration.
fn descriptor<'a>(manifest: &'a mut Value, which: &str) -> &'a mut Value {
    match which {
        "layers" => &mut manifest["layers"][0],
        _ => &mut manifest["config"],
    }
}

/// Makes a layout of one image, and returns the digits of the digest of one blob.
fn layout_and_blob(which: &str) -> (Layout, String) {
    let mut layout = Layout::new();
    let mut manifest =
        layout.image("small:1", &[minimal_layer()], Compression::Plain, &json!({}));
    let digest = match which {
        "manifest" => &layout.manifests[0]["digest"],
        _ => &descriptor(&mut manifest, which)["digest"],
    };
    let digest = hex(digest).to_owned();
    (layout, digest)
}

/// A byte of one blob is changed.
#[test]
fn a_blob_with_another_digest_is_refused() {
    as_root_and_as_user(|store| {
        for which in ["layers", "config", "manifest"] {
            let (mut layout, digest) = layout_and_blob(which);
            let blob = layout.files.get_mut(&format!("blobs/sha256/{digest}")).unwrap();
            // The changed blob has the same length, and is still well-formed.
            let at = if which == "layers" { 600 } else { blob.len() - 20 };
            blob[at] = if blob[at] == b'0' { b'1' } else { b'0' };
            assert_refused(store, &layout, &[&digest[..12]]);
        }
    });
}

/// The decompressed content is as expected, and the compressed archive is not.
#[test]
fn a_layer_whose_archive_has_another_digest_is_refused() {
    as_root_and_as_user(|store| {
        let mut layout = Layout::new();
        let manifest =
            layout.image("small:1", &[minimal_layer()], Compression::Gzip, &json!({}));
        let digest = hex(&manifest["layers"][0]["digest"]);
        let blob = layout.files.get_mut(&format!("blobs/sha256/{digest}")).unwrap();
        blob[9] ^= 1; // RFC 1952: the operating system
        assert_refused(store, &layout, &[&digest[..12]]);
    });
}

#[test]
fn a_layer_with_another_diff_id_than_the_configuration_is_refused() {
    as_root_and_as_user(|store| {
        for packed in Compression::ALL {
            let mut layout = Layout::new();
            let other = Archive::new().with(Entry::file("x", "other")).end();
            let config = image::configuration(&[other], &json!({})).to_string();
            let config = layout.blob(CONFIG, config.as_bytes());
            let layer =
                layout.blob(packed.media_type(), &packed.compress(&minimal_layer()));
            let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
            layout.add_manifest("small:1", MANIFEST, manifest.to_string().as_bytes());
            assert_refused(store, &layout, &[&digest(&minimal_layer())[7..]]);
        }
    });
}

#[test]
fn a_descriptor_with_a_wrong_size_is_refused() {
    let Some(store) = root() else { return };
    for (which, more) in [("layers", 1), ("layers", -1), ("config", 1), ("config", -1)]
    {
        let layout = changed_layout(|_, manifest| {
            let size = &mut descriptor(manifest, which)["size"];
            *size = json!(size.as_i64().unwrap() + more);
        });
        assert_refused(&store, &layout, &["bytes"]);
    }
}

/// CVE-2024-3727: a program uses a digest as a part of a path.
#[test]
fn a_digest_that_is_a_path_is_refused() {
    let invalid_digests = [
        "sha256:../../../outside".to_owned(),
        "sha256:/etc/passwd".into(),
        "../../x".into(),
        "sha256:".into(),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}", "a".repeat(63)),
        format!("sha256:{}/", "a".repeat(64)),
        format!("sha256:{}\n", "a".repeat(64)),
        "md5:d41d8cd98f00b204e9800998ecf8427e".into(),
        format!("../sha256:{}", "a".repeat(64)),
    ];
    as_root_and_as_user(|store| {
        for digest in &invalid_digests {
            for which in ["layers", "config", "manifest", "diff_ids"] {
                let mut layout = changed_layout(|layout, manifest| match which {
                    "manifest" => {}
                    "diff_ids" => {
                        let mut config =
                            image::configuration(&[minimal_layer()], &json!({}));
                        config["rootfs"]["diff_ids"] = json!([digest]);
                        manifest["config"] =
                            layout.blob(CONFIG, config.to_string().as_bytes());
                    }
                    _ => descriptor(manifest, which)["digest"] = json!(digest),
                });
                if which == "manifest" {
                    layout.manifests[0]["digest"] = json!(digest);
                }
                assert_refused(store, &layout, &[]);
            }
        }
        // Such a digest on the command line is also refused.
        for digest in ["sha256:../../x", "sha256:..", "../x"] {
            store.call(&["inspect", digest]).exits(2).assert_stderr_contains(digest);
            store.run(digest, &[], &["true"]).exits(2).assert_stderr_contains(digest);
        }
    });
}

/// CVE-2021-41190: a program that reads this document as an index runs another image
/// than a program that reads it as a manifest.
#[test]
fn a_manifest_that_is_also_an_index_is_refused() {
    as_root_and_as_user(|store| {
        let layout_with = |media_type: &str, inner: Option<&str>| {
            let mut layout = Layout::new();
            let mut manifest = layout.image(
                "small:1",
                &[minimal_layer()],
                Compression::Plain,
                &json!({}),
            );
            let descriptor = layout.manifests.pop().unwrap();
            manifest["manifests"] = json!([descriptor]);
            match inner {
                Some(inner) => manifest["mediaType"] = json!(inner),
                None => drop(manifest.as_object_mut().unwrap().remove("mediaType")),
            }
            layout.add_manifest("small:1", media_type, manifest.to_string().as_bytes());
            layout
        };
        for media_type in [MANIFEST, INDEX] {
            for inner in [Some(MANIFEST), Some(INDEX), None] {
                assert_refused(
                    store,
                    &layout_with(media_type, inner),
                    &["manifest", "index"],
                );
            }
        }
    });
}

#[test]
fn a_media_type_that_contradicts_the_document_is_refused() {
    let Some(store) = root() else { return };
    let mut layout = Layout::new();
    let manifest =
        layout.image("small:1", &[minimal_layer()], Compression::Plain, &json!({}));
    layout.manifests.clear();
    layout.add_manifest("small:1", INDEX, manifest.to_string().as_bytes());
    assert_refused(&store, &layout, &["listed as"]);
}

#[test]
fn nested_indexes_lead_to_the_image_for_this_machine() {
    let Some(store) = root() else { return };
    let mut layout = Layout::new();
    layout.image(
        "x",
        &[minimal_layer()],
        Compression::Gzip,
        &json!({"Env": ["WHICH=right"]}),
    );
    layout.image(
        "y",
        &[minimal_layer()],
        Compression::Gzip,
        &json!({"Env": ["WHICH=wrong"]}),
    );
    let mut manifests = std::mem::take(&mut layout.manifests);
    manifests[0]["platform"] =
        json!({"architecture": image::architecture(), "os": "linux"});
    manifests[1]["platform"] = json!({"architecture": "s390x", "os": "linux"});
    manifests.reverse();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    layout.add_manifest("small:1", INDEX, index.to_string().as_bytes());
    assert_eq!(store.load(layout.tar()), ["Loaded small:1"]);
    store.run("small:1", &[], &["sh", "-c", "echo $WHICH"]).assert_stdout("right");
}

#[test]
fn an_index_that_leads_to_itself_or_too_deep_is_refused() {
    let Some(store) = root() else { return };
    let mut layout = Layout::new();
    layout.image("x", &[minimal_layer()], Compression::Plain, &json!({}));
    for _ in 0..200 {
        let manifests = std::mem::take(&mut layout.manifests);
        let index =
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        layout.add_manifest("small:1", INDEX, index.to_string().as_bytes());
    }
    assert_refused(&store, &layout, &["index"]);
}

#[test]
fn malformed_documents_are_refused() {
    let Some(store) = root() else { return };
    for text in
        ["", "{", "[]", "null", "7", "\"x\"", "{\"schemaVersion\": 2}", "\u{fffd}"]
    {
        for which in ["manifest", "config", "index.json", "oci-layout"] {
            let mut layout = changed_layout(|layout, manifest| {
                if which == "config" {
                    manifest["config"] = layout.blob(CONFIG, text.as_bytes());
                }
            });
            match which {
                "config" => {}
                "manifest" => {
                    layout.manifests.clear();
                    layout.add_manifest("small:1", MANIFEST, text.as_bytes());
                }
                name => drop(layout.files.insert(name.into(), text.into())),
            }
            if which != "oci-layout" || text != "{\"schemaVersion\": 2}" {
                assert_refused(&store, &layout, &[]);
            }
        }
    }
}

#[test]
fn a_missing_blob_is_named() {
    let Some(store) = root() else { return };
    for which in ["layers", "config", "manifest"] {
        let (mut layout, digest) = layout_and_blob(which);
        layout.files.remove(&format!("blobs/sha256/{digest}"));
        assert_refused(&store, &layout, &[&digest]);
    }
}

#[test]
fn more_or_fewer_layers_than_the_configuration_has_are_refused() {
    let Some(store) = root() else { return };
    for diff_ids in [vec![], vec![minimal_layer(), minimal_layer()]] {
        let layout = changed_layout(|layout, manifest| {
            let config = image::configuration(&diff_ids, &json!({}));
            manifest["config"] = layout.blob(CONFIG, config.to_string().as_bytes());
        });
        assert_refused(&store, &layout, &["layer"]);
    }
}

/// CVE-2023-25153: documents are read into memory, so their size is limited.
#[test]
fn a_document_of_more_than_4_mib_is_refused() {
    let Some(store) = root() else { return };
    let huge = format!("{{\"x\": \"{}\"", "a".repeat(64 << 20)).into_bytes();
    let mut layout = Layout::of("small:1", &[minimal_layer()], Compression::Plain);
    layout.files.insert("index.json".into(), huge.clone());
    assert_refused(&store, &layout, &["index.json", "4 MiB"]);

    let mut layout = Layout::new();
    layout.add_manifest("small:1", MANIFEST, &huge);
    assert_refused(&store, &layout, &["4 MiB"]);

    let layout = changed_layout(|layout, manifest| {
        manifest["config"] = layout.blob(CONFIG, &huge);
    });
    assert_refused(&store, &layout, &["4 MiB"]);
}

/// An encrypted layer, for example, is not an archive, whatever its media type says.
#[test]
fn a_layer_that_is_not_an_archive_is_refused() {
    let Some(store) = root() else { return };
    for bytes in [&[0x5a; 4096][..], b"BZh91AY&SY and so on", b"{}"] {
        let layout = changed_layout(|layout, manifest| {
            manifest["layers"][0] =
                layout.blob("application/vnd.oci.image.layer.v1.tar+encrypted", bytes);
        });
        assert_refused(&store, &layout, &[&digest(bytes)[7..19]]);
    }
}

/// The `manifest.json` of a docker-archive contains names of files.
#[test]
fn a_docker_archive_cannot_name_files_outside_of_itself() {
    as_root_and_as_user(|store| {
        let config = image::configuration(&[minimal_layer()], &json!({})).to_string();
        let config_file = format!("{}.json", &digest(config.as_bytes())[7..]);
        for (config_name, layer) in [
            (config_file.as_str(), "../../../outside"),
            (&config_file, "/etc/passwd"),
            (&config_file, "nowhere/layer.tar"),
            (&config_file, "link"),
            ("../outside.json", "layer.tar"),
            ("/etc/passwd", "layer.tar"),
            ("nowhere.json", "layer.tar"),
        ] {
            let manifest = json!([{"Config": config_name, "RepoTags": ["small:1"], "Layers": [layer]}]);
            let archive = Archive::new()
                .with(Entry::file(&config_file, &config))
                .with(Entry::symlink("link", "/etc/passwd"))
                .with(Entry::file("layer.tar", minimal_layer()))
                .with(Entry::file("manifest.json", manifest.to_string()));
            let file = store.file("hostile.tar", archive.end());
            store.call(&["load", file.to_str().unwrap()]).exits(1);
            store.assert_empty(&format!("{config_name} {layer}"));
        }
    });
}

/// A layout in a directory may contain symbolic links.
#[test]
fn a_link_in_a_layout_does_not_lead_out_of_the_layout() {
    let Some(store) = root() else { return };
    let layout = Layout::of("small:1", &[minimal_layer()], Compression::Plain);
    for (number, name) in
        ["index.json", "blobs", "blobs/sha256", "oci-layout"].into_iter().enumerate()
    {
        let directory = store.dir().join(format!("layout-{number}"));
        layout.write(&directory);
        let aside = store.dir().join(format!("aside-{number}"));
        std::fs::rename(directory.join(name), &aside).unwrap();
        std::os::unix::fs::symlink(&aside, directory.join(name)).unwrap();
        let ran = store.call(&["load", directory.to_str().unwrap()]);
        // The layout may be refused, or loaded with the right digests.
        assert!([0, 1].contains(&ran.code), "{name}: {ran:?}");
        if name == "blobs" || name == "blobs/sha256" {
            continue;
        }
        std::fs::remove_file(directory.join(name)).unwrap();
        nix::unistd::mkfifo(&directory.join(name), nix::sys::stat::Mode::S_IRWXU)
            .unwrap();
        store.call(&["load", directory.to_str().unwrap()]).exits(1);
    }
}

#[test]
fn an_invalid_image_name_in_an_archive_is_refused() {
    let Some(store) = root() else { return };
    for name in ["../x", "a b:1", "UPPER:1", "a:b:c", "-a:1", "\u{1b}[2J:1"] {
        let archive = image::docker_archive(&[name], &[minimal_layer()], &json!({}));
        let ran = store.try_load(archive);
        ran.exits(1);
        assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
        store.assert_empty(name);
    }
}

/// Several gzip members are one stream, as for gzip(1). Zeros after the end of an
/// archive are ignored, however many there are.
#[test]
fn several_gzip_members_are_one_stream() {
    as_root_and_as_user(|store| {
        let tar = minimal_layer();
        let (first, second) = tar.split_at(tar.len() / 2);
        let packed = [gzip(first), gzip(second), gzip_of_zeros(20)].concat();
        let id = store.import(packed, "small:1");
        store.run("small:1", &[], &["echo", "it runs"]).assert_stdout("it runs");
        assert_eq!(store.images()[0].id, id);
    });
}
