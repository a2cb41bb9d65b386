//! Commands as people type them who know Docker.

use std::fs;
use std::process::Stdio;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::pty;
use serde_json::{Value, json};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_container_that_is_named_by_its_image_gets_a_hint() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let fixture = store.fixture();
    for name in ["small:1", "alpine", "docker.io/library/alpine:3"] {
        let ran = fixture.run(&["--rm"], &[name, "sh"]);
        ran.exits(127).assert_stderr_contains(&format!("run it by --image {name}"));
    }
    // A path is no image, and an image needs no hint.
    let ran = fixture.run(&[], &["/nosuch"]);
    assert!(!ran.exits(127).err.contains("--image"), "{}", ran.err);
    let ran = store.run("small:1", &["--rm"], &["nosuch"]);
    assert!(!ran.exits(127).err.contains("--image"), "{}", ran.err);
    fs::rename(fixture.rootfs(), fixture.dir().join("elsewhere")).unwrap();
    let ran = fixture.run(&[], &["alpine", "sh"]);
    ran.exits(125)
        .assert_stderr_contains("--image NAME runs an image")
        .assert_stderr_contains("--rootfs names another");
    fs::rename(fixture.dir().join("elsewhere"), fixture.rootfs()).unwrap();
}

#[test]
fn load_reads_the_standard_input_unless_it_is_a_terminal() {
    let Some(mut store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let archive = store.dir().join("small.tar");
    store.call(&["save", "small:1", "-o", archive.to_str().unwrap()]).exits(0);
    store.call(&["rmi", "small:1"]).exits(0);
    let ran = store.call_with_stdin(&archive, &["load"]);
    assert_eq!(ran.exits(0).out, "Loaded small:1\n");
    let (_ours, theirs) = pty().unwrap();
    let mut command = store.command(&["load"]);
    let output = command.stdin(theirs).stderr(Stdio::piped()).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("would come from the terminal"), "{message}");
}

#[test]
fn images_are_selected_by_name_and_shown_as_asked_for() {
    let Some(store) = root() else { return };
    let id = store.import(minimal_layer(), "small:1");
    store.call(&["tag", "small:1", "small:2"]).exits(0);
    let other = Archive::new().with(Entry::file("x", "x")).end();
    let other = store.import(other, "localhost/team/web:1");
    let images = |arguments: &[&str]| {
        let ran = store.call(&[&["images"], arguments].concat());
        ran.exits(0).out.clone()
    };
    let short = |id: &str| id["sha256:".len()..][..12].to_owned();
    assert_eq!(lines(&images(&["-q", "small"])), [short(&id), short(&id)]);
    assert_eq!(lines(&images(&["-q", "--no-trunc", "small:2"])), [id.as_str()]);
    for name in ["localhost/team/web", "team/web", "team/web:1"] {
        assert_eq!(lines(&images(&["-q", name])), [short(&other)], "{name}");
    }
    for name in ["small:3", "nosuch", "web", "localhost/small"] {
        assert_eq!(images(&["-q", name]), "", "{name}");
        assert_eq!(images(&[name]).lines().count(), 1, "only the header: {name}");
    }
    let digest =
        json_of(&images(&["--format", "json", "small:1"]))[0]["digest"].clone();
    let table = images(&["--digests", "--no-trunc", "small:1"]);
    let row: Vec<&str> = lines(&table)[1].split_whitespace().collect();
    assert_eq!(row[..4], ["small", "1", digest.as_str().unwrap(), &id]);
    assert!(lines(&table)[0].contains("DIGEST"), "{table}");
    let template = "{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}";
    let line = images(&["--format", template, "small:1"]);
    let digest_text = digest.as_str().unwrap();
    assert_eq!(line, format!("small:1 {} {digest_text}\n", short(&id)));
    let ran = store.call(&["images", "--format", "{{.Nosuch}}"]);
    ran.exits(1).assert_stderr_contains("\"Repository\"");
    // Such a digest names the image.
    let name = format!("small@{}", digest.as_str().unwrap());
    store.run(&name, &[], &["echo", "it runs"]).assert_stdout("it runs");
    let ran = store.call(&["rmi", &name]);
    assert_eq!(ran.exits(0).out, "Removed small:1\n");
    let ran = store.run(&format!("web@{}", digest.as_str().unwrap()), &[], &["true"]);
    ran.exits(125).assert_stderr_contains("there is no image of this name");
}

#[test]
fn an_image_of_podman_is_found_by_its_short_name() {
    let Some(store) = root() else { return };
    let id = store.import(minimal_layer(), "localhost/small:1");
    store.run("small:1", &[], &["echo", "it runs"]).assert_stdout("it runs");
    let ran = store.call(&["inspect", "-f", "{{.Id}} {{.RepoTags}}", "small:1"]);
    assert_eq!(ran.exits(0).out, format!("{id} [localhost/small:1]\n"));
    // A name of its own comes first.
    let other = Archive::new().with(Entry::file("x", "x")).end();
    let other = store.import(other, "docker.io/library/small:1");
    let ran = store.call(&["inspect", "-f", "{{.Id}}", "small:1", "localhost/small:1"]);
    assert_eq!(ran.exits(0).out, format!("{other}\n{id}\n"));
    assert_eq!(store.call(&["rmi", "small:1"]).exits(0).out, "Removed small:1\n");
    let ran = store.call(&["rmi", "small:1"]);
    assert_eq!(ran.exits(0).out, "Removed localhost/small:1\n");
}

#[test]
fn rmi_with_force_succeeds_although_an_image_is_not_there() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let ran = store.call(&["rmi", "-f", "nosuch:1", "small:1"]);
    ran.exits(0).assert_stderr_contains("warning: image nosuch:1");
    assert_eq!(ran.out, "Removed small:1\n");
    store.call(&["rmi", "--force", "small:1"]).exits(0);
    store.call(&["rmi", "small:1"]).exits(1);
}

#[test]
fn inspect_prints_several_images_and_single_fields() {
    let Some(store) = root() else { return };
    let changes = ["ENV A=1", "LABEL org.example=x", "CMD [\"sh\"]"];
    let id = import(&store, &changes, "small:1");
    let second = store.import(minimal_layer(), "small:2");
    let ran = store.call(&["inspect", "small:1", "small:2"]);
    let both = json_of(&ran.exits(0).out);
    assert_eq!([&both[0]["id"], &both[1]["id"]], [&json!(id), &json!(second)]);
    let format = |template: &str| {
        store.call(&["inspect", "--format", template, "small:1", "small:2"])
    };
    for (template, printed) in [
        ("{{.Id}}", format!("{id}\n{second}\n")),
        ("{{json .Config.Env}}", "[\"A=1\"]\n[]\n".into()),
        ("{{.Config.Cmd}} of {{.Os}}", "[sh] of linux\n[] of linux\n".into()),
        ("{{json .Config.Labels}}", "{\"org.example\":\"x\"}\nnull\n".into()),
        ("<{{.Config.User}}>", "<>\n<>\n".into()),
    ] {
        assert_eq!(format(template).exits(0).out, printed, "{template}");
    }
    for (template, why) in [
        ("{{.Nosuch}}", ". has no field \"Nosuch\""),
        ("{{.Config}}", "{{json .Config}} prints it"),
    ] {
        format(template).exits(1).assert_stderr_contains(why);
    }
    for template in ["{{index .Config.Env 0}}", "{{.Id"] {
        format(template).exits(2).assert_stderr_contains("{{");
    }
    store
        .call(&["inspect", "small:1", "nosuch"])
        .exits(1)
        .assert_stderr_contains("nosuch");
}

#[test]
fn the_history_fits_the_terminal() {
    let Some(store) = root() else { return };
    let name = format!("{}.tar", "long-name".repeat(20));
    let archive = store.file(&name, minimal_layer());
    store.call(&["import", archive.to_str().unwrap(), "small:1"]).exits(0);
    let whole = store.call(&["history", "small:1"]).exits(0).out.clone();
    assert!(whole.contains(&name), "{whole}");
    for (options, is_whole) in [(&[][..], false), (&["--no-trunc"], true)] {
        let (mut ours, theirs) = pty().unwrap();
        rustix::termios::tcsetwinsize(
            &theirs,
            rustix::termios::Winsize {
                ws_row: 24,
                ws_col: 60,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .unwrap();
        let arguments = [&["history", "small:1"], options].concat();
        store.command(&arguments).stdout(theirs).status().unwrap();
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut ours, &mut text);
        assert_eq!(text.contains(&name), is_whole, "{text}");
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert_eq!(longest <= Some(60), !is_whole, "{text}");
        assert!(text.lines().count() == 2 || is_whole, "{text}");
        assert!(text.contains("import long-name"), "{text}");
    }
}

#[test]
fn an_imported_image_has_the_given_configuration_and_comment() {
    let Some(store) = root() else { return };
    let changes = [
        "ENTRYPOINT [\"sh\", \"-c\"]",
        "CMD [\"echo $A $PWD\"]",
        "ENV A=\"1 2\"",
        "WORKDIR /srv/www",
        "USER alice",
        "EXPOSE 80",
        "VOLUME /data",
        "STOPSIGNAL SIGINT",
    ];
    let id = import(&store, &changes, "small:1");
    store.run("small:1", &[], &[]).assert_stdout("1 2 /srv/www");
    let ran = store.call(&["inspect", "-f", "{{json .Config}}", "small:1"]);
    let config = json_of(&ran.exits(0).out);
    assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}}));
    assert_eq!(
        (&config["User"], &config["StopSignal"]),
        (&json!("alice"), &json!("SIGINT"))
    );
    let ran = store.call(&["history", "--format", "json", &id]);
    assert_eq!(json_of(&ran.exits(0).out)[0]["comment"], "a comment");
    // Without a name, an image is known by its id.
    let archive =
        store.file("other.tar", Archive::new().with(Entry::file("x", "x")).end());
    let ran = store.call(&["import", archive.to_str().unwrap()]);
    let id = ran.exits(0).out.trim().to_owned();
    let images = store.images();
    assert!(
        images.iter().any(|image| image.id == id && image.name.contains("<none>")),
        "{images:?}"
    );
}

/// Imports the minimal layer with these changes and a comment, and returns its id.
fn import(store: &TestStore, changes: &[&str], name: &str) -> String {
    let archive = store.file("changed.tar", minimal_layer());
    let options = changes.iter().flat_map(|change| ["--change", change]);
    let options: Vec<&str> = options.chain(["-m", "a comment"]).collect();
    let arguments =
        [&["import"], &options[..], &[archive.to_str().unwrap(), name]].concat();
    store.call(&arguments).exits(0).out.trim().to_owned()
}
