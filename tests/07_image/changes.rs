//! `diff` lists the changes of a container, and `--commit` keeps them.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use kiste_tests::Tree;
use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::Layout;
use serde_json::json;

use crate::minimal_layer::{minimal_archive, minimal_layer};
use crate::test_store::{as_root_and_as_user, root};

fn layer_with_data() -> Vec<u8> {
    minimal_archive()
        .with(Entry::dir("data"))
        .with(Entry::file("data/changed", "x"))
        .with(Entry::file("data/gone", "x"))
        .with(Entry::file("data/kept", "x"))
        .with(Entry::dir("data/old-dir"))
        .with(Entry::file("data/old-dir/a", "x"))
        .with(Entry::dir("data/remade"))
        .with(Entry::file("data/remade/a", "x"))
        .end()
}

const CHANGE_DATA: &str = "cd /data; echo y >> changed; rm gone; rm -r old-dir; rm -r remade; mkdir remade; echo b > remade/b; \
                      mkdir new; echo n > new/file; chown 33:34 new/file; chmod 4755 new/file; ln new/file new/link; \
                      ln -s /etc new/symlink; mkfifo new/fifo";

#[test]
fn diff_lists_the_changes_of_a_running_container() {
    as_root_and_as_user(|store| {
        store.import(layer_with_data(), "small:1");
        let script = format!("{CHANGE_DATA}; echo ready; exec sleep 100");
        let mut running = store.start("small:1", &[], &["sh", "-c", &script]);
        running.wait_for("ready");
        let id = store.names_in("containers").remove(0);
        let ran = store.call(&["diff", &id]);
        let mut lines: Vec<_> = ran.exits(0).out.lines().collect();
        lines.sort_by_key(|line| &line[2..]);
        let expected = [
            "C /data",
            "C /data/changed",
            "D /data/gone",
            "A /data/new",
            "A /data/new/fifo",
            "A /data/new/file",
            "A /data/new/link",
            "A /data/new/symlink",
            "D /data/old-dir",
            "C /data/remade",
            "D /data/remade/a",
            "A /data/remade/b",
        ];
        assert_eq!(lines, expected);
        drop(running);
        store.call(&["diff", &id]).exits(1).assert_stderr_contains(&id);
        store.call(&["diff", "nosuch"]).exits(1).assert_stderr_contains("nosuch");
        store.call(&["diff", "../../etc"]).exits(2);
    });
}

#[test]
fn diff_lists_the_changes_of_an_images_top_layer() {
    as_root_and_as_user(|store| {
        let layer = Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::file("data/x", "x"))
            .with(Entry::whiteout("etc/group"))
            .with(Entry::file("etc/passwd", "root:x:0:0::/:\n"))
            .end();
        store.load_on_minimal_layer(&[layer]);
        let ran = store.call(&["diff", "small:1"]);
        let mut lines: Vec<_> = ran.exits(0).out.lines().collect();
        lines.sort_by_key(|line| &line[2..]);
        assert_eq!(
            lines,
            ["A /data", "A /data/x", "C /etc", "D /etc/group", "C /etc/passwd"]
        );
    });
}

#[test]
fn commit_adds_a_layer_that_the_next_run_sees() {
    as_root_and_as_user(|store| {
        let id = store.import(layer_with_data(), "small:1");
        let script = format!("{CHANGE_DATA}; exit 3");
        store.sh("small:1", &["--commit", "small:2"], &script).exits(3);
        let list_data = "cd /data; cat changed new/link; ls; ls remade; stat -c '%u:%g %a %h' new/file; readlink new/symlink";
        store
            .sh("small:2", &[], list_data)
            .assert_stdout("xy\nn\nchanged\nkept\nnew\nremade\nb\n33:34 4755 2\n/etc");
        store
            .sh("small:1", &[], "ls /data")
            .assert_stdout("changed\ngone\nkept\nold-dir\nremade");
        assert_eq!(store.names_in("layers").len(), 2);
        let id_of = |name: &str| {
            store.images().into_iter().find(|image| image.name == name).unwrap().id
        };
        assert!(id_of("small:1") == id && id_of("small:2") != id);
        assert_eq!(store.names_in("containers"), [""; 0]);
        // A second commit adds another layer.
        store.sh("small:2", &["--commit", "small:3"], "rm -r /data").exits(0);
        store.run("small:3", &[], &["test", "-e", "/data"]).exits(1);
        assert_eq!(store.names_in("layers").len(), 3);
    });
}

#[test]
fn a_committed_image_is_saved_and_loaded_like_any_other() {
    as_root_and_as_user(|store| {
        let config = json!({"Env": ["A=1"], "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo $A"], "Labels": {"k": "v"}});
        let mut layout = Layout::new();
        layout.image(
            "small:1",
            &[layer_with_data()],
            kiste_tests::image::Compression::Gzip,
            &config,
        );
        store.load(layout.tar());
        store.run("small:1", &["--commit", "small:2"], &[CHANGE_DATA]).exits(0);
        store.run("small:2", &[], &[]).assert_stdout("1");
        let seen = store.tree_in_container("small:2", "/data");
        let file = store.dir().join("saved.tar");
        store.call(&["save", "small:2", "-o", file.to_str().unwrap()]).exits(0);
        for name in ["small:1", "small:2"] {
            store.call(&["rmi", name]).exits(0);
        }
        store
            .call(&["gc", "--run-dir", store.fixture().run_dirs().to_str().unwrap()])
            .exits(0);
        store.assert_empty("rmi");
        store
            .call(&["load", "-i", file.to_str().unwrap()])
            .assert_stdout("Loaded small:2");
        store.tree_in_container("small:2", "/data").assert_equal(&seen);
        let history = store.call(&["history", "small:2", "--format", "json"]);
        let history: Vec<serde_json::Value> =
            serde_json::from_str(&history.exits(0).out).unwrap();
        assert_eq!(history.len(), 2, "{history:?}");
    });
}

/// The files below a mount point do not belong to the image. The committed image has
/// only the empty mount points.
#[test]
fn mounts_are_not_committed() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        store.let_others_enter();
        let volume = format!("{}:/volume", store.dir().display());
        let options = ["-v", &volume, "--tmpfs", "/memory", "--commit", "small:2"];
        store
            .sh("small:1", &options, "touch /memory/x /dev/shm/x; echo x > /made")
            .exits(0);
        store
            .sh("small:2", &[], "ls /volume /memory; cat /made; ls /dev | grep -c null")
            .exits(0);
        let out =
            store.sh("small:2", &[], "find /volume /memory -mindepth 1; cat /made");
        out.assert_stdout("x");
        let tree = Tree::of(&store.path().join("layers"));
        let committed: Vec<_> = tree
            .0
            .keys()
            .filter(|path| path.ends_with("dev/null") || path.ends_with("dev/shm/x"))
            .collect();
        assert!(committed.is_empty(), "{committed:?}");
    });
}

/// Docker, too, leaves out the mount points of /proc, /sys and /dev, and keeps those of
/// volumes.
#[test]
fn mount_points_that_the_runtime_makes_are_not_committed() {
    as_root_and_as_user(|store| {
        let removed = ["proc", "sys", "dev"].map(Entry::whiteout);
        let removed = removed.into_iter().fold(Archive::new(), Archive::with).end();
        store.load_on_minimal_layer(&[removed]);
        let options = ["--tmpfs", "/memory", "--commit", "small:2"];
        store.sh("small:1", &options, "echo x > /made; : > /empty").exits(0);
        let mut lines: Vec<String> = Vec::new();
        let ran = store.call(&["diff", "small:2"]);
        lines.extend(ran.exits(0).out.lines().map(String::from));
        lines.sort();
        assert_eq!(lines, ["A /empty", "A /made", "A /memory"]);
        store.run("small:2", &[], &["cat", "/made"]).assert_stdout("x");
    });
}

#[test]
fn a_command_that_fails_to_start_is_not_committed() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        store.run("small:1", &["--commit", "small:2"], &["nosuch"]).exits(127);
        assert_eq!(store.names(), ["small:1"]);
    });
}

#[test]
fn a_commit_to_a_name_in_use_keeps_the_old_image_for_its_container() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let mut running = store.start(
        "small:1",
        &[],
        &["sh", "-c", "echo ready; read line; cat /made || exit 5"],
    );
    running.wait_for("ready");
    store.sh("small:1", &["--commit", "small:1"], "echo new > /made").exits(0);
    store.gc().exits(0);
    running.end().exits(5);
    store.run("small:1", &[], &["cat", "/made"]).assert_stdout("new");
}

#[test]
fn times_modes_and_unusual_names_are_also_committed() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let script = "mkdir /data && cd /data && touch -d @1234567 old && touch 'new\nline' 'caf\u{e9}' .wh-not && mkdir sticky && chmod 1777 sticky \
                  && dd if=/dev/zero of=sparse bs=1 count=1 seek=50M 2>/dev/null && mknod null c 1 3 && ln -s x link";
    store.sh("small:1", &["--commit", "small:2"], script).exits(0);
    let tree = store.tree_in_container("small:2", "/data");
    assert_eq!(
        (tree.at("old").mtime.0, tree.at("sticky").mode, tree.at("null").device),
        (1_234_567, 0o1777, (1, 3))
    );
    assert_eq!(tree.at("sparse").size, (50 << 20) + 1);
    assert!(tree.has("new\nline") && tree.has("caf\u{e9}") && tree.has(".wh-not"));
}

/// Files that no layer can have are left out, and do not lose the others.
#[test]
fn a_commit_keeps_all_files_but_those_that_a_layer_cannot_have() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let script = "mkdir /data && cd /data && echo x > kept && touch .wh.x .wh. && mkdir .wh.d && touch .wh.d/y \
                      && n=$(printf %0200d 0) && n=$n/$n/$n/$n/$n/$n/$n/$n/$n/$n && mkdir -p $n && cd $n && echo y > kept \
                      && mkdir -p $n && cd $n && echo z > deepest && mkdir -p $n";
        let ran = store.sh("small:1", &["--commit", "small:2"], script);
        ran.exits(0)
            .assert_stderr_contains("warning: 3 files or directories are left out")
            .assert_stderr_contains("the first: \"/data/.wh.\"")
            .assert_stderr_contains("warning: 1 files or directories are left out")
            .assert_stderr_contains("the longest path has 4095 bytes");
        let tree = store.tree_in_container("small:2", "/data");
        let n = vec!["0".repeat(200); 10].join("/");
        assert!(tree.has("kept") && tree.has(format!("{n}/kept")), "{tree:#?}");
        assert!(!tree.0.keys().any(|it| it.to_string_lossy().contains(".wh.")));
        let deepest = format!("{n}/{n}");
        assert!(tree.has(format!("{deepest}/deepest")));
        assert!(!tree.has(format!("{deepest}/{}", "0".repeat(200))));
    });
}

/// A socket is in no archive, so its second name is no hard link to an entry.
#[test]
fn a_commit_leaves_out_a_socket_by_all_its_names() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let script = "mkdir /data; echo x > /data/kept; echo ready; read line";
    let options = ["--commit", "small:2"];
    let mut running = store.start("small:1", &options, &["sh", "-c", script]);
    running.wait_for("ready");
    let data = PathBuf::from(format!("/proc/{}/root/data", running.pid));
    let _socket = UnixListener::bind(data.join("a.sock")).unwrap();
    fs::hard_link(data.join("a.sock"), data.join("b.sock")).unwrap();
    running.end().exits(1);
    store.run("small:2", &[], &["ls", "/data"]).assert_stdout("kept");
}

/// Many systems let a process have 1024 files open. An image may have 500 layers, and a
/// container directories of any depth.
#[test]
fn diff_has_each_layer_open_once_and_one_directory_of_the_container() {
    let Some(store) = root() else { return };
    let layer = |n: usize| Archive::new().with(Entry::file(format!("{n}"), "x")).end();
    let layers: Vec<_> = (0..30).map(layer).collect();
    store.load_on_minimal_layer(&layers);
    let script = "i=0; mkdir /deep; cd /deep; while [ $i != 2500 ]; do mkdir d; cd d; i=$((i + 1)); done; \
                  echo ready; read line";
    let mut running = store.start("small:1", &[], &["sh", "-c", script]);
    running.wait_for("ready");
    let store_path = store.path();
    let options = ["--store", store_path.to_str().unwrap()];
    let few_files = ["sh", "-c", "ulimit -Sn 50 && exec \"$@\"", "sh"];
    let id = store.names_in("containers").remove(0);
    let diff = |of: &str| {
        let arguments = [&["diff"], &options[..], &[of]].concat();
        store.fixture().call_under(&few_files, arguments)
    };
    assert_eq!(diff("small:1").exits(0).out, "A /29\n");
    let ran = diff(&id);
    assert!(
        ran.exits(0).out.starts_with("A /deep\nA /deep/d\nA /deep/d/d\n"),
        "{ran:?}"
    );
    // The longest path that a call takes has 4095 bytes.
    assert_eq!(ran.out.lines().count(), 1 + 2046, "{}", ran.err);
    ran.assert_stderr_contains("too long to look into it");
    running.end();
}
