//! Images from umoci, buildah, skopeo and podman are loaded, and images that Kiste
//! saves are loaded by these programs. Each program has its own storage below the
//! test's directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};
use kiste_tests::{Ran, Tree, require_tool};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root};

/// Runs a bash script in the test's directory and in a new mount namespace. The script
/// must succeed.
#[track_caller]
fn run_script(store: &TestStore, script: &str) -> Ran {
    let text = format!("set -e -o pipefail; {script}");
    let ran = store.fixture().call_under(
        &["unshare", "--mount", "--propagation", "private", "bash", "-c", &text],
        [""; 0],
    );
    ran.exits(0);
    ran
}

/// Returns layers that have every kind of entry in /data.
fn layers_of_every_kind() -> Vec<Vec<u8>> {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let pieces: [(u64, &[u8]); 2] = [(4096, b"data"), (1 << 20, b"end")];
    let first = Archive::new()
        .with(Entry::dir("data").mode(0o1755).owner(3, 4).mtime(1_000_000_001))
        .with(
            Entry::file("data/plain", "plain")
                .owner(1000, 1001)
                .mode(0o640)
                .mtime(1_000_000_002),
        )
        .with(
            Entry::file("data/mighty", "x")
                .mode(0o6755)
                .owner(5, 6)
                .mtime_in_full("1234567.123456789"),
        )
        .with(
            Entry::file("data/capable", "x")
                .mode(0o755)
                .xattr("security.capability", capability)
                .xattr("user.a", "b"),
        )
        .with(
            Entry::hard_link("data/hard", "data/plain")
                .owner(1000, 1001)
                .mode(0o640)
                .mtime(1_000_000_002),
        )
        .with(
            Entry::symlink("data/symlink", "../etc/passwd")
                .owner(7, 8)
                .mtime(1_000_000_003),
        )
        .with(Entry::fifo("data/fifo").mode(0o622))
        .with(Entry::char_device("data/null", 1, 3).mode(0o666))
        .with(Entry::block_device("data/disk", 8, 1).owner(0, 6))
        .with(Entry::dir("data/long").pax("path", format!("data/{}", "l".repeat(120))))
        .with(
            Entry::file("data/long", "long")
                .pax("path", format!("data/{}/{}", "l".repeat(120), "m".repeat(200))),
        )
        .with(Entry::file("data/caf\u{e9}", "e"))
        .with(Entry::sparse_pax("1.0", "data/sparse", &pieces, 2 << 20))
        // This file has only one name, since overlayfs also counts the removed names of
        // the lower layer.
        .with(Entry::file("data/changed", "below"))
        .with(Entry::file("data/gone", "x"))
        .with(Entry::dir("data/hidden"))
        .with(Entry::file("data/hidden/x", "x"))
        .with(Entry::dir("data/remade").mode(0o700).owner(9, 9))
        .with(Entry::file("data/remade/old", "x"));
    let second = Archive::new()
        .with(Entry::dir("data").mode(0o1755).owner(3, 4).mtime(1_000_000_009))
        .with(Entry::whiteout("data/gone"))
        .with(Entry::whiteout("data/hidden"))
        .with(Entry::dir("data/remade").mode(0o750).owner(9, 9).mtime(77))
        .with(Entry::opaque("data/remade"))
        .with(Entry::file("data/remade/new", "new").mtime(78))
        .with(
            Entry::file("data/changed", "changed").owner(1, 1).mode(0o4711).mtime(79),
        );
    vec![minimal_layer(), first.end(), second.end()]
}

/// Unpacks an image's archive with umoci, and returns the files in /data.
#[track_caller]
fn unpack_with_umoci(store: &TestStore, archive: &Path, image: &str) -> Tree {
    let bundle = store.dir().join("bundle");
    let _ = fs::remove_dir_all(&bundle);
    let _ = fs::remove_dir_all(store.dir().join("for-umoci"));
    run_script(
        store,
        &format!(
            "mkdir for-umoci; tar -C for-umoci -xf {}; umoci unpack --image for-umoci:{image} bundle >&2",
            archive.display()
        ),
    );
    Tree::of(&bundle.join("rootfs/data"))
}

#[test]
fn a_container_sees_the_files_that_umoci_unpacks() {
    if !require_tool("umoci") {
        return;
    }
    let Some(store) = root() else { return };
    for packed in [Compression::Plain, Compression::Gzip] {
        let archive = store
            .file("rich.tar", Layout::of("1", &layers_of_every_kind(), packed).tar());
        let theirs = unpack_with_umoci(&store, &archive, "1");
        store.load(Layout::of("small:1", &layers_of_every_kind(), packed).tar());
        store.tree_in_container("small:1", "/data").assert_equal(&theirs);
    }
}

#[test]
fn umoci_unpacks_a_saved_image_to_the_same_files() {
    if !require_tool("umoci") {
        return;
    }
    as_root_and_as_user(|store| {
        let layers: Vec<Vec<u8>> = match store {
            TestStore::Root(_) => layers_of_every_kind(),
            // A user cannot create devices.
            TestStore::User(_) => vec![
                minimal_layer(),
                Archive::new()
                    .with(Entry::dir("data"))
                    .with(Entry::file("data/x", "x").owner(5, 6))
                    .end(),
            ],
        };
        store.load_on_minimal_layer(&layers[1..]);
        let script = "cd /data; echo more > new; chown 33:34 new; chmod 4750 new; mkdir d; ln new d/hard; ln -s x d/link; rm -f gone changed; mkfifo d/fifo";
        store.sh("small:1", &["--commit", "small:2"], script).exits(0);
        let file = store.dir().join("saved.tar");
        store.call(&["save", "small:2", "-o", file.to_str().unwrap()]).exits(0);
        let theirs = unpack_with_umoci(store, &file, &listed_name(store, &file));
        store.tree_in_container("small:2", "/data").assert_equal(&theirs);
    });
}

/// Returns the name that the index of an archive gives its first image.
fn listed_name(store: &TestStore, archive: &Path) -> String {
    let ran = run_script(store, &format!("tar -xOf {} index.json", archive.display()));
    let index: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let annotations = &index["manifests"][0]["annotations"];
    annotations["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned()
}

/// A shell script that creates files of every kind below $T, for an image that umoci or
/// buildah makes.
const CREATE_FILES: &str = "mkdir $T/data; cd $T/data; echo x > plain; chown 1000:1001 plain; cp plain mighty; chmod 6755 mighty; ln plain hard; \
    ln -s /etc symlink; chown -h 5:6 symlink; mkfifo fifo; mknod null c 1 3; truncate -s 3M sparse; echo end >> sparse; \
    mkdir -m 2770 dir; touch -d @1234567.123456789 dir/time; setfattr -n user.a -v b plain; setcap cap_net_bind_service+ep mighty; \
    mkdir -p gone/deep; echo x > gone/deep/file; mkdir remade; echo x > remade/old; touch -d @99.5 .";
/// A shell script that changes these files, for the next layer.
const CHANGE_FILES: &str = "cd $T/data; rm -r gone; rm -r remade; mkdir -m 711 remade; echo x > remade/new; echo more >> plain";

#[test]
fn kiste_and_umoci_unpack_an_umoci_image_alike() {
    if !require_tool("umoci") || !require_tool("setcap") || !require_tool("setfattr") {
        return;
    }
    let Some(store) = root() else { return };
    run_script(
        &store,
        &format!(
            "umoci init --layout made >&2; umoci new --image made:1 >&2; umoci unpack --image made:1 b1 >&2; \
             tar -C b1/rootfs -xf tiny.tar; T=$PWD/b1/rootfs; ({CREATE_FILES}); umoci repack --image made:1 b1 >&2; \
             umoci unpack --image made:1 b2 >&2; T=$PWD/b2/rootfs; ({CHANGE_FILES}); umoci repack --image made:1 b2 >&2; tar -C made -cf made.tar ."
        )
        .replace("umoci init", &format!("cp {} tiny.tar; umoci init", store.file("t.tar", minimal_layer()).display())),
    );
    let theirs = unpack_with_umoci(&store, &store.dir().join("made.tar"), "1");
    assert!(
        theirs.has("remade/new") && !theirs.has("gone") && theirs.at("hard").nlink == 2
    );
    let line = store.load(fs::read(store.dir().join("made.tar")).unwrap()).remove(0);
    store
        .tree_in_container(line.rsplit(' ').next().unwrap(), "/data")
        .assert_equal(&theirs);
}

/// Returns a command line of podman that has the test's own storage and cgroups.
fn podman(store: &TestStore, sub: &str) -> String {
    format!(
        "podman --root $PWD/pr --runroot $PWD/prr --tmpdir $PWD/pt --storage-driver vfs --cgroup-manager cgroupfs \
         --events-backend none --runtime runc {sub} {}",
        if sub == "run" {
            format!(
                "--rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --cgroup-parent /{}-podman",
                store.fixture().cgroup_parent()
            )
        } else {
            String::new()
        }
    )
}

/// Removes the cgroups that podman leaves below the cgroup of this test.
fn remove_cgroups(store: &TestStore) {
    let name = format!("{}-podman", store.fixture().cgroup_parent());
    for cgroup in kiste_tests::host::cgroups_named(&name) {
        let removed = Command::new("find")
            .arg(&cgroup)
            .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
            .status();
        assert!(removed.unwrap().success(), "{cgroup}");
    }
}

#[test]
fn kiste_and_umoci_unpack_a_buildah_image_alike() {
    if !["buildah", "umoci", "setcap", "setfattr"].into_iter().all(require_tool) {
        return;
    }
    let Some(store) = root() else { return };
    let tiny = store.file("t.tar", minimal_layer());
    let buildah = "buildah --root $PWD/pr --runroot $PWD/prr --storage-driver vfs";
    run_script(
        &store,
        &format!(
            "export TMPDIR=$PWD; c=$({buildah} from scratch); T=$({buildah} mount $c); tar -C $T -xf {tiny}; ({CREATE_FILES}); \
             {buildah} umount $c >&2; {buildah} config --env A=1 --cmd 'echo it runs' $c; {buildah} commit -q $c one >&2; \
             c=$({buildah} from one); T=$({buildah} mount $c); ({CHANGE_FILES}); {buildah} umount $c >&2; \
             {buildah} commit -q $c oci-archive:made.tar:made:1 >&2",
            tiny = tiny.display(),
        ),
    );
    let made = store.dir().join("made.tar");
    let line = store.load(fs::read(&made).unwrap()).remove(0);
    let image = line.rsplit(' ').next().unwrap().to_owned();
    let theirs = unpack_with_umoci(&store, &made, &listed_name(&store, &made));
    assert!(theirs.has("remade/new") && !theirs.has("gone"));
    store.tree_in_container(&image, "/data").assert_equal(&theirs);
    store.sh(&image, &[], "echo $A").assert_stdout("1");
}

#[test]
fn skopeo_copies_a_saved_image_which_loads_again() {
    if !require_tool("skopeo") {
        return;
    }
    as_root_and_as_user(|store| {
        store.load_on_minimal_layer(&[Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::file("data/x", "x").owner(5, 6).mode(0o4755))
            .end()]);
        let seen = store.tree_in_container("small:1", "/data");
        let file = store.dir().join("saved.tar");
        store.call(&["save", "small:1", "-o", file.to_str().unwrap()]).exits(0);
        store.call(&["rmi", "small:1"]).exits(0);
        for (number, to) in [
            "oci-archive:out.tar:small:1",
            "docker-archive:out.tar:small:1",
            "oci:out:small:1",
        ]
        .into_iter()
        .enumerate()
        {
            for from in ["oci-archive", "docker-archive"] {
                let compress = if number == 2 {
                    "--dest-compress --dest-compress-format zstd"
                } else {
                    ""
                };
                run_script(
                    store,
                    &format!(
                        "rm -rf out out.tar; export TMPDIR=$PWD; skopeo --insecure-policy copy {compress} {from}:saved.tar {to} >&2; chmod -R a+rX out* "
                    ),
                );
                let out = if number == 2 { "out" } else { "out.tar" };
                let ran =
                    store.call(&["load", store.dir().join(out).to_str().unwrap()]);
                ran.assert_stdout("Loaded small:1");
                store.tree_in_container("small:1", "/data").assert_equal(&seen);
                store.call(&["rmi", "small:1"]).exits(0);
            }
        }
    });
}

#[test]
fn podman_loads_and_runs_a_saved_image() {
    if !require_tool("podman") || !require_tool("runc") {
        return;
    }
    as_root_and_as_user(|store| {
        store.load_on_minimal_layer(&[Archive::new()
            .with(Entry::dir("data"))
            .with(Entry::file("data/x", "x").owner(5, 6).mode(0o4755))
            .end()]);
        store
            .sh(
                "small:1",
                &["--commit", "small:2"],
                "echo committed > /data/y; rm /etc/group",
            )
            .exits(0);
        let file = store.dir().join("saved.tar");
        store
            .call(&["save", "small:1", "small:2", "-o", file.to_str().unwrap()])
            .exits(0);
        let run =
            "cat /data/x /data/y; stat -c %u:%g:%a /data/x; ls /etc/group 2>/dev/null";
        let text = format!(
            "export TMPDIR=$PWD; {} -i saved.tar >&2; {} small:2 sh -c {run:?} || true; {} images -q | wc -l",
            podman(store, "load"),
            podman(store, "run"),
            podman(store, "")
        );
        let ran = run_script(store, &text);
        remove_cgroups(store);
        assert_eq!(ran.out.trim_end(), "xcommitted\n5:6:4755\n2", "{}", ran.err);
    });
}

#[test]
fn an_image_that_podman_saves_runs() {
    if !require_tool("podman") || !require_tool("runc") {
        return;
    }
    as_root_and_as_user(|store| {
        let tar = store.file("t.tar", minimal_layer());
        for format in ["docker-archive", "oci-archive"] {
            let text = format!(
                "export TMPDIR=$PWD; rm -f out.tar; {} --change CMD=/bin/pwd --change ENV=A=1 {} small:1 >&2; {} --format {format} -o out.tar small:1 >&2; chmod a+r out.tar",
                podman(store, "import"),
                tar.display(),
                podman(store, "save"),
            );
            run_script(store, &text);
            let line =
                store.load(fs::read(store.dir().join("out.tar")).unwrap()).remove(0);
            let image = line.rsplit(' ').next().unwrap();
            store.run(image, &[], &[]).assert_stdout("/");
            store.sh(image, &[], "echo $A").assert_stdout("1");
            store.call(&["rmi", image]).exits(0);
        }
    });
}
