//! On a full disk, `rmi` and `gc` make room.

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::require_tool;

use crate::test_store::root;

/// Fills the disk, and removes images from it.
const SCRIPT: &str = r#"
    set -eu
    mkdir disk
    mount -t tmpfs -o size=8M none disk
    for name in a b c; do "$0" import --store disk/store $name.tar $name:1; done >/dev/null
    mkdir -p disk/store/tmp/left
    head -c 100000 /dev/zero >disk/store/tmp/left/over
    fill() {
        head -c 10M /dev/zero >>disk/fill 2>/dev/null || true
        for i in $(seq 2000); do echo >disk/fill-$i || break; done 2>/dev/null
        [ "$(df --output=avail disk | tail -1)" -eq 0 ]
    }
    fill
    ! "$0" import --store disk/store a.tar d:1
    "$0" gc --store disk/store --run-dir run
    [ ! -e disk/store/tmp/left ] || echo "gc has left files in tmp"
    fill
    "$0" rmi --store disk/store b:1 none:1 || echo "rmi: exit code $?"
    ls disk/store/layers | wc -l
    fill
    "$0" rmi --store disk/store a:1
    "$0" export --store disk/store c:1 | tar -t
    fill
    "$0" rmi --store disk/store c:1
    ls disk/store/layers disk/store/blobs/sha256 disk/store/tmp | grep -c . || true
"#;

#[test]
fn rmi_and_gc_work_on_a_full_disk() {
    let tools = ["unshare", "mount", "bash", "df", "seq", "tar"];
    if !tools.into_iter().all(require_tool) {
        return;
    }
    let Some(store) = root() else { return };
    for name in ["a", "b", "c"] {
        let content = name.repeat(500_000);
        let archive =
            Archive::new().with(Entry::dir(".")).with(Entry::file(name, content));
        store.file(&format!("{name}.tar"), archive.end());
    }
    let bash = ["unshare", "--mount", "bash", "-c", SCRIPT];
    let ran = store.fixture().call_under(&bash, [""; 0]);
    let expected =
        "Removed b:1\nrmi: exit code 1\n2\nRemoved a:1\n./\nc\nRemoved c:1\n3";
    ran.assert_stdout(expected);
    ran.assert_stderr_contains("image none:1")
        .assert_stderr_contains("`rmi` and `gc` make room");
}
