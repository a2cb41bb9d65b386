//! `doctor` checks overlayfs, as root and as a user.

use serde_json::Value;

use crate::test_store::{TestStore, everywhere};

#[track_caller]
fn check(store: &TestStore, name: &str) -> Option<Value> {
    let ran = store.exactly(&["doctor", "--format", "json"]);
    let checks: Vec<Value> = serde_json::from_str(&ran.exits(0).out).expect("JSON");
    checks.into_iter().find(|check| check["name"] == name)
}

/// Returns the first two numbers of the kernel's version.
pub fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn doctor_mounts_an_overlay_as_run_does() {
    everywhere(|store| {
        let overlay = check(store, "overlay").expect("overlayfs is checked");
        assert_eq!(overlay["verdict"], "ok", "{overlay}");
        let way = if kernel() >= (6, 8) {
            "an option of its own"
        } else {
            "all layers by one option"
        };
        assert!(overlay["found"].as_str().unwrap().contains(way), "{overlay}");
        for name in ["kernel", "pivot-root", "cgroup-memory", "user-namespace"] {
            assert!(
                check(store, name).is_some(),
                "the checks of the steps below are there: {name}"
            );
        }
        assert!(store.bench().leaks().is_empty(), "{:?}", store.bench().leaks());
    });
}

#[test]
fn doctor_creates_no_store() {
    everywhere(|store| {
        store.exactly(&["doctor"]).exits(0);
        assert!(!store.path().exists());
    });
}
