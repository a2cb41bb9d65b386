//! After a power cut at any moment, an image is whole or it is not listed. Loading the
//! image again repairs it.
//!
//! The store is on a loop device, whose disk is a file. A copy of that file has what a
//! power cut would leave on the disk: the kernel has not written anything else to it
//! yet.

use std::process::Command;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};
use kiste_tests::{report_missing, require_tool};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

/// Functions of the shell scripts. `$0` is the program, and `disk` the mounted disk.
const FUNCTIONS: &str = r#"
    set -u
    truncate -s 64M disk.img
    mkfs.ext4 -q disk.img || exit 9
    mkdir disk after
    mount -o loop disk.img disk || exit 9
    try() { "$@" >out 2>&1 || { echo "failed: $*"; cat out; }; }
    # Copies the disk to $1 until two copies are the same, so that nothing was written
    # meanwhile.
    cut_power() {
        until cp --sparse=always disk.img "$1" \
            && cp --sparse=always disk.img again.img && cmp -s "$1" again.img; do :; done
    }
    content() {
        "$0" export --store "$1/store" "$2" | tar -xO | sha256sum | cut -d ' ' -f 1
    }
    # Cuts the power, and checks the disk. $1 says when this is; the other arguments are the
    # checksums that small:1 may have, or - if it may be missing.
    check_disk() {
        when=$1; shift
        cut_power cut.img
        mount -o loop cut.img after || exit 9
        try "$0" images --store after/store
        found=-
        if grep -q '^small' out; then found=$(content after small:1); fi
        case " $* " in *" $found "*) ;; *) echo "$when: $found";; esac
        try "$0" load --store after/store -i b.tar
        found=$(content after small:1)
        [ "$found" = "$b" ] || echo "$when, loaded again: $found"
        try "$0" gc --store after/store --run-dir run
        umount after
    }
    try "$0" load --store ref/store -i b.tar; b=$(content ref small:1)
    try "$0" load --store ref/store -i a.tar; a=$(content ref small:1)
    [ "$a" != "$b" ] || echo "a and b are the same"
"#;

fn layout(letter: &str) -> Vec<u8> {
    let many = (0..87).fold(Archive::new(), |archive, number| {
        archive.with(Entry::file(format!("many/{number}"), letter.repeat(5000)))
    });
    let large = Archive::new().with(Entry::file("large", letter.repeat(1 << 20))).end();
    Layout::of("small:1", &[minimal_layer(), many.end(), large], Compression::Gzip)
        .tar()
}

/// Runs a script in its own mount namespace. The kernel unmounts the disks when the
/// namespace ends.
pub fn run_script(store: &TestStore, script: &str) {
    let script = [FUNCTIONS, script].concat();
    let mut bash = Command::new("unshare");
    bash.args(["--mount", "bash", "-c", &script]).arg(store.fixture().exe());
    let output = bash.current_dir(store.dir()).output().expect("start unshare");
    let err = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(9) {
        return report_missing("loop", &err);
    }
    assert!(output.status.success(), "{err}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{err}");
}

/// Makes a store, and the archives a.tar and b.tar.
pub fn store_and_archives() -> Option<TestStore> {
    let tools = ["mkfs.ext4", "losetup", "unshare", "mount", "umount", "bash", "tar"];
    if !tools.into_iter().all(require_tool) {
        return None;
    }
    let store = root()?;
    store.file("a.tar", layout("a"));
    store.file("b.tar", layout("b"));
    Some(store)
}

#[test]
fn an_image_is_whole_after_a_power_cut_at_the_end_of_a_command() {
    let Some(store) = store_and_archives() else { return };
    store.file("root.tar", minimal_layer());
    let options = ["--image", "small:1", "--commit", "new:1"];
    let run =
        store.fixture().arguments(&options, &["sh", "-c", "echo it > /x; cat /x"]);
    let store_path = store.path().into_os_string();
    let run: Vec<String> = run
        .into_iter()
        .map(|word| match word == store_path {
            true => "disk/store".into(),
            false => format!("'{}'", word.to_str().unwrap()),
        })
        .collect();
    let commands = format!(
        r#"
        try "$0" load --store disk/store -i a.tar
        check_disk load $a
        try "$0" import --store disk/store root.tar root:1
        cut_power cut.img
        mount -o loop cut.img after || exit 9
        [ "$(content after root:1)" = "$(content disk root:1)" ] || echo "import: it is damaged"
        umount after
        try "$0" {run}
        cut_power cut.img
        mount -o loop cut.img after || exit 9
        [ "$(content after new:1)" = "$(content disk new:1)" ] || echo "commit: it is damaged"
        umount after
        try "$0" load --store disk/store -i b.tar
        check_disk "the second load" $b
        try "$0" rmi --store disk/store small:1
        check_disk rmi -
    "#,
        run = run.join(" ")
    );
    run_script(&store, &commands);
}

/// Another program or a bad disk may have damaged the store.
#[test]
fn a_layer_that_lost_its_content_is_replaced_by_loading_again() {
    let Some(store) = root() else { return };
    let file = store.file("a.tar", layout("a"));
    let load = ["load", "-i", file.to_str().unwrap()];
    let is_whole = |after: &str| {
        store.call(&load).assert_stdout("Loaded small:1");
        let ran = store.sh("small:1", &[], "cat /many/86 /large | wc -c");
        assert_eq!(ran.exits(0).out, "1053576\n", "after {after}");
        let saved = store.dir().join("saved.tar");
        store.call(&["save", "-o", saved.to_str().unwrap(), "small:1"]).exits(0);
        assert_eq!(store.names_in("tmp"), [""; 0], "after {after}");
        assert_eq!(store.names(), ["small:1"]);
    };
    is_whole("the first load");
    for layer in store.names_in("layers") {
        let layer = store.path().join("layers").join(layer);
        for name in ["many/86", "large"] {
            let path = layer.join(name);
            if path.exists() {
                std::fs::write(&path, "").unwrap();
                is_whole("a file became empty");
                std::fs::remove_file(&path).unwrap();
                is_whole("a file is missing");
            }
        }
        std::fs::remove_dir_all(&layer).unwrap();
        is_whole("a layer is missing");
    }
    for blob in store.names_in("blobs/sha256") {
        let blob = store.path().join("blobs/sha256").join(blob);
        std::fs::write(&blob, "").unwrap();
        is_whole("a blob became empty");
        std::fs::remove_file(&blob).unwrap();
        is_whole("a blob is missing");
    }
    // An older version of Kiste, which flushed nothing, left no directory `complete`.
    std::fs::remove_dir_all(store.path().join("complete")).unwrap();
    is_whole("no record of a layer");
    store.gc().exits(0);
    assert_eq!(store.names_in("complete"), store.names_in("layers"));
}

#[test]
fn a_damaged_layer_is_not_replaced_while_a_container_uses_it() {
    let Some(store) = root() else { return };
    store.load(layout("a"));
    let running = store.start("small:1", &[], &["sleep", "1000"]);
    let small = store.layer(&[minimal_layer()]);
    std::fs::write(small.join("bin/new"), "it").unwrap();
    let ran = store.try_load(layout("a"));
    ran.exits(1)
        .assert_stderr_contains("is damaged, and container")
        .assert_stderr_contains("gc");
    assert!(small.join("bin/new").exists());
    drop(running);
    store.gc().exits(0);
    store.load(layout("a"));
    assert!(!small.join("bin/new").exists());
}

#[test]
fn a_stored_blob_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let Some(store) = root() else { return };
    let other = Archive::new().with(Entry::file("other", "it")).end();
    store.load(Layout::of("one:1", &[minimal_layer()], Compression::Gzip).tar());
    let blobs = || {
        let names = store.names_in("blobs/sha256").into_iter();
        let path = |name: &str| store.path().join("blobs/sha256").join(name);
        let id = |name: String| (path(&name).metadata().unwrap().ino(), name);
        names.map(id).collect::<Vec<_>>()
    };
    let before = blobs();
    store.load(Layout::of("two:1", &[minimal_layer(), other], Compression::Gzip).tar());
    let after = blobs();
    assert!(before.iter().all(|blob| after.contains(blob)), "{before:?} {after:?}");
    store.sh("two:1", &[], "cat /other").assert_stdout("it");
}
