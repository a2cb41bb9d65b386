//! The configuration of an image says how its containers are run. The command line
//! overrides it.

use kiste_tests::archive::Entry;
use kiste_tests::host;
use kiste_tests::image::{self, Compression, Layout};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::minimal_layer::{minimal_archive, minimal_layer};
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Loads the smallest image with this configuration.
#[track_caller]
fn load_with_config(store: &TestStore, config: Value) {
    let mut layout = Layout::new();
    layout.image("small:1", &[minimal_layer()], Compression::Plain, &config);
    store.load(layout.tar());
}

#[test]
fn the_environment_is_the_images_overridden_by_the_command_line() {
    as_root_and_as_user(|store| {
        load_with_config(
            store,
            json!({"Env": ["A=image", "B=image", "PATH=/bin:/odd", "EMPTY=", "EQUALS=a=b"]}),
        );
        let script = "echo $A $B $PATH [$EMPTY] $EQUALS";
        store
            .sh("small:1", &["-e", "B=line", "-e", "C=line"], &format!("{script} $C"))
            .assert_stdout("image line /bin:/odd [] a=b line");
        let variables =
            store.run("small:1", &[], &["env"]).exits(0).out.lines().count();
        let default_variables = {
            load_with_config(store, json!({}));
            store.run("small:1", &[], &["env"]).exits(0).out.lines().count()
        };
        assert_eq!(
            variables,
            default_variables + 4,
            "PATH is there anyway, and nothing of the host's is"
        );
    });
}

#[test]
fn the_command_is_found_in_the_images_path() {
    let Some(store) = root() else { return };
    let odd = Entry::file("home/odd", "#!/bin/sh\necho odd $1\n").mode(0o755);
    let tar = minimal_archive().with(odd).end();
    let mut layout = Layout::new();
    let config = json!({"Env": ["PATH=/odd:/home"], "Entrypoint": ["/bin/env"]});
    layout.image("small:1", &[tar], Compression::Plain, &config);
    store.load(layout.tar());
    assert!(store.run("small:1", &[], &[]).exits(0).out.contains("PATH=/odd:/home\n"));
    store.run("small:1", &["--entrypoint", "odd"], &["x"]).assert_stdout("odd x");
    store
        .run("small:1", &["--entrypoint", "sh"], &["x"])
        .exits(127)
        .assert_stderr_contains("sh");
}

#[test]
fn entrypoint_and_command_are_combined_as_docker_does() {
    as_root_and_as_user(|store| {
        for (entrypoint, cmd, arguments, printed) in [
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
            load_with_config(store, json!({"Entrypoint": entrypoint, "Cmd": cmd}));
            store.run("small:1", &[], arguments).assert_stdout(printed);
        }
    });
}

#[test]
fn the_entrypoint_option_replaces_the_images_entrypoint_and_command() {
    as_root_and_as_user(|store| {
        load_with_config(
            store,
            json!({"Entrypoint": ["echo", "entry"], "Cmd": ["cmd"]}),
        );
        store
            .run("small:1", &["--entrypoint", "/bin/echo"], &["line"])
            .assert_stdout("line");
        store.run("small:1", &["--entrypoint", "/bin/echo"], &[]).assert_stdout("");
        store
            .run("small:1", &["--entrypoint", "echo"], &["found"])
            .assert_stdout("found");
        // An empty --entrypoint removes the entrypoint of the image.
        store
            .run("small:1", &["--entrypoint", ""], &["echo", "line"])
            .assert_stdout("line");
        store
            .run("small:1", &["--entrypoint", "nosuch"], &[])
            .exits(127)
            .assert_stderr_contains("nosuch");
    });
}

#[test]
fn an_image_without_a_command_needs_one_on_the_command_line() {
    as_root_and_as_user(|store| {
        load_with_config(store, json!({}));
        let ran = store.run("small:1", &[], &[]);
        assert!(
            [2, 125].contains(&ran.code) && ran.err.to_lowercase().contains("command"),
            "{ran:?}"
        );
    });
}

#[test]
fn the_images_user_is_looked_up_in_the_images_files() {
    as_root_and_as_user(|store| {
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
            load_with_config(store, json!({"User": user}));
            store
                .sh("small:1", &[], "echo $(id -u):$(id -g):$(id -G)")
                .assert_stdout(ids);
        }
        load_with_config(store, json!({"User": "alice"}));
        store
            .sh("small:1", &["-u", "bin"], "id -u; echo $HOME")
            .assert_stdout("1\n/bin");
        store.sh("small:1", &[], "echo $HOME").assert_stdout("/home/alice");
        for user in
            ["nobody-here", "4294967295", "-1", "1:2:3", "99999999999", "alice:nogroup"]
        {
            let part = if user == "alice:nogroup" { "nogroup" } else { user };
            load_with_config(store, json!({"User": user}));
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
    as_root_and_as_user(|store| {
        load_with_config(store, json!({"WorkingDir": "/etc"}));
        store.run("small:1", &[], &["pwd"]).assert_stdout("/etc");
        store.run("small:1", &["-w", "/home"], &["pwd"]).assert_stdout("/home");
        load_with_config(store, json!({"WorkingDir": "/new/place"}));
        store.run("small:1", &[], &["pwd"]).assert_stdout("/new/place");
        load_with_config(store, json!({"WorkingDir": ""}));
        store.run("small:1", &[], &["pwd"]).assert_stdout("/");
    });
}

/// The image's user may not enter a working directory such as /root. Other runtimes
/// start the command in it, too.
#[test]
fn a_command_starts_in_a_directory_that_only_root_may_enter() {
    as_root_and_as_user(|store| {
        let tar = minimal_archive().with(Entry::dir("private").mode(0o700)).end();
        let mut layout = Layout::new();
        for (name, workdir) in [("small:1", "/private"), ("small:2", "/bin/../private")]
        {
            let config = json!({"WorkingDir": workdir, "User": "alice"});
            layout.image(name, std::slice::from_ref(&tar), Compression::Plain, &config);
        }
        store.load(layout.tar());
        for image in ["small:1", "small:2"] {
            store.run(image, &[], &["echo", "it runs"]).assert_stdout("it runs");
        }
        // The command has no more rights than its user.
        let ran = store.run("small:1", &[], &["ls", "."]);
        assert_ne!(ran.code, 0, "{ran:?}");
        // A missing directory is made, and belongs to root, as in Docker.
        let show = "pwd; stat -c %u:%a .";
        store.sh("small:1", &["-w", "/new/dir"], show).assert_stdout("/new/dir\n0:755");
    });
}

#[test]
fn a_program_in_a_directory_that_its_user_cannot_enter_gets_no_hint_about_its_mode() {
    let Some(store) = root() else { return };
    let tar = minimal_archive().with(Entry::dir("./").mode(0o700)).end();
    let mut layout = Layout::new();
    layout.image("small:1", &[tar], Compression::Plain, &json!({"User": "alice"}));
    store.load(layout.tar());
    let ran = store.run("small:1", &[], &["/bin/echo"]);
    ran.exits(126).assert_stderr_contains("may not enter a directory above it");
    assert!(!ran.err.contains("chmod"), "{}", ran.err);
}

#[test]
fn the_directories_of_volumes_are_created() {
    as_root_and_as_user(|store| {
        load_with_config(
            store,
            json!({"Volumes": {"/new/volume": {}, "other": {}, "/bin": {}}}),
        );
        let script = "ls -d /new/volume /other; touch /new/volume/x && echo written";
        store.sh("small:1", &[], script).assert_stdout("/new/volume\n/other\nwritten");
    });
}

/// CVE-2024-21626, with a working directory from an image's configuration.
#[test]
fn a_working_directory_outside_the_root_is_refused() {
    let Some(store) = root() else { return };
    for number in 3..20 {
        load_with_config(
            &store,
            json!({"WorkingDir": format!("/proc/self/fd/{number}")}),
        );
        let ran = store.run("small:1", &[], &["ls", "../../../../../../etc/shadow"]);
        assert!(ran.code != 0 && ran.out.is_empty(), "{number}: {ran:?}");
    }
    load_with_config(&store, json!({"WorkingDir": "../../../../../../etc"}));
    let ran = store.sh("small:1", &[], "pwd; grep -c alice passwd");
    assert!(ran.code == 125 || ran.out == "/etc\n1\n", "{ran:?}");
}

/// When the runtime gets SIGTERM, it sends the image's stop signal to the command.
#[test]
fn sigterm_becomes_the_images_stop_signal() {
    as_root_and_as_user(|store| {
        for (signal, name) in [
            ("SIGUSR1", "USR1"),
            ("10", "USR1"),
            ("INT", "INT"),
            ("SIGRTMIN+3", "37"), // systemd's
            ("37", "37"),
        ] {
            load_with_config(store, json!({"StopSignal": signal}));
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
        load_with_config(&store, config);
        let ran = store.run("small:1", &[], &["echo", "it runs"]);
        assert_eq!(ran.exits(125).out, "", "{ran:?}");
        ran.assert_stderr_contains(word);
        assert!(!ran.err.contains("panic"), "{}", ran.err);
    }
}

#[test]
fn a_container_of_an_image_has_its_own_namespaces() {
    as_root_and_as_user(|store| {
        load_with_config(store, json!({}));
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
    let mut configuration = image::configuration(&[minimal_layer()], &json!({}));
    configuration["architecture"] = json!("s390x");
    let config = layout.blob(image::CONFIG, configuration.to_string().as_bytes());
    let layer = layout.blob(Compression::Plain.media_type(), &minimal_layer());
    let manifest = json!({"schemaVersion": 2, "mediaType": image::MANIFEST, "config": config, "layers": [layer]});
    layout.add_manifest("small:1", image::MANIFEST, manifest.to_string().as_bytes());
    store.load(layout.tar());
    let ran = store.run("small:1", &[], &["echo", "it runs"]);
    assert_eq!(ran.exits(0).out, "it runs\n");
    ran.assert_stderr_contains(&format!(
        "is for s390x, and this machine is {}",
        image::architecture()
    ));
}
