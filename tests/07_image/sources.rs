//! Archives and directories of images as other programs write them.

use std::os::unix::fs::symlink;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{self, CONFIG, Compression, Layout, MANIFEST, digest};
use serde_json::{Value, json};

use crate::minimal_layer::{minimal_archive, minimal_layer};
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Returns the path of a blob in a layout.
fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/{}", digest(bytes).replace(':', "/"))
}

/// Adds the `manifest.json` of `docker save` with one image to a layout.
fn add_manifest_json(layout: &mut Layout, names: Value, config: &str, tar: &[u8]) {
    let layers = json!([blob_path(tar)]);
    let list = json!([{"Config": blob_path(config.as_bytes()), "RepoTags": names, "Layers": layers}]);
    layout.files.insert("manifest.json".into(), list.to_string().into());
}

/// Makes a layout of one image without a name, and returns its configuration too.
fn unnamed_layout() -> (Layout, String) {
    let mut layout = Layout::new();
    layout.image("x", &[minimal_layer()], Compression::Plain, &json!({}));
    layout.manifests[0].as_object_mut().unwrap().remove("annotations");
    (layout, image::configuration(&[minimal_layer()], &json!({})).to_string())
}

/// Asserts that an archive is refused with these words.
#[track_caller]
fn assert_refused(store: &TestStore, archive: Vec<u8>, words: &str) {
    store.try_load(archive).exits(1).assert_stderr_contains(words);
    store.assert_empty(words);
}

/// `docker save` of an image by its digest writes such an index since Docker 25.
#[test]
fn an_index_without_manifests_leaves_the_images_to_manifest_json() {
    as_root_and_as_user(|store| {
        for manifests in [json!(null), json!([])] {
            let (mut layout, config) = unnamed_layout();
            let index = json!({"schemaVersion": 2, "manifests": manifests});
            layout.files.insert("index.json".into(), index.to_string().into());
            assert_refused(store, layout.tar(), "no image");
            add_manifest_json(&mut layout, json!(null), &config, &minimal_layer());
            store.load(layout.tar());
            assert_eq!(store.names(), ["<none>:<none>"]);
            store.call(&["rmi", &store.images()[0].id]).exits(0);
        }
    });
}

/// A release of Docker wrote such manifests, together with a correct manifest.json.
#[test]
fn layers_may_be_listed_in_manifest_json_alone() {
    as_root_and_as_user(|store| {
        for layers in [json!(null), json!([])] {
            let config =
                image::configuration(&[minimal_layer()], &json!({})).to_string();
            let mut layout = Layout::new();
            let descriptor = layout.blob(CONFIG, config.as_bytes());
            layout.blob(Compression::Plain.media_type(), &minimal_layer());
            let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": layers});
            layout.add_manifest("small:1", MANIFEST, manifest.to_string().as_bytes());
            assert_refused(store, layout.tar(), "layers");
            add_manifest_json(
                &mut layout,
                json!(["small:1"]),
                &config,
                &minimal_layer(),
            );
            assert_eq!(store.load(layout.tar()), ["Loaded small:1"]);
            store.run("small:1", &[], &["echo", "it runs"]).assert_stdout("it runs");
            store.call(&["rmi", "small:1"]).exits(0);
        }
    });
}

#[test]
fn an_image_without_a_name_in_the_index_has_its_names_in_manifest_json() {
    as_root_and_as_user(|store| {
        let (mut layout, config) = unnamed_layout();
        add_manifest_json(
            &mut layout,
            json!(["small:1", "small:2"]),
            &config,
            &minimal_layer(),
        );
        assert_eq!(store.load(layout.tar()), ["Loaded small:1", "Loaded small:2"]);
    });
}

/// A scanner might read the first image, and a runtime run the second.
#[test]
fn a_name_that_two_images_have_is_refused() {
    let Some(store) = root() else { return };
    let mut layout = Layout::of("small:1", &[minimal_layer()], Compression::Plain);
    let other = minimal_archive().with(Entry::file("other", "x")).end();
    let config = image::configuration(std::slice::from_ref(&other), &json!({}));
    let config = config.to_string();
    layout.blob(CONFIG, config.as_bytes());
    layout.blob(Compression::Plain.media_type(), &other);
    add_manifest_json(&mut layout, json!(["small:1"]), &config, &other);
    assert_refused(&store, layout.tar(), "two images have this name");
}

/// cosign and oras store signatures and other artifacts beside an image.
#[test]
fn an_artifact_that_is_no_image_is_left_out_with_a_note() {
    as_root_and_as_user(|store| {
        let mut layout = Layout::new();
        let config = layout.blob(CONFIG, b"{}");
        let other = layout.blob("application/x", b"hello");
        let artifact = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [other]});
        layout.add_manifest("sig:1", MANIFEST, artifact.to_string().as_bytes());
        assert_refused(store, layout.tar(), "1 artifacts in it are no images");
        layout.image("small:1", &[minimal_layer()], Compression::Plain, &json!({}));
        for _ in 0..2 {
            let ran = store.try_load(layout.tar());
            ran.exits(0).assert_stderr_contains(
                "note: 1 artifacts that are no images are left out",
            );
            assert_eq!(store.names(), ["small:1"]);
            store.call(&["rmi", "small:1"]).exits(0);
            layout.manifests.reverse();
        }
    });
}

/// An index may have no `platform`. Then the configuration says which image is for this
/// machine. An image without a CPU variant runs on every machine of its architecture.
#[test]
fn the_configuration_says_which_image_is_for_this_machine() {
    let Some(store) = root() else { return };
    let plain = json!({"Env": ["WHICH=plain"]});
    let others: [fn(&mut Value); 2] = [
        |config| config["architecture"] = json!("s390x"),
        |config| config["variant"] = json!("v9"),
    ];
    for other in others {
        let mut layout = Layout::new();
        let mut config =
            image::configuration(&[minimal_layer()], &json!({"Env": ["WHICH=no"]}));
        other(&mut config);
        let config = layout.blob(CONFIG, config.to_string().as_bytes());
        let layer = layout.blob(Compression::Plain.media_type(), &minimal_layer());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        layout.add_manifest("small:1", MANIFEST, manifest.to_string().as_bytes());
        layout.image("small:1", &[minimal_layer()], Compression::Plain, &plain);
        for _ in 0..2 {
            assert_eq!(store.load(layout.tar()), ["Loaded small:1"]);
            store
                .run("small:1", &[], &["sh", "-c", "echo $WHICH"])
                .assert_stdout("plain");
            store.call(&["rmi", "small:1"]).exits(0);
            layout.manifests.reverse();
        }
    }
}

/// `skopeo copy … dir:` and `podman save --format docker-dir` write such directories.
#[test]
fn a_directory_that_skopeo_writes_is_loaded() {
    as_root_and_as_user(|store| {
        let mut layout = Layout::new();
        let manifest =
            layout.image("x", &[minimal_layer()], Compression::Gzip, &json!({}));
        let directory = store.dir().join("dir");
        let mut dir = Layout::new();
        let by_name = |(name, bytes): (&String, &Vec<u8>)| {
            (name.rsplit('/').next().unwrap().to_owned(), bytes.clone())
        };
        dir.files = layout.files.iter().map(by_name).collect();
        dir.files.remove("oci-layout");
        dir.files.insert("version".into(), "Directory Transport Version: 1.1\n".into());
        dir.files.insert("manifest.json".into(), manifest.to_string().into());
        let mut dir = dir.all();
        dir.remove("index.json");
        std::fs::create_dir(&directory).unwrap();
        for (name, bytes) in dir {
            std::fs::write(directory.join(name), bytes).unwrap();
        }
        store.call(&["load", directory.to_str().unwrap()]).exits(0);
        assert_eq!(store.names(), ["<none>:<none>"]);
        store.call(&["rmi", &store.images()[0].id]).exits(0);
        std::fs::remove_dir_all(directory).unwrap();
    });
}

#[test]
fn a_configuration_may_lack_fields_that_other_programs_omit() {
    let Some(store) = root() else { return };
    let changes: [fn(&mut Value); 6] = [
        |config| drop(config.as_object_mut().unwrap().remove("architecture")),
        |config| drop(config.as_object_mut().unwrap().remove("os")),
        |config| config["architecture"] = json!(null),
        |config| drop(config["rootfs"].as_object_mut().unwrap().remove("type")),
        |config| config["config"]["Cmd"] = json!("echo"),
        |config| {
            config["config"] = json!({"Volumes": {"/x": null}, "ExposedPorts": {"80": {"x": 1}}, "New": [1]});
        },
    ];
    for change in changes {
        let mut config = image::configuration(&[minimal_layer()], &json!({}));
        change(&mut config);
        let mut layout = Layout::new();
        let config = layout.blob(CONFIG, config.to_string().as_bytes());
        let layer = layout.blob(Compression::Plain.media_type(), &minimal_layer());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        layout.add_manifest("small:1", MANIFEST, manifest.to_string().as_bytes());
        store.load(layout.tar());
        let ran = store.run("small:1", &[], &["echo", "it runs"]);
        assert_eq!((ran.exits(0).out.as_str(), ran.err.as_str()), ("it runs\n", ""));
    }
}

/// nix's `result` is such a link.
#[test]
fn a_link_to_a_layouts_directory_is_loaded() {
    let Some(store) = root() else { return };
    let layout = Layout::of("small:1", &[minimal_layer()], Compression::Plain);
    let (directory, link) = (store.dir().join("layout"), store.dir().join("result"));
    layout.write(&directory);
    symlink(&directory, &link).unwrap();
    let ran = store.call(&["load", link.to_str().unwrap()]);
    assert_eq!(ran.exits(0).out, "Loaded small:1\n");
    // The error message says if a blob is a link out of the layout's directory.
    let name = layout.files.keys().find(|name| name.starts_with("blobs/")).unwrap();
    std::fs::rename(directory.join(name), store.dir().join("blob")).unwrap();
    symlink(store.dir().join("blob"), directory.join(name)).unwrap();
    let ran = store.call(&["load", directory.to_str().unwrap()]);
    ran.exits(1).assert_stderr_contains("is a link that leads out of it");
}

/// In its annotation, containerd expects a whole reference, with the registry.
#[test]
fn the_containerd_annotation_of_a_saved_image_has_the_registry() {
    let Some(store) = root() else { return };
    store.load_on_minimal_layer(&[]);
    let file = store.dir().join("saved.tar");
    store.call(&["save", "-o", file.to_str().unwrap(), "small:1"]).exits(0);
    let bytes = std::fs::read(&file).unwrap();
    let wanted: &[u8] = br#""io.containerd.image.name":"docker.io/library/small:1""#;
    assert!(bytes.windows(wanted.len()).any(|window| window == wanted));
}

/// Host names are case-insensitive. Docker keeps them as they are written.
#[test]
fn a_host_in_a_name_may_have_capitals() {
    let Some(store) = root() else { return };
    let names = ["Registry.Example.COM/small:1"];
    let archive = image::docker_archive(&names, &[minimal_layer()], &json!({}));
    assert_eq!(store.load(archive), ["Loaded Registry.Example.COM/small:1"]);
}

/// Some programs take the first of the two files, and others the second.
#[test]
fn an_archive_that_has_a_file_twice_is_refused() {
    let Some(store) = root() else { return };
    let layout = Layout::of("small:1", &[minimal_layer()], Compression::Plain);
    let twice = |name: &str, bytes: &[u8]| {
        let all =
            layout.all().into_iter().fold(Archive::new(), |all, (name, bytes)| {
                all.with(Entry::file(name, bytes))
            });
        all.with(Entry::file(name, bytes)).end()
    };
    for name in ["index.json", "./index.json", "oci-layout", "/index.json"] {
        assert_refused(&store, twice(name, b"{}"), "twice");
    }
    // The same bytes are the same file.
    let index = layout.all()["index.json"].clone();
    store.load(twice("index.json", &index));
}

/// Go programs match the keys of JSON objects in any case, and take the last match.
#[test]
fn ambiguous_json_keys_are_refused() {
    let Some(store) = root() else { return };
    let config = image::configuration(&[minimal_layer()], &json!({})).to_string();
    let inner = |text: &str| config.replacen("\"config\":{}", text, 1);
    for (odd, word) in [
        (inner(r#""config":{},"Config":{"User":"alice"}"#), "config"),
        (inner(r#""config":{},"config":{"User":"alice"}"#), "config"),
        (inner(r#""Config":{}"#), "Config"),
        (inner(r#""config":{"user":"alice"}"#), "user"),
        (inner(r#""config":{"User":"alice","USER":"root"}"#), "USER"),
        (inner("\"config\":{\"wor\u{212a}ingdir\":\"/bin\"}"), "WorkingDir"),
    ] {
        assert_ne!(odd, config);
        let mut layout = Layout::new();
        let config = layout.blob(CONFIG, odd.as_bytes());
        let layer = layout.blob(Compression::Plain.media_type(), &minimal_layer());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let manifest = manifest.to_string();
        layout.add_manifest("small:1", MANIFEST, manifest.as_bytes());
        assert_refused(&store, layout.tar(), word);
    }
    // Labels and unknown fields may have any key.
    let labels = json!({"Labels": {"name": "a", "Name": "b", "config": "c"}, "New": {"user": 1}});
    let mut layout = Layout::new();
    layout.image("small:1", &[minimal_layer()], Compression::Plain, &labels);
    store.load(layout.tar());
}
