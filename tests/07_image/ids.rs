//! The names that an archive chooses for its images, and the texts in them, deceive
//! nobody.

use std::fs;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{
    CONFIG, Compression, Layout, MANIFEST, configuration, docker_archive,
};
use serde_json::json;

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

/// Makes the layers of an image with this file `/which`.
fn layers(which: &str) -> [Vec<u8>; 2] {
    [minimal_layer(), Archive::new().with(Entry::file("which", which)).end()]
}

/// Loads the image `good:1`, and returns its id without `sha256:`.
fn load_good(store: &TestStore) -> String {
    store.load(Layout::of("good:1", &layers("good"), Compression::Gzip).tar());
    store.images()[0].id["sha256:".len()..].to_owned()
}

/// Runs an image, and returns the content of its file `/which`.
#[track_caller]
fn which(store: &TestStore, image: &str) -> String {
    store.run(image, &[], &["cat", "/which"]).exits(0).out.clone()
}

#[test]
fn no_archive_gives_its_image_the_id_of_another() {
    let Some(store) = root() else { return };
    let id = load_good(&store);
    for name in
        [format!("{id}:latest"), format!("sha256:{id}"), format!("library/{id}")]
    {
        let docker = docker_archive(&[&name], &layers("evil"), &json!({}));
        store.try_load(docker).exits(1).assert_stderr_contains("look like an image id");
        // The name of an image in a layout is only a hint: it is loaded without.
        let layout = Layout::of(&name, &layers("evil"), Compression::Gzip);
        assert!(store.load(layout.tar())[0].starts_with("Loaded sha256:"), "{name}");
        let tagged = store.call(&["tag", "good:1", &name]);
        tagged.exits(2).assert_stderr_contains("look like an image id");
        assert_eq!(store.names(), ["<none>:<none>", "good:1"]);
    }
    for image in [id.clone(), format!("sha256:{id}"), format!("sha256:{}", &id[..12])] {
        assert_eq!(which(&store, &image), "good");
    }
}

/// An older version accepted such a name.
#[test]
fn a_name_in_the_store_that_looks_like_an_id_is_no_name() {
    let Some(store) = root() else { return };
    let id = load_good(&store);
    store.call(&["tag", "good:1", "old:1"]).exits(0);
    let index = store.path().join("index.json");
    let list = fs::read_to_string(&index).unwrap();
    for name in [format!("{}:latest", "0f".repeat(32)), format!("sha256:{id}")] {
        fs::write(&index, list.replace("old:1", &name)).unwrap();
        assert_eq!(store.names(), ["<none>:<none>", "good:1"], "{name}");
        assert_eq!(which(&store, "good:1"), "good");
    }
    store.gc().exits(0);
}

#[test]
fn digits_that_are_a_name_and_begin_an_id_are_refused() {
    let Some(store) = root() else { return };
    let id = load_good(&store);
    let digits = &id[..12];
    let own = Layout::of(digits, &layers("evil"), Compression::Gzip);
    assert_eq!(store.load(own.tar()), [format!("Loaded {digits}:latest")]);
    let hint = format!("sha256:{digits} for the id");
    store.run(digits, &[], &["true"]).exits(125).assert_stderr_contains(&hint);
    store.call(&["rmi", digits]).exits(1).assert_stderr_contains(&hint);
    assert_eq!(which(&store, &format!("{digits}:latest")), "evil");
    assert_eq!(which(&store, &format!("sha256:{digits}")), "good");
    store.call(&["rmi", &format!("{digits}:latest")]).exits(0);
    assert_eq!(which(&store, digits), "good");
}

#[test]
fn no_text_of_an_image_steers_the_terminal() {
    let Some(store) = root() else { return };
    let steering = "a\u{1b}]0;x\u{7}b\u{7f}\u{80}\u{9b}2J\u{9d}0;x\u{9c}c";
    let layers = layers("small");
    let config =
        json!({ "Env": [format!("A={steering}")], "Labels": { steering: "" } });
    let mut configuration = configuration(&layers, &config);
    configuration["history"][0]["created_by"] = steering.into();
    configuration["author"] = steering.into();
    let mut layout = Layout::new();
    let config = layout.blob(CONFIG, configuration.to_string().as_bytes());
    let blobs: Vec<_> = layers
        .iter()
        .map(|tar| layout.blob(Compression::Plain.media_type(), tar))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": blobs,
    });
    layout.add_manifest("small:1", MANIFEST, manifest.to_string().as_bytes());
    store.load(layout.tar());
    for arguments in [
        &["inspect", "small:1"][..],
        &["history", "small:1"],
        &["history", "small:1", "--format", "json"],
        &["images"],
        &["images", "--format", "json"],
        &["check"],
    ] {
        let ran = store.call(arguments);
        let shown = format!("{}{}", ran.exits(0).out, ran.err);
        let control = shown.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{arguments:?}: {shown:?}");
    }
    let shown = store.call(&["inspect", "small:1"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["configuration"]["author"], steering, "the same text, escaped");
}
