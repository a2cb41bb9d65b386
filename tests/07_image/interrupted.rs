//! A signal ends a start or an end that waits or works for long, and nothing is left.

use std::fs::{self, File};
use std::thread::sleep;
use std::time::Duration;

use kiste_tests::{eventually, require_tool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::minimal_layer::minimal_layer;
use crate::test_store::{as_root_and_as_user, root};

#[test]
fn a_signal_ends_a_start_that_waits_for_the_lock_of_the_store() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let lock = File::open(store.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let script =
        "\"$0\" \"$@\" & while [ -z \"$(ls -A run 2>&-)\" ]; do sleep 0.02; done
                  sleep 0.1; kill -TERM $!; wait $!";
    let store_path = store.path();
    let options = ["--store", store_path.to_str().unwrap(), "--image", "small:1"];
    let arguments = store.fixture().arguments(&options, &["true"]);
    let ran = store.fixture().call_under(&["bash", "-c", script], arguments);
    ran.exits(143).assert_stderr_contains("interrupted by SIGTERM");
    assert_eq!(store.fixture().leaks(), [""; 0]);
}

#[test]
fn an_interrupted_commit_leaves_nothing_and_the_store_as_it_was() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let script = "dd if=/dev/urandom of=/large bs=1M count=48 2>&-; chown 7 /large";
        let running = store.start(
            "small:1",
            &["--commit", "large:1"],
            &["sh", "-c", &format!("{script}; read line")],
        );
        let (runtime, tmp) = (running.runtime(), store.path().join("tmp"));
        let ending = std::thread::spawn(move || running.end());
        let commits = || fs::read_dir(&tmp).unwrap().next().map(drop);
        eventually(commits).expect("the commit begins");
        sleep(Duration::from_millis(50));
        kill(Pid::from_raw(runtime), Signal::SIGTERM).unwrap();
        let ran = ending.join().unwrap();
        ran.exits(143)
            .assert_stderr_contains("--commit large:1: interrupted by SIGTERM");
        assert_eq!(store.fixture().leaks(), [""; 0]);
        assert_eq!(store.names(), ["small:1"]);
    });
}

/// The files are those of a container that was killed. The next start removes them, and a
/// person who ends that start does not wait for it.
#[test]
fn a_signal_ends_a_start_that_removes_the_files_of_a_killed_container() {
    let Some(store) = root() else { return };
    if !require_tool("strace") {
        return;
    }
    store.import(minimal_layer(), "small:1");
    let script = "mkdir /many; cd /many; i=0; while [ $i != 2000 ]; do : >$i; i=$((i + 1)); done; \
                  echo ready; read line";
    let mut running = store.start("small:1", &[], &["sh", "-c", script]);
    running.wait_for("ready");
    running.kill_runtime();
    let strace = ["strace", "-f", "-o", "/dev/null", "-e"];
    let inject = ["inject=unlinkat:signal=TERM:when=100"];
    let store_path = store.path();
    let options = ["--store", store_path.to_str().unwrap(), "--image", "small:1"];
    let arguments = store.fixture().arguments(&options, &["true"]);
    let ran = store.fixture().call_under(&[&strace[..], &inject].concat(), arguments);
    ran.exits(143).assert_stderr_contains("interrupted by SIGTERM");
    assert!(!ran.err.contains("warning"), "{ran:?}");
    assert_eq!(store.names_in("tmp").len(), 1, "the rest of the files");
    store.run("small:1", &[], &["true"]).exits(0);
    assert_eq!((store.names_in("tmp"), store.names_in("containers")), (vec![], vec![]));
}
