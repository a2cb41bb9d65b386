//! `doctor` checks overlayfs, as root and as a user.

use kiste_tests::require_tool;
use serde_json::Value;

use crate::test_store::{TestStore, as_root_and_as_user, root, without_ranges};

#[track_caller]
fn check(store: &TestStore, name: &str) -> Option<Value> {
    let ran = store.call_exactly(&["doctor", "--format", "json"]);
    let checks: Vec<Value> = serde_json::from_str(&ran.exits(0).out).expect("JSON");
    checks.into_iter().find(|check| check["name"] == name)
}

/// Returns the first two numbers of the kernel's version.
pub fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn doctor_mounts_an_overlay_as_run_does() {
    as_root_and_as_user(|store| {
        let overlay = check(store, "overlay").expect("overlayfs is checked");
        assert_eq!(overlay["verdict"], "ok", "{overlay}");
        let mount_method = if kernel_version() >= (6, 8) {
            "an option of its own"
        } else {
            "all layers by one option"
        };
        assert!(overlay["found"].as_str().unwrap().contains(mount_method), "{overlay}");
        for name in ["kernel", "pivot-root", "cgroup-memory", "user-namespace"] {
            assert!(
                check(store, name).is_some(),
                "the checks of the steps below are there: {name}"
            );
        }
        assert!(store.fixture().leaks().is_empty(), "{:?}", store.fixture().leaks());
    });
}

#[test]
fn doctor_creates_no_store() {
    as_root_and_as_user(|store| {
        store.call_exactly(&["doctor"]).exits(0);
        assert!(!store.path().exists());
    });
}

/// Chapter 7: the upper directory of an overlay cannot be on an overlay.
#[test]
fn doctor_reports_a_store_that_is_on_an_overlay() {
    let Some(store) = root().filter(|_| require_tool("mount")) else { return };
    let fixture = store.fixture();
    let store_verdict_after = |mount: &str| {
        let script = format!("set -e; {mount}; exec \"$@\"");
        let starter = ["unshare", "-m", "--propagation", "private", "sh", "-c"];
        let starter = [&starter[..], &[&script, "sh"]].concat();
        let ran = fixture.call_under(&starter, ["doctor", "--format", "json"]);
        let checks: Vec<Value> = serde_json::from_str(&ran.exits(0).out).expect("JSON");
        let check = checks.into_iter().find(|check| check["name"] == "store");
        check.expect("the store is checked")["verdict"].to_string()
    };
    let overlay = "mount -t overlay -o lowerdir=/var/lib:/var/cache none /var/lib";
    assert_eq!(store_verdict_after(overlay), "\"missing\"");
    assert_eq!(store_verdict_after("mount -t tmpfs none /var/lib"), "\"ok\"");
}

/// Overlayfs takes idmapped layers since Linux 5.19.
#[test]
fn doctor_tells_root_whether_layers_can_be_idmapped() {
    let Some(store) = root() else { return };
    let check_result = check(&store, "overlay-idmapped").expect("it is checked");
    let expected = if kernel_version() >= (5, 19) { "ok" } else { "missing" };
    assert_eq!(check_result["verdict"], expected, "{check_result}");
    let Some(user) = without_ranges() else { return };
    assert!(check(&user, "overlay-idmapped").is_none(), "a user needs none");
}
