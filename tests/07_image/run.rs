//! A container of an image has shared layers that never change, and its own layer on
//! top.

use std::fs;
use std::path::Path;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::tree::Tree;
use kiste_tests::{eventually, host};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{
    TestStore, as_root_and_as_user, root, with_ranges, without_ranges,
};

#[test]
fn files_written_in_one_run_are_gone_in_the_next() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let layer = Tree::of(&store.layer(&[minimal_layer()]));
        let script = "ls /made; touch /made; echo changed > /etc/passwd; rm /etc/group; chmod 700 /home; mkdir /home/x; ls /made";
        for _ in 0..2 {
            store
                .sh("small:1", &[], script)
                .exits(0)
                .assert_stderr_contains("No such file");
        }
        store
            .sh("small:1", &[], "grep -c alice /etc/passwd; ls /etc; ls /home")
            .assert_stdout("1\ngroup\npasswd\nalice");
        Tree::of(&store.layer(&[minimal_layer()])).assert_equal(&layer);
        assert_eq!(store.names_in("containers"), [""; 0]);
    });
}

#[test]
fn the_root_of_a_container_is_its_own_overlay() {
    as_root_and_as_user(|store| {
        store
            .load_on_minimal_layer(&[Archive::new().with(Entry::file("x", "x")).end()]);
        let running = store.start("small:1", &[], &["sleep", "100"]);
        let mount = host::mount_at(running.pid, "/").unwrap();
        assert!(mount.contains(" - overlay "), "{mount}");
        assert_eq!(store.names_in("containers").len(), 1);
        let is_ours = |line: &String| line.contains(store.dir().to_str().unwrap());
        assert!(
            !host::mounts().iter().any(is_ours),
            "the host does not see the overlay"
        );
        drop(running);
        eventually(|| store.names_in("containers").is_empty().then_some(()))
            .expect("the upper layer is removed");
    });
}

#[test]
fn two_containers_of_one_image_do_not_see_each_other() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let script =
            "touch /$0 && echo ready && read line; ls /one /two 2>/dev/null; exit 0";
        let mut one = store.start("small:1", &[], &["sh", "-c", script, "one"]);
        let mut two = store.start("small:1", &[], &["sh", "-c", script, "two"]);
        one.wait_for("ready");
        two.wait_for("ready");
        assert_eq!(
            (one.end().exits(0).out.as_str(), two.end().exits(0).out.as_str()),
            ("\n/one\n", "\n/two\n")
        );
    });
}

#[test]
fn a_read_only_root_cannot_be_written_anywhere() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let script = "for at in / /etc /tmp /home/alice; do touch $at/made 2>/dev/null && echo $at; done; echo > /etc/passwd || echo refused";
        let ran = store.sh("small:1", &["--read-only"], script);
        ran.assert_stdout("refused").assert_stderr_contains("Read-only file system");
        store
            .sh(
                "small:1",
                &["--read-only", "--tmpfs", "/tmp"],
                "touch /tmp/made && ls /tmp",
            )
            .assert_stdout("made");
        // A mount point that is not in the image is created in the read-only root.
        let volume = format!("{}:/new/place", store.dir().display());
        store.let_others_enter();
        store
            .sh("small:1", &["--read-only", "-v", &volume], "ls /new")
            .assert_stdout("place");
    });
}

#[test]
fn a_second_run_unpacks_nothing() {
    as_root_and_as_user(|store| {
        store
            .load_on_minimal_layer(&[Archive::new().with(Entry::file("x", "x")).end()]);
        let inodes = || {
            let names = store.names_in("layers");
            let inode = |name: &String| {
                use std::os::unix::fs::MetadataExt;
                let metadata =
                    fs::metadata(store.path().join("layers").join(name)).unwrap();
                (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
            };
            names.iter().map(inode).collect::<Vec<_>>()
        };
        store.run("small:1", &[], &["true"]).exits(0);
        let before = inodes();
        // The archives of the layers are not read either.
        for name in store.names_in("blobs/sha256") {
            let blob = store.path().join("blobs/sha256").join(name);
            if fs::metadata(&blob).unwrap().len() > 100_000 {
                fs::remove_file(blob).unwrap();
            }
        }
        store.run("small:1", &[], &["cat", "/x"]).assert_stdout("x");
        assert_eq!(inodes(), before);
    });
}

#[test]
fn an_unknown_image_is_named_with_a_hint() {
    as_root_and_as_user(|store| {
        for name in ["small:1", "small", "host.example/a/b:c"] {
            let ran = store.run(name, &[], &["echo", "it runs"]);
            ran.exits(125)
                .assert_stderr_contains(name)
                .assert_stderr_contains("hint: ");
            assert_eq!(ran.out, "");
        }
        store.import(minimal_layer(), "small:1");
        store
            .run("small:2", &[], &["true"])
            .exits(125)
            .assert_stderr_contains("small:2");
        store
            .run("small", &[], &["true"])
            .exits(125)
            .assert_stderr_contains("small:latest");
    });
}

#[test]
fn an_image_and_a_root_file_system_exclude_each_other() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let rootfs = store.fixture().rootfs().to_str().unwrap().to_owned();
    let ran = store.run("small:1", &["--rootfs", &rootfs], &["true"]);
    ran.exits(2).assert_stderr_contains("--rootfs").assert_stderr_contains("--image");
    for option in [["--entrypoint", "/bin/sh"], ["--commit", "x"]] {
        store
            .fixture()
            .run(&option, &["echo", "it runs"])
            .exits(2)
            .assert_stderr_contains("--rootfs")
            .assert_stderr_contains(option[0]);
        store
            .call_exactly(&["run", option[0], option[1], "echo", "it runs"])
            .exits(2)
            .assert_stderr_contains("--image");
    }
    let ran = store.call_exactly(&["run", "--rootfs", &rootfs]);
    ran.exits(2).assert_stderr_contains("COMMAND");
}

#[test]
fn an_image_is_run_by_its_id_or_by_the_beginning_of_the_id() {
    let Some(store) = root() else { return };
    let id = store.import(minimal_layer(), "small:1");
    store.run(&id, &[], &["echo", "it runs"]).assert_stdout("it runs");
    store.run(&id[7..], &[], &["echo", "it runs"]).assert_stdout("it runs");
    store.run(&id[7..19], &[], &["echo", "it runs"]).assert_stdout("it runs");
}

#[test]
fn with_userns_auto_the_container_sees_the_images_owners() {
    let Some(store) = root() else { return };
    let layer = Archive::new()
        .with(Entry::dir("data"))
        .with(Entry::file("data/x", "x").mode(0o640).owner(1000, 1001))
        .with(Entry::dir("data/d").mode(0o700).owner(1000, 1001));
    store.load_on_minimal_layer(&[layer.end()]);
    let auto = ["--userns", "auto"];
    let ran = store.sh("small:1", &auto, "true");
    if ran.lacks_idmapped_mounts() {
        return;
    }
    let script = "stat -c '%u:%g' / /etc/passwd /data/x; echo more >> /data/x; chown 33:34 /data/d; stat -c %u:%g /data/d; \
                  touch /made; stat -c %u:%g /made; rm /etc/passwd && echo gone";
    store
        .sh("small:1", &auto, script)
        .assert_stdout("0:0\n0:0\n1000:1001\n33:34\n0:0\ngone");
    store
        .sh(
            "small:1",
            &[&auto[..], &["-u", "alice"]].concat(),
            "cat /data/x; echo mine > /data/d/y && stat -c %u:%g /data/d/y",
        )
        .assert_stdout("x1000:1001");
    // Two containers have different ids outside, and share the layers.
    let running = [0, 1].map(|_| store.start("small:1", &auto, &["sleep", "100"]));
    let uids = running.each_ref().map(|it| host::status_field(it.pid, "Uid"));
    assert!(uids[0] != uids[1] && !uids[0].starts_with('0'), "{uids:?}");
    let layer = Tree::of(&store.layer(&[minimal_layer()]));
    assert_eq!(layer.at("etc/passwd").owner, (0, 0));
}

#[test]
fn the_owner_of_a_file_of_the_image_can_change_it() {
    as_root_and_as_user(|store| {
        let layer =
            Archive::new().with(Entry::dir("data").mode(0o755).owner(1000, 1001)).with(
                Entry::file("data/x", "x")
                    .mode(0o600)
                    .owner(1000, 1001)
                    .xattr("user.kept", "1"),
            );
        store.load_on_minimal_layer(&[layer.end()]);
        let script = "echo y >> /data/x && cat /data/x && mv /data/x /data/z && mkdir /data/d && rm /data/z && ls /data";
        store.sh("small:1", &["-u", "alice"], script).assert_stdout("xy\nd");
        store
            .sh("small:1", &["-u", "bin"], "cat /data/x")
            .exits(1)
            .assert_stderr_contains("Permission denied");
        store
            .sh(
                "small:1",
                &[],
                "mv /data /moved && ls /moved; rm -r /moved /home /etc && ls /",
            )
            .exits(0);
    });
}

#[test]
fn an_image_runs_without_ranges_of_ids() {
    let Some(store) = without_ranges() else { return };
    let file = store.file("tiny.tar", minimal_layer());
    store.call(&["import", file.to_str().unwrap(), "small:1"]).exits(0);
    let ran =
        store.sh("small:1", &[], "id -u; touch /made && rm /etc/group && ls /made");
    assert_eq!(ran.exits(0).out, "0\n/made\n");
    store.sh("small:1", &[], "test -e /made").exits(1);
    assert_eq!(store.names_in("containers"), [""; 0]);
}

#[test]
fn no_file_of_a_users_store_belongs_to_the_hosts_root() {
    let Some(store) = with_ranges() else { return };
    let layer = Archive::new()
        .with(Entry::file("x", "x").owner(1000, 1001))
        .with(Entry::file("y", ""));
    store.load_on_minimal_layer(&[layer.end()]);
    store
        .sh("small:1", &["--commit", "small:2"], "touch /made; chown 33:34 /made")
        .exits(0);
    let running =
        store.start("small:2", &[], &["sh", "-c", "touch /new; exec sleep 100"]);
    let tree = Tree::of(&store.path());
    let owned_by_root: Vec<_> = tree
        .0
        .iter()
        .filter(|(_, node)| node.owner.0 == 0 || node.owner.1 == 0)
        .collect();
    assert!(owned_by_root.is_empty(), "{owned_by_root:#?}");
    drop(running);
}

/// Other users of the host must not reach a set-user-ID program in the store.
#[test]
fn other_users_cannot_enter_the_store() {
    as_root_and_as_user(|store| {
        store.load_on_minimal_layer(&[Archive::new()
            .with(Entry::file("su", "").mode(0o4755))
            .end()]);
        let running = store.start("small:1", &[], &["sleep", "100"]);
        let tree = Tree::of(&store.path());
        for path in [".", "blobs", "blobs/sha256", "layers", "containers", "tmp"] {
            assert_eq!(
                (tree.at(path).kind, tree.at(path).mode),
                ("dir", 0o700),
                "{path}"
            );
        }
        for (path, node) in tree.0.iter().filter(|(path, _)| {
            path.starts_with("blobs") || path.components().count() == 1
        }) {
            assert_eq!(node.mode & 0o077, 0, "{}: {node:?}", path.display());
        }
        drop(running);
    });
}

#[test]
fn gc_removes_the_container_of_a_killed_runtime() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let running =
            store.start("small:1", &[], &["sh", "-c", "touch /made; exec sleep 100"]);
        let pid = running.pid;
        running.kill_runtime();
        host::assert_exits(pid);
        assert_eq!(store.names_in("containers").len(), 1);
        let living = store.start("small:1", &[], &["sleep", "100"]);
        store.gc().exits(0);
        assert_eq!(
            store.names_in("containers").len(),
            1,
            "only the container that is alive"
        );
        assert!(
            host::is_alive(living.pid)
                && Path::new(&format!("/proc/{}/root/bin/sh", living.pid)).exists()
        );
        drop(living);
        store.run("small:1", &[], &["test", "-e", "/made"]).exits(1);
    });
}

#[test]
fn a_failed_start_leaves_no_files() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        store
            .run("small:1", &[], &["nosuch"])
            .exits(127)
            .assert_stderr_contains("nosuch");
        store.run("small:1", &[], &["/etc/passwd"]).exits(126);
        store
            .run("small:1", &["-v", "/nonexistent:/x"], &["true"])
            .exits(125)
            .assert_stderr_contains("/nonexistent");
        store
            .run("small:1", &["-u", "nosuch"], &["true"])
            .exits(125)
            .assert_stderr_contains("nosuch");
        store.run("small:1", &["--commit", "UPPER"], &["true"]).exits(2);
        assert_eq!(store.names_in("containers"), [""; 0]);
        assert_eq!(store.names_in("tmp"), [""; 0]);
        assert!(!store.fixture().run_dirs().exists());
    });
}

#[test]
fn the_parent_of_the_root_is_the_root_itself() {
    let check = |store: &TestStore, options: &[&str]| {
        store.import(minimal_layer(), "small:1");
        let ran = store.sh(
            "small:1",
            options,
            "stat -c %d:%i / /..; cat /proc/self/mountinfo",
        );
        let lines: Vec<&str> = ran.exits(0).out.lines().collect();
        assert_eq!(lines[0], lines[1], "{options:?}: /.. is another directory than /");
        let at_root =
            lines[2..].iter().filter(|line| line.split(' ').nth(4) == Some("/"));
        assert_eq!(at_root.count(), 1, "{options:?}: {}", ran.out);
    };
    as_root_and_as_user(|store| check(store, &[]));
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let tried = store.run("small:1", &["--userns", "auto"], &["true"]);
    if !tried.lacks_idmapped_mounts() {
        check(&store, &["--userns", "auto"]);
    }
}
