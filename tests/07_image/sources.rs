//! Archives and directories of images as other programs write them.

use std::os::unix::fs::symlink;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{self, CONFIG, Layout, MANIFEST, Packed, digest};
use serde_json::{Value, json};

use crate::test_store::{TestStore, everywhere, root};
use crate::tiny::{archive, tiny};

/// Returns the path of a blob.
fn blob(bytes: &[u8]) -> String {
    format!("blobs/{}", digest(bytes).replace(':', "/"))
}

/// Adds the `manifest.json` of `docker save` with one image to a layout.
fn list_for_docker(layout: &mut Layout, names: Value, config: &str, tar: &[u8]) {
    let layers = json!([blob(tar)]);
    let list = json!([{"Config": blob(config.as_bytes()), "RepoTags": names, "Layers": layers}]);
    layout.files.insert("manifest.json".into(), list.to_string().into());
}

/// Makes a layout of one image without a name, and returns its configuration too.
fn unnamed() -> (Layout, String) {
    let mut layout = Layout::new();
    layout.image("x", &[tiny()], Packed::Plain, &json!({}));
    layout.manifests[0].as_object_mut().unwrap().remove("annotations");
    (layout, image::configuration(&[tiny()], &json!({})).to_string())
}

/// Asserts that an archive is refused with these words.
#[track_caller]
fn refused(store: &TestStore, archive: Vec<u8>, words: &str) {
    store.try_load(archive).exits(1).complains(words);
    store.holds_nothing(words);
}

/// Docker 25 saves an image by its digest so.
#[test]
fn an_index_without_manifests_leaves_the_images_to_manifest_json() {
    everywhere(|store| {
        for manifests in [json!(null), json!([])] {
            let (mut layout, config) = unnamed();
            let index = json!({"schemaVersion": 2, "manifests": manifests});
            layout.files.insert("index.json".into(), index.to_string().into());
            refused(store, layout.tar(), "no image");
            list_for_docker(&mut layout, json!(null), &config, &tiny());
            store.load(layout.tar());
            assert_eq!(store.names(), ["<none>:<none>"]);
            store.call(&["rmi", &store.images()[0].id]).exits(0);
        }
    });
}

/// A release of Docker wrote such manifests, and a right manifest.json.
#[test]
fn layers_may_be_listed_in_manifest_json_alone() {
    everywhere(|store| {
        for layers in [json!(null), json!([])] {
            let config = image::configuration(&[tiny()], &json!({})).to_string();
            let mut layout = Layout::new();
            let descriptor = layout.blob(CONFIG, config.as_bytes());
            layout.blob(Packed::Plain.media_type(), &tiny());
            let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": layers});
            layout.list("small:1", MANIFEST, manifest.to_string().as_bytes());
            refused(store, layout.tar(), "layers");
            list_for_docker(&mut layout, json!(["small:1"]), &config, &tiny());
            assert_eq!(store.load(layout.tar()), ["Loaded small:1"]);
            store.run("small:1", &[], &["echo", "it runs"]).prints("it runs");
            store.call(&["rmi", "small:1"]).exits(0);
        }
    });
}

#[test]
fn the_names_of_both_lists_count() {
    everywhere(|store| {
        let (mut layout, config) = unnamed();
        list_for_docker(&mut layout, json!(["small:1", "small:2"]), &config, &tiny());
        assert_eq!(store.load(layout.tar()), ["Loaded small:1", "Loaded small:2"]);
    });
}

/// What one program scans under this name is not what another one runs.
#[test]
fn a_name_of_two_images_is_refused() {
    let Some(store) = root() else { return };
    let mut layout = Layout::of("small:1", &[tiny()], Packed::Plain);
    let other = archive().with(Entry::file("other", "x")).end();
    let config = image::configuration(std::slice::from_ref(&other), &json!({}));
    let config = config.to_string();
    layout.blob(CONFIG, config.as_bytes());
    layout.blob(Packed::Plain.media_type(), &other);
    list_for_docker(&mut layout, json!(["small:1"]), &config, &other);
    refused(&store, layout.tar(), "two images have this name");
}

/// cosign and oras keep signatures and other things beside an image.
#[test]
fn what_is_no_image_is_left_out_with_a_note() {
    everywhere(|store| {
        let mut layout = Layout::new();
        let config = layout.blob(CONFIG, b"{}");
        let other = layout.blob("application/x", b"hello");
        let artifact = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [other]});
        layout.list("sig:1", MANIFEST, artifact.to_string().as_bytes());
        refused(store, layout.tar(), "1 artifacts in it are no images");
        layout.image("small:1", &[tiny()], Packed::Plain, &json!({}));
        for _ in 0..2 {
            let ran = store.try_load(layout.tar());
            ran.exits(0).complains("note: 1 artifacts that are no images are left out");
            assert_eq!(store.names(), ["small:1"]);
            store.call(&["rmi", "small:1"]).exits(0);
            layout.manifests.reverse();
        }
    });
}

/// An index may have no `platform`; the configuration says which image is ours. Of the
/// variants of a machine the plain one runs everywhere.
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
        let mut config = image::configuration(&[tiny()], &json!({"Env": ["WHICH=no"]}));
        other(&mut config);
        let config = layout.blob(CONFIG, config.to_string().as_bytes());
        let layer = layout.blob(Packed::Plain.media_type(), &tiny());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        layout.list("small:1", MANIFEST, manifest.to_string().as_bytes());
        layout.image("small:1", &[tiny()], Packed::Plain, &plain);
        for _ in 0..2 {
            assert_eq!(store.load(layout.tar()), ["Loaded small:1"]);
            store.run("small:1", &[], &["sh", "-c", "echo $WHICH"]).prints("plain");
            store.call(&["rmi", "small:1"]).exits(0);
            layout.manifests.reverse();
        }
    }
}

/// `skopeo copy … dir:` and `podman save --format docker-dir`.
#[test]
fn a_directory_of_skopeos_is_loaded() {
    everywhere(|store| {
        let mut layout = Layout::new();
        let manifest = layout.image("x", &[tiny()], Packed::Gzip, &json!({}));
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
fn a_configuration_may_leave_out_what_others_leave_out() {
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
        let mut config = image::configuration(&[tiny()], &json!({}));
        change(&mut config);
        let mut layout = Layout::new();
        let config = layout.blob(CONFIG, config.to_string().as_bytes());
        let layer = layout.blob(Packed::Plain.media_type(), &tiny());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        layout.list("small:1", MANIFEST, manifest.to_string().as_bytes());
        store.load(layout.tar());
        let ran = store.run("small:1", &[], &["echo", "it runs"]);
        assert_eq!((ran.exits(0).out.as_str(), ran.err.as_str()), ("it runs\n", ""));
    }
}

/// nix's `result` is such a link.
#[test]
fn a_link_to_a_layouts_directory_is_loaded() {
    let Some(store) = root() else { return };
    let layout = Layout::of("small:1", &[tiny()], Packed::Plain);
    let (directory, link) = (store.dir().join("layout"), store.dir().join("result"));
    layout.write(&directory);
    symlink(&directory, &link).unwrap();
    let ran = store.call(&["load", link.to_str().unwrap()]);
    assert_eq!(ran.exits(0).out, "Loaded small:1\n");
    // A blob that is a link out of it is called so.
    let name = layout.files.keys().find(|name| name.starts_with("blobs/")).unwrap();
    std::fs::rename(directory.join(name), store.dir().join("blob")).unwrap();
    symlink(store.dir().join("blob"), directory.join(name)).unwrap();
    let ran = store.call(&["load", directory.to_str().unwrap()]);
    ran.exits(1).complains("is a link that leads out of it");
}

/// containerd takes its annotation for a whole reference.
#[test]
fn a_saved_name_has_its_registry_for_containerd() {
    let Some(store) = root() else { return };
    store.load_on_tiny(&[]);
    let file = store.dir().join("saved.tar");
    store.call(&["save", "-o", file.to_str().unwrap(), "small:1"]).exits(0);
    let bytes = std::fs::read(&file).unwrap();
    let wanted: &[u8] = br#""io.containerd.image.name":"docker.io/library/small:1""#;
    assert!(bytes.windows(wanted.len()).any(|window| window == wanted));
}

/// A host's name has no case; Docker keeps it as it is.
#[test]
fn a_host_in_a_name_may_have_capitals() {
    let Some(store) = root() else { return };
    let names = ["Registry.Example.COM/small:1"];
    let archive = image::docker_archive(&names, &[tiny()], &json!({}));
    assert_eq!(store.load(archive), ["Loaded Registry.Example.COM/small:1"]);
}

/// Programs take the first of them, or the last.
#[test]
fn an_archive_that_has_a_file_twice_is_refused() {
    let Some(store) = root() else { return };
    let layout = Layout::of("small:1", &[tiny()], Packed::Plain);
    let twice = |name: &str, bytes: &[u8]| {
        let all =
            layout.all().into_iter().fold(Archive::new(), |all, (name, bytes)| {
                all.with(Entry::file(name, bytes))
            });
        all.with(Entry::file(name, bytes)).end()
    };
    for name in ["index.json", "./index.json", "oci-layout", "/index.json"] {
        refused(&store, twice(name, b"{}"), "twice");
    }
    // The same bytes are the same file.
    let index = layout.all()["index.json"].clone();
    store.load(twice("index.json", &index));
}

/// Go's programs find a name of JSON in any case, and take the last one.
#[test]
fn names_of_json_that_programs_read_in_two_ways_are_refused() {
    let Some(store) = root() else { return };
    let config = image::configuration(&[tiny()], &json!({})).to_string();
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
        let layer = layout.blob(Packed::Plain.media_type(), &tiny());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let manifest = manifest.to_string();
        layout.list("small:1", MANIFEST, manifest.as_bytes());
        refused(&store, layout.tar(), word);
    }
    // A label and an unknown field may have any name.
    let labels = json!({"Labels": {"name": "a", "Name": "b", "config": "c"}, "New": {"user": 1}});
    let mut layout = Layout::new();
    layout.image("small:1", &[tiny()], Packed::Plain, &labels);
    store.load(layout.tar());
}
