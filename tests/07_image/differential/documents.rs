//! Documents with members that are doubled, or spelled otherwise.

use std::fs;
use std::path::Path;
use std::process::Command;

use kiste_tests::image::{CONFIG, INDEX, Layout, MANIFEST, architecture, digest};
use kiste_tests::{host, require_tool};
use serde_json::{Value, json};

use super::mutations::Random;
use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

const CASES: usize = 40;

/// A place for one more member: before all others of an object, or behind them.
const OBJECTS: [(&str, &[&str]); 5] = [
    (
        "config",
        &[
            r#""cmd": ["evil"]"#,
            r#""Cmd": ["evil"]"#,
            r#""Cmd": null"#,
            r#""CMD": null"#,
            r#""\u0043md": ["evil"]"#,
            r#""Entrypoint": ["other"]"#,
            r#""entrypoint": ["evil"]"#,
            r#""env": ["A=evil"]"#,
            r#""wor\u212aingDir": "/evil""#,
            r#""u\u017fer": "1""#,
            r#""Volumes": {"/a": {}, "/A": {}}"#,
            r#""stopsignal": "SIGINT""#,
            r#""StopSignal": "SIGINT""#,
            r#""Unknown": {"x": 1, "y": 2}"#,
            r#""Labels": {"a": "b", "A": "c"}"#,
            r#""Labels": {"a": "b", "a": "c"}"#,
        ],
    ),
    (
        "configuration",
        &[
            r#""config": {"Cmd": ["evil"]}"#,
            r#""Config": {"Cmd": ["evil"]}"#,
            r#""config": {}"#,
            r#""ROOTFS": {"type": "layers", "diff_ids": []}"#,
            r#""Architecture": "mips""#,
            r#""OS": "windows""#,
            r#""container_config": {"Cmd": ["other"]}"#,
            r#""variant": "v1""#,
        ],
    ),
    (
        "manifest",
        &[
            r#""layers": []"#,
            r#""Layers": []"#,
            r#""Config": EVIL"#,
            r#""config": EVIL"#,
            r#""conﬁg": EVIL"#,
            r#""manifests": []"#,
            r#""Manifests": null"#,
            r#""annotations": {"a": "b", "A": "c"}"#,
            r#""MediaType": "application/vnd.oci.image.index.v1+json""#,
        ],
    ),
    ("index", &[r#""Manifests": []"#, r#""manifests": []"#, r#""annotations": {}"#]),
    (
        "docker",
        &[
            r#""config": "evil.json""#,
            r#""Config": "evil.json""#,
            r#""layers": []"#,
            r#""Layers": []"#,
            r#""repoTags": ["evil:1"]"#,
            r#""Parent": "x""#,
        ],
    ),
];

/// An image with one more member in one of its documents.
struct Case<'a> {
    object: &'a str,
    member: &'a str,
    is_first: bool,
}

impl Case<'_> {
    /// Returns an object of a document, with the member if it is for this object.
    fn object(&self, name: &str, members: &str) -> String {
        match self.object == name {
            false => format!("{{{members}}}"),
            true if self.is_first => format!("{{{}, {members}}}", self.member),
            true => format!("{{{members}, {}}}", self.member),
        }
    }

    fn configuration(&self) -> String {
        let config =
            r#""Cmd": ["good"], "Env": ["A=good"], "User": "0", "WorkingDir": "/good""#;
        let config = self.object("config", config);
        let members = format!(
            r#""architecture": "{}", "os": "linux", "config": {config}, "rootfs": {{"type": "layers", "diff_ids": ["{}"]}}"#,
            architecture(),
            digest(&minimal_layer())
        );
        self.object("configuration", &members)
    }

    /// Returns another configuration, which the member may name.
    fn evil(&self) -> String {
        let case = Case { object: "", member: "", is_first: false };
        case.configuration().replace("good", "evil")
    }

    fn layout(&self) -> Layout {
        let mut layout = Layout::new();
        let config = layout.blob(CONFIG, self.configuration().as_bytes());
        let evil = layout.blob(CONFIG, self.evil().as_bytes());
        let layer =
            layout.blob("application/vnd.oci.image.layer.v1.tar", &minimal_layer());
        let members = format!(
            r#""schemaVersion": 2, "mediaType": "{MANIFEST}", "config": {config}, "layers": [{layer}]"#
        );
        let manifest =
            self.object("manifest", &members).replace("EVIL", &evil.to_string());
        layout.add_manifest("small:1", MANIFEST, manifest.as_bytes());
        let members = format!(
            r#""schemaVersion": 2, "mediaType": "{INDEX}", "manifests": {}"#,
            json!(layout.manifests)
        );
        let index = self.object("index", &members);
        layout.files.insert("index.json".into(), index.into_bytes());
        layout
    }

    fn docker_archive(&self) -> Vec<u8> {
        let members = r#""Config": "good.json", "RepoTags": ["small:1"], "Layers": ["layer.tar"]"#;
        let manifest = format!("[{}]", self.object("docker", members));
        let files = [
            ("good.json", self.configuration().into_bytes()),
            ("evil.json", self.evil().into_bytes()),
            ("layer.tar", minimal_layer()),
            ("manifest.json", manifest.into_bytes()),
        ];
        kiste_tests::image::tar(
            &files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
        )
    }
}

/// Returns the configuration that skopeo reads; None if it refuses the image.
fn read_with_skopeo(source: &str) -> Option<Value> {
    let output =
        Command::new("skopeo").args(["inspect", "--config", source]).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// Returns the members of a configuration that say what runs, without empty ones.
fn effect(configuration: &Value) -> Value {
    let config = &configuration["config"];
    let members = [
        "Cmd",
        "Entrypoint",
        "Env",
        "User",
        "WorkingDir",
        "StopSignal",
        "Volumes",
        "Labels",
    ]
    .map(|name| match &config[name] {
        Value::String(text) if text.is_empty() => Value::Null,
        value => value.clone(),
    });
    let layers = &configuration["rootfs"]["diff_ids"];
    json!([members, layers, configuration["architecture"], configuration["os"]])
}

/// Returns what is wrong with Kiste's reading of an image.
fn disagreement(store: &TestStore, case: &Case<'_>) -> Option<String> {
    let directory = store.dir().join(format!("case-{}", host::unique()));
    fs::create_dir(&directory).unwrap();
    let (source, path) = match case.object {
        "docker" => {
            let path = directory.join("archive.tar");
            fs::write(&path, case.docker_archive()).unwrap();
            (format!("docker-archive:{}", path.display()), path)
        }
        _ => {
            case.layout().write(&directory);
            (format!("oci:{}:small:1", directory.display()), directory.clone())
        }
    };
    let configuration = read_with_kiste(store, &path);
    let theirs = configuration.as_ref().and_then(|_| read_with_skopeo(&source));
    fs::remove_dir_all(directory).unwrap();
    let (ours, theirs) = (effect(&configuration?), effect(&theirs?));
    let wrong = format!("Kiste reads {ours},\nand skopeo {theirs}");
    (ours != theirs).then_some(wrong)
}

/// Returns the configuration of an image that is loaded; None if it is refused.
fn read_with_kiste(store: &TestStore, path: &Path) -> Option<Value> {
    let loaded = store.call(&["load", path.to_str().unwrap()]);
    if loaded.code != 0 {
        return None;
    }
    let name = loaded.out.trim_end().strip_prefix("Loaded ").unwrap();
    let inspected = store.call(&["inspect", name]);
    let mut image: Value = serde_json::from_str(&inspected.exits(0).out).unwrap();
    Some(image["configuration"].take())
}

#[test]
fn an_image_that_is_loaded_is_the_same_to_skopeo() {
    if !require_tool("skopeo") {
        return;
    }
    let Some(store) = root() else { return };
    let mut random = Random::new();
    let (mut accepted, mut wrong) = (0, Vec::new());
    for _ in 0..super::case_count(CASES) {
        let (object, members) = random.choose(&OBJECTS);
        let member = random.choose(members);
        let case = Case { object, member, is_first: random.below(2) == 0 };
        let found = disagreement(&store, &case);
        accepted += usize::from(store.names() == ["small:1"]);
        store.call(&["rmi", "small:1"]);
        wrong.extend(found.map(|found| format!("{member} in {object}: {found}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(accepted > CASES / 10, "only {accepted} were loaded");
}
