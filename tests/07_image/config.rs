//! The image's configuration says how it is run, and the command line overrides it.

use kiste_tests::archive::Entry;
use kiste_tests::host;
use kiste_tests::image::{self, Layout, Packed};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::test_store::{TestStore, everywhere, root};
use crate::tiny::{archive, tiny};

/// Loads the smallest image with this configuration.
#[track_caller]
fn with(store: &TestStore, config: Value) {
    let mut layout = Layout::new();
    layout.image("small:1", &[tiny()], Packed::Plain, &config);
    store.load(layout.tar());
}

#[test]
fn the_environment_is_the_images_overridden_by_the_command_line() {
    everywhere(|store| {
        with(
            store,
            json!({"Env": ["A=image", "B=image", "PATH=/bin:/odd", "EMPTY=", "EQUALS=a=b"]}),
        );
        let script = "echo $A $B $PATH [$EMPTY] $EQUALS";
        store
            .sh("small:1", &["-e", "B=line", "-e", "C=line"], &format!("{script} $C"))
            .prints("image line /bin:/odd [] a=b line");
        let names = store.run("small:1", &[], &["env"]).exits(0).out.lines().count();
        let plain = {
            with(store, json!({}));
            store.run("small:1", &[], &["env"]).exits(0).out.lines().count()
        };
        assert_eq!(
            names,
            plain + 4,
            "PATH is there anyway, and nothing of the host's is"
        );
    });
}

#[test]
fn the_command_is_found_in_the_images_path() {
    let Some(store) = root() else { return };
    let odd = Entry::file("home/odd", "#!/bin/sh\necho odd $1\n").mode(0o755);
    let tar = archive().with(odd).end();
    let mut layout = Layout::new();
    let config = json!({"Env": ["PATH=/odd:/home"], "Entrypoint": ["/bin/env"]});
    layout.image("small:1", &[tar], Packed::Plain, &config);
    store.load(layout.tar());
    assert!(store.run("small:1", &[], &[]).exits(0).out.contains("PATH=/odd:/home\n"));
    store.run("small:1", &["--entrypoint", "odd"], &["x"]).prints("odd x");
    store.run("small:1", &["--entrypoint", "sh"], &["x"]).exits(127).complains("sh");
}

#[test]
fn entrypoint_and_command_are_combined_as_docker_does() {
    everywhere(|store| {
        for (entrypoint, cmd, line, printed) in [
            (json!(null), json!(["echo", "cmd"]), &[][..], "cmd"),
            (json!(null), json!(["echo", "cmd"]), &["echo", "line"], "line"),
            (json!(["echo"]), json!(["cmd"]), &[], "cmd"),
            (json!(["echo"]), json!(["cmd"]), &["a", "line"], "a line"),
            (json!(["echo", "entry"]), json!(null), &[], "entry"),
            (json!(["echo", "entry"]), json!(null), &["--", "-n"], "entry -n"),
            (json!(["/bin/sh", "-c", "echo shell"]), json!(["ignored"]), &[], "shell"),
            (json!([]), json!(["echo", "cmd"]), &[], "cmd"),
            (json!([""]), json!(["echo", "cmd"]), &[], "cmd"),
            (json!([""]), json!(["echo", "cmd"]), &["echo", "line"], "line"),
        ] {
            with(store, json!({"Entrypoint": entrypoint, "Cmd": cmd}));
            store.run("small:1", &[], line).prints(printed);
        }
    });
}

#[test]
fn the_entrypoint_option_replaces_the_images_entrypoint_and_command() {
    everywhere(|store| {
        with(store, json!({"Entrypoint": ["echo", "entry"], "Cmd": ["cmd"]}));
        store.run("small:1", &["--entrypoint", "/bin/echo"], &["line"]).prints("line");
        store.run("small:1", &["--entrypoint", "/bin/echo"], &[]).prints("");
        store.run("small:1", &["--entrypoint", "echo"], &["found"]).prints("found");
        // An empty --entrypoint removes the entrypoint of the image.
        store.run("small:1", &["--entrypoint", ""], &["echo", "line"]).prints("line");
        store
            .run("small:1", &["--entrypoint", "nosuch"], &[])
            .exits(127)
            .complains("nosuch");
    });
}

#[test]
fn an_image_without_a_command_needs_one_on_the_command_line() {
    everywhere(|store| {
        with(store, json!({}));
        let ran = store.run("small:1", &[], &[]);
        assert!(
            [2, 125].contains(&ran.code) && ran.err.to_lowercase().contains("command"),
            "{ran:?}"
        );
    });
}

#[test]
fn the_images_user_is_looked_up_in_the_images_files() {
    everywhere(|store| {
        for (user, ids) in [
            ("alice", "1000:1001:1001 18"),
            ("1000", "1000:1001:1001 18"),
            ("alice:bin", "1000:1:1"),
            ("alice:", "1000:1001:1001 18"),
            ("1000:1001", "1000:1001:1001"),
            ("77", "77:0:0"),
            ("", "0:0:0"),
            ("root", "0:0:0"),
        ] {
            with(store, json!({"User": user}));
            store.sh("small:1", &[], "echo $(id -u):$(id -g):$(id -G)").prints(ids);
        }
        with(store, json!({"User": "alice"}));
        store.sh("small:1", &["-u", "bin"], "id -u; echo $HOME").prints("1\n/bin");
        store.sh("small:1", &[], "echo $HOME").prints("/home/alice");
        for user in
            ["nobody-here", "4294967295", "-1", "1:2:3", "99999999999", "alice:nogroup"]
        {
            let part = if user == "alice:nogroup" { "nogroup" } else { user };
            with(store, json!({"User": user}));
            let ran = store.run("small:1", &[], &["echo", "it runs"]);
            assert_eq!(
                (ran.exits(125).out.as_str(), ran.err.contains(part)),
                ("", true),
                "{ran:?}"
            );
        }
    });
}

#[test]
fn the_working_directory_of_the_image_is_used_and_created_if_it_is_missing() {
    everywhere(|store| {
        with(store, json!({"WorkingDir": "/etc"}));
        store.run("small:1", &[], &["pwd"]).prints("/etc");
        store.run("small:1", &["-w", "/home"], &["pwd"]).prints("/home");
        with(store, json!({"WorkingDir": "/new/place"}));
        store.run("small:1", &[], &["pwd"]).prints("/new/place");
        with(store, json!({"WorkingDir": ""}));
        store.run("small:1", &[], &["pwd"]).prints("/");
    });
}

/// The image's user may not enter root's home; other runtimes start there as well.
#[test]
fn a_command_starts_in_a_directory_that_only_root_may_enter() {
    everywhere(|store| {
        let tar = archive().with(Entry::dir("private").mode(0o700)).end();
        let mut layout = Layout::new();
        for (name, workdir) in [("small:1", "/private"), ("small:2", "/bin/../private")]
        {
            let config = json!({"WorkingDir": workdir, "User": "alice"});
            layout.image(name, std::slice::from_ref(&tar), Packed::Plain, &config);
        }
        store.load(layout.tar());
        for image in ["small:1", "small:2"] {
            store.run(image, &[], &["echo", "it runs"]).prints("it runs");
        }
        // The command has no more rights than its user.
        let ran = store.run("small:1", &[], &["ls", "."]);
        assert_ne!(ran.code, 0, "{ran:?}");
        // A directory that is missing is an error as before.
        store.run("small:1", &["-w", "/nowhere"], &["echo"]).exits(125);
    });
}

#[test]
fn a_program_below_a_closed_directory_gets_no_hint_to_make_it_executable() {
    let Some(store) = root() else { return };
    let tar = archive().with(Entry::dir("./").mode(0o700)).end();
    let mut layout = Layout::new();
    layout.image("small:1", &[tar], Packed::Plain, &json!({"User": "alice"}));
    store.load(layout.tar());
    let ran = store.run("small:1", &[], &["/bin/echo"]);
    ran.exits(126).complains("may not enter a directory above it");
    assert!(!ran.err.contains("chmod"), "{}", ran.err);
}

#[test]
fn the_directories_of_volumes_are_there() {
    everywhere(|store| {
        with(store, json!({"Volumes": {"/new/volume": {}, "other": {}, "/bin": {}}}));
        let script = "ls -d /new/volume /other; touch /new/volume/x && echo written";
        store.sh("small:1", &[], script).prints("/new/volume\n/other\nwritten");
    });
}

/// CVE-2024-21626, with a working directory from an image's configuration.
#[test]
fn a_working_directory_outside_the_root_is_refused() {
    let Some(store) = root() else { return };
    for number in 3..20 {
        with(&store, json!({"WorkingDir": format!("/proc/self/fd/{number}")}));
        let ran = store.run("small:1", &[], &["ls", "../../../../../../etc/shadow"]);
        assert!(ran.code != 0 && ran.out.is_empty(), "{number}: {ran:?}");
    }
    with(&store, json!({"WorkingDir": "../../../../../../etc"}));
    let ran = store.sh("small:1", &[], "pwd; grep -c alice passwd");
    assert!(ran.code == 125 || ran.out == "/etc\n1\n", "{ran:?}");
}

/// When the runtime gets SIGTERM, it sends the image's stop signal to the command.
#[test]
fn sigterm_becomes_the_images_stop_signal() {
    everywhere(|store| {
        for (signal, name) in [
            ("SIGUSR1", "USR1"),
            ("10", "USR1"),
            ("INT", "INT"),
            ("SIGRTMIN+3", "37"), // systemd's
            ("37", "37"),
        ] {
            with(store, json!({"StopSignal": signal}));
            let script = format!(
                "trap 'exit 9' {name}; trap 'exit 8' TERM; echo ready; while :; do sleep 0.05; done"
            );
            let mut running = store.start("small:1", &[], &["sh", "-c", &script]);
            running.wait_for("ready");
            running.signal(Signal::SIGTERM);
            running.end().exits(9);
        }
    });
}

#[test]
fn a_configuration_with_an_invalid_value_is_refused() {
    let Some(store) = root() else { return };
    for (config, word) in [
        (json!({"StopSignal": "SIGNOSUCH"}), "SIGNOSUCH"),
        (json!({"StopSignal": "99"}), "99"),
        (json!({"StopSignal": "SIGRTMIN+40"}), "SIGRTMIN+40"),
        (json!({"Env": ["A\u{0}B=1"]}), "A"),
        (json!({"WorkingDir": "/a\u{0}b"}), "/a"),
    ] {
        with(&store, config);
        let ran = store.run("small:1", &[], &["echo", "it runs"]);
        assert_eq!(ran.exits(125).out, "", "{ran:?}");
        ran.complains(word);
        assert!(!ran.err.contains("panic"), "{}", ran.err);
    }
}

#[test]
fn a_container_of_an_image_has_its_own_namespaces() {
    everywhere(|store| {
        with(store, json!({}));
        let running = store.start("small:1", &[], &["sleep", "100"]);
        let own = host::own_namespaces(running.pid);
        for kind in ["cgroup", "ipc", "mnt", "pid", "uts"] {
            assert!(own.iter().any(|own| own == kind), "{kind}: {own:?}");
        }
    });
}

#[test]
fn an_image_for_another_architecture_runs_with_a_warning() {
    let Some(store) = root() else { return };
    let mut layout = Layout::new();
    let mut configuration = image::configuration(&[tiny()], &json!({}));
    configuration["architecture"] = json!("s390x");
    let config = layout.blob(image::CONFIG, configuration.to_string().as_bytes());
    let layer = layout.blob(Packed::Plain.media_type(), &tiny());
    let manifest = json!({"schemaVersion": 2, "mediaType": image::MANIFEST, "config": config, "layers": [layer]});
    layout.list("small:1", image::MANIFEST, manifest.to_string().as_bytes());
    store.load(layout.tar());
    let ran = store.run("small:1", &[], &["echo", "it runs"]);
    assert_eq!(ran.exits(0).out, "it runs\n");
    ran.complains(&format!(
        "is for s390x, and this machine is {}",
        image::architecture()
    ));
}
