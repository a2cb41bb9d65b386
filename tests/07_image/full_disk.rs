//! On a full disk, `rmi` and `gc` make room. A disk is full when it has no blocks left,
//! or no inodes.

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::tasks::in_addition;
use kiste_tests::{Ran, report_missing, require_tool};

use crate::test_store::{TestStore, root, with_ranges};

/// Fills a disk, and removes images from it. The words of `$0` and the arguments are the
/// program.
const SCRIPT: &str = r#"
    set -eu
    program=("$0" "$@")
    kiste() { command=$1; shift; "${program[@]}" "$command" --store disk/store "$@"; }
    chown --reference=. disk
    for name in a b c; do kiste import $name.tar $name:1; done >/dev/null
    mkdir -p disk/store/tmp/left
    head -c 100000 /dev/zero >disk/store/tmp/left/over
    chown -R --reference=. disk/store/tmp/left
    fill() {
        head -c 30M /dev/zero >>disk/fill 2>/dev/null || true
        for i in $(seq 3000); do echo >disk/fill-$i || break; done 2>/dev/null
        df --output=avail,iavail disk | tail -1 | grep -qw 0 || echo "it is not full"
    }
    fill
    ! kiste import a.tar d:1 || echo "there is room for an image"
    kiste gc --run-dir run
    [ ! -e disk/store/tmp/left ] || echo "gc has left files in tmp"
    fill
    kiste rmi b:1 none:1 || echo "rmi: exit code $?"
    ls disk/store/layers | wc -l
    fill
    kiste rmi a:1
    kiste export c:1 | tar -t
    fill
    kiste rmi c:1
    ls disk/store/layers disk/store/blobs/sha256 disk/store/tmp | grep -c . || true
"#;

/// Runs the script on a new disk, which this command mounts.
fn run_script(store: &mut TestStore, mount: &str) -> Ran {
    let script = format!("mkdir -p disk; {mount} || exit 9; {SCRIPT}");
    let bash = ["unshare", "--mount", "bash", "-c", &script];
    match store {
        TestStore::Root(fixture) => fixture.call_under(&bash, [""; 0]),
        TestStore::User(user) => {
            user.root_prefix = bash.map(String::from).to_vec();
            user.call([""; 0])
        }
    }
}

#[test]
fn rmi_and_gc_work_on_a_full_disk() {
    let tools =
        ["unshare", "mount", "bash", "df", "seq", "tar", "mkfs.ext4", "losetup"];
    if !tools.into_iter().all(require_tool) {
        return;
    }
    let ext4 = |inodes: u32| {
        format!(
            "rm -f disk.img; truncate -s 12M disk.img; mkfs.ext4 -q -m 0 -N {inodes} disk.img && mount -o loop disk.img disk"
        )
    };
    let disks = [
        "mount -t tmpfs -o size=8M none disk",
        "mount -t tmpfs -o size=80M,nr_inodes=60 none disk",
        &ext4(1000),
        &ext4(64),
    ];
    for mut store in [root(), in_addition(with_ranges)].into_iter().flatten() {
        for name in ["a", "b", "c"] {
            let content = name.repeat(500_000);
            let archive =
                Archive::new().with(Entry::dir(".")).with(Entry::file(name, content));
            store.file(&format!("{name}.tar"), archive.end());
        }
        for mount in disks {
            let ran = run_script(&mut store, mount);
            if ran.code == 9 {
                return report_missing("loop", &ran.err);
            }
            let expected =
                "Removed b:1\nrmi: exit code 1\n2\nRemoved a:1\n./\nc\nRemoved c:1\n3";
            ran.assert_stdout(expected);
            ran.assert_stderr_contains("image none:1")
                .assert_stderr_contains("`rmi` and `gc` make room");
        }
    }
}

/// The kernel reports a used-up quota by EDQUOT, on some file systems only at fsync(2).
#[test]
fn a_used_up_quota_is_treated_as_a_full_disk() {
    let Some(store) = root() else { return };
    if !require_tool("strace") {
        return;
    }
    let archive = Archive::new().with(Entry::file("a", "text")).end();
    store.import(&archive, "small:1");
    let store_path = store.path();
    let call = |call: &str, arguments: &[&str]| {
        let inject = format!("inject={call}:error=EDQUOT:when=1");
        let strace = ["strace", "-f", "-o", "/dev/null", "-e", &inject];
        let store_path = ["--store", store_path.to_str().unwrap()];
        let arguments = [&arguments[..1], &store_path, &arguments[1..]].concat();
        store.fixture().call_under(&strace, arguments)
    };
    let file = store.file("a.tar", archive);
    let import = ["import", file.to_str().unwrap(), "other:1"];
    call("pwrite64", &import).exits(1).assert_stderr_contains("`gc` make room");
    call("fsync", &import).exits(1).assert_stderr_contains("`gc` make room");
    call("fsync", &["rmi", "small:1"]).assert_stdout("Removed small:1");
    assert_eq!(store.names(), [""; 0]);
}

/// The old list still has the image whose blobs are gone: no other command may use it.
#[test]
fn rmi_on_a_full_disk_keeps_the_lock_until_the_new_list_is_written() {
    let Some(store) = root() else { return };
    if !require_tool("strace") {
        return;
    }
    store.import(Archive::new().with(Entry::file("a", "text")).end(), "small:1");
    let (trace, path) = (store.dir().join("trace"), store.path());
    let strace = ["strace", "-f", "-y", "-o", trace.to_str().unwrap()];
    let inject = ["-e", "inject=fsync:error=ENOSPC:when=1"];
    let rmi = ["rmi", "--store", path.to_str().unwrap(), "small:1"];
    let ran = store.fixture().call_under(&[&strace[..], &inject].concat(), rmi);
    ran.assert_stdout("Removed small:1");
    let trace = std::fs::read_to_string(trace).unwrap();
    let has = |line: &str, words: [&str; 2]| words.iter().all(|it| line.contains(it));
    let calls: Vec<_> = trace
        .lines()
        .skip_while(|line| !has(line, ["unlinkat(", "blobs/sha256"]))
        .take_while(|line| !has(line, ["renameat(", "\"index.json\""]))
        .collect();
    assert!(!calls.is_empty() && calls.len() < trace.lines().count(), "{trace}");
    let lock = format!("<{}>", path.join("lock").display());
    let releases: Vec<_> =
        calls.iter().filter(|line| has(line, ["close(", &lock])).collect();
    assert!(releases.is_empty(), "{releases:?}");
}
