//! The subcommands of the store: images, tag, rmi, history, inspect, gc.

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};
use serde_json::{Value, json};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{as_root_and_as_user, root};

#[test]
fn a_store_is_created_when_it_is_first_used() {
    as_root_and_as_user(|store| {
        let ran = store.call(&["images"]);
        assert_eq!(ran.exits(0).out.lines().count(), 1, "{}", ran.out);
        assert_eq!(store.images(), []);
        store.gc().exits(0);
        store.import(minimal_layer(), "small:1");
        assert_eq!(store.names(), ["small:1"]);
    });
}

#[test]
fn images_are_listed_in_a_table() {
    let Some(store) = root() else { return };
    let id = store.import(minimal_layer(), "host.example:5000/small:1");
    let ran = store.call(&["images"]);
    let lines: Vec<Vec<&str>> = ran
        .exits(0)
        .out
        .lines()
        .map(|line| {
            line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect()
        })
        .collect();
    assert_eq!(lines[0], ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    assert_eq!(lines[1][..3], ["host.example:5000/small", "1", &id[7..19]]);
    assert!(lines[1][4].contains('B') && lines.len() == 2, "{lines:?}");
}

#[test]
fn a_tag_is_another_name_of_the_same_image() {
    as_root_and_as_user(|store| {
        let id = store.import(minimal_layer(), "small:1");
        store.call(&["tag", "small:1", "other"]).exits(0);
        store.call(&["tag", &id, "by-id:1"]).exits(0);
        assert_eq!(store.names(), ["by-id:1", "other:latest", "small:1"]);
        assert!(store.images().iter().all(|image| image.id == id));
        store.call(&["rmi", "small:1"]).exits(0);
        store.run("other", &[], &["echo", "it runs"]).assert_stdout("it runs");
        store.call(&["tag", "small:1", "x"]).exits(1).assert_stderr_contains("small:1");
        store.call(&["tag", "other", "NO"]).exits(2).assert_stderr_contains("NO");
        store.call(&["rmi", "other", "by-id:1"]).exits(0);
        store.gc().exits(0);
        store.assert_empty("the last name");
    });
}

#[test]
fn a_name_that_is_used_again_belongs_to_the_new_image() {
    as_root_and_as_user(|store| {
        let old = store.import(minimal_layer(), "small:1");
        let other = Archive::new().with(Entry::file("x", "x")).end();
        let id = store.import(other, "small:1");
        let named: Vec<_> = store
            .images()
            .into_iter()
            .filter(|image| image.name == "small:1")
            .collect();
        assert!(named.len() == 1 && named[0].id == id, "{named:?}");
        // The old image has no name any more, only its id.
        store.run(&old, &[], &["echo", "it runs"]).assert_stdout("it runs");
        store.call(&["rmi", &old]).exits(0);
        store.gc().exits(0);
        assert_eq!(
            (store.names(), store.names_in("layers").len()),
            (vec!["small:1".to_owned()], 1)
        );
    });
}

#[test]
fn rmi_of_an_unknown_image_is_an_error() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        store.call(&["rmi", "nosuch"]).exits(1).assert_stderr_contains("nosuch:latest");
        assert_eq!(store.names(), ["small:1"]);
        store.call(&["rmi"]).exits(2);
    });
}

#[test]
fn rmi_removes_the_images_that_exist_and_reports_each_that_does_not() {
    as_root_and_as_user(|store| {
        for name in ["small:1", "small:2", "small:3"] {
            store.import(minimal_layer(), name);
        }
        let ran = store.call(&["rmi", "nosuch:1", "small:1", "nor-this:1", "small:2"]);
        ran.exits(1)
            .assert_stderr_contains("nosuch:1")
            .assert_stderr_contains("nor-this:1");
        assert_eq!(ran.out, "Removed small:1\nRemoved small:2\n");
        assert_eq!(store.names(), ["small:3"]);
        // The second small:3 does not exist any more.
        store
            .call(&["rmi", "small:3", "small:3"])
            .exits(1)
            .assert_stderr_contains("small:3");
        store.assert_empty("rmi of all");
    });
}

#[test]
fn history_and_inspect_show_the_images_configuration() {
    as_root_and_as_user(|store| {
        let mut layout = Layout::new();
        let config = json!({"Env": ["A=1"], "Labels": {"org.example": "label"}, "User": "alice", "StopSignal": "SIGINT"});
        let manifest = layout.image(
            "small:1",
            &[minimal_layer(), Archive::new().with(Entry::file("x", "x")).end()],
            Compression::Gzip,
            &config,
        );
        store.load(layout.tar());
        let ran = store.call(&["inspect", "small:1"]);
        let inspected: Value = serde_json::from_str(&ran.exits(0).out).expect("JSON");
        let text = inspected.to_string();
        for what in [
            "org.example",
            "\"A=1\"",
            "alice",
            "SIGINT",
            manifest["config"]["digest"].as_str().unwrap(),
            "small:1",
        ] {
            assert!(text.contains(what), "{what}: {text}");
        }
        let ran = store.call(&["history", "small:1", "--format", "json"]);
        let history: Vec<Value> =
            serde_json::from_str(&ran.exits(0).out).expect("JSON");
        assert_eq!(history.len(), 2);
        assert!(
            history.iter().all(|it| it.to_string().contains("a test")),
            "{history:?}"
        );
        assert!(store.call(&["history", "small:1"]).exits(0).out.contains("a test"));
        for sub in ["history", "inspect", "export", "save", "diff"] {
            store.call(&[sub, "nosuch:1"]).exits(1).assert_stderr_contains("nosuch");
        }
    });
}

#[test]
fn gc_removes_nothing_that_a_name_or_a_container_uses() {
    as_root_and_as_user(|store| {
        store
            .load_on_minimal_layer(&[Archive::new().with(Entry::file("x", "x")).end()]);
        store.import(minimal_layer(), "other:1");
        let before = [store.names_in("layers"), store.names_in("blobs/sha256")];
        store.gc().exits(0);
        assert_eq!([store.names_in("layers"), store.names_in("blobs/sha256")], before);

        // A container still uses the layers of an image without a name.
        let mut running = store.start(
            "small:1",
            &[],
            &["sh", "-c", "echo ready; read line; cat /x /etc/group | head -n 1"],
        );
        running.wait_for("ready");
        store.call(&["rmi", "small:1"]);
        store.call(&["rmi", "other:1"]).exits(0);
        store.gc().exits(0);
        let ended = running.end();
        assert_eq!(ended.exits(0).out, "\nxroot:x:0:\n");
        // The name may be gone already. At the end nothing is left.
        store.call(&["rmi", "small:1"]);
        store.gc().exits(0);
        store.assert_empty("gc");
    });
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    let Some(store) = root() else { return };
    for arguments in [
        &["import"][..],
        &["load", "--nosuch"],
        &["save"],
        &["tag", "x"],
        &["inspect"],
        &["history"],
        &["images", "--format", "xml"],
        &["images", "-q", "--format", "json"],
        &["images", "UPPER"],
        &["import", "--change", "RUN true", "x", "y"],
        &["inspect", "--format", "{{range .}}", "x"],
        &["run", "--image"],
        &["run", "--image", "UPPER", "true"],
        &["run", "--image", "../x", "true"],
        &["diff"],
    ] {
        store.call_exactly(arguments).exits(2).assert_stderr_contains("--help");
    }
}

#[test]
fn a_missing_file_or_image_is_named_with_the_reason() {
    as_root_and_as_user(|store| {
        store
            .call(&["import", "/nonexistent.tar", "x"])
            .exits(1)
            .assert_stderr_contains("/nonexistent.tar")
            .assert_stderr_contains("ENOENT");
        store
            .call(&["load", "-i", "/nonexistent.tar"])
            .exits(1)
            .assert_stderr_contains("/nonexistent.tar");
        store.call(&["import", "/etc", "x"]).exits(1).assert_stderr_contains("/etc");
        store.import(minimal_layer(), "small:1");
        store
            .call(&["save", "small:1", "-o", "/nonexistent/x"])
            .exits(1)
            .assert_stderr_contains("/nonexistent");
        store
            .call(&["save", "small:1", "nosuch:1", "-o", "x.tar"])
            .exits(1)
            .assert_stderr_contains("nosuch:1");
        assert!(!store.dir().join("x.tar").exists(), "half a file is worse than none");
    });
}
