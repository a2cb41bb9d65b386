//! `doctor`: the checks of this step, for root and for an ordinary user, with their
//! fixes.

use serde::Deserialize;

use kiste_tests::user::NAME;
use kiste_tests::{Ran, User};

use crate::{root, this_step, with_ranges, without_ranges};

#[derive(Debug, Deserialize)]
struct Check {
    name: String,
    verdict: String,
    found: String,
    fix: Option<String>,
}

#[track_caller]
fn check(ran: &Ran, name: &str) -> Option<Check> {
    let checks: Vec<Check> = serde_json::from_str(&ran.out).expect("JSON");
    checks.into_iter().find(|check| check.name == name)
}

/// Returns the verdict of a check, the text about its finding, and its fix.
#[track_caller]
fn verdict_found_and_fix(ran: &Ran, name: &str) -> (String, String, String) {
    let check =
        check(ran, name).unwrap_or_else(|| panic!("{name} is checked: {}", ran.out));
    (check.verdict, check.found, check.fix.unwrap_or_default())
}

const JSON: [&str; 3] = ["doctor", "--format", "json"];

#[test]
fn root_needs_no_subordinate_ids() {
    let Some(fixture) = root() else { return };
    let ran = fixture.call(JSON);
    assert_eq!(verdict_found_and_fix(ran.exits(0), "root").0, "ok");
    assert_eq!(verdict_found_and_fix(&ran, "user-namespace").0, "ok");
    assert!(
        check(&ran, "subids").is_none() && check(&ran, "uidmap").is_none(),
        "{}",
        ran.out
    );
    for name in ["kernel", "rootfs", "pivot-root", "cgroup-memory"] {
        assert!(
            check(&ran, name).is_some(),
            "the checks of the steps below are there: {name}"
        );
    }
}

#[test]
fn a_user_with_ranges_needs_nothing_more() {
    let Some(user) = with_ranges() else { return };
    let ran = user.call(JSON);
    for name in ["user-namespace", "uidmap", "subids"] {
        assert_eq!(verdict_found_and_fix(ran.exits(0), name).0, "ok", "{name}");
    }
    assert!(
        verdict_found_and_fix(&ran, "subids").1.starts_with("65536 subordinate ids")
    );
    let (verdict, found, _) = verdict_found_and_fix(&ran, "root");
    assert_eq!(
        verdict, "missing",
        "the check `root` is missing, and doctor still succeeds"
    );
    assert!(found.contains("in a user namespace"), "{found}");
    user.call(["doctor"]).exits(0);
}

#[test]
fn a_user_without_ranges_is_told_how_to_get_them() {
    let Some(user) = without_ranges() else { return };
    let ran = user.call(JSON);
    assert_eq!(verdict_found_and_fix(ran.exits(0), "user-namespace").0, "ok");
    let (verdict, found, fix) = verdict_found_and_fix(&ran, "subids");
    assert!(
        verdict == "missing" && found.contains("only your own id can be mapped"),
        "{found}"
    );
    assert!(
        fix.contains(&format!("add the line {}:", user.uid))
            && fix.contains(":65536 to /etc/subuid and /etc/subgid"),
        "{fix}"
    );
}

/// The user may not set limits in the host's cgroups, so no check of a limit is ok.
#[test]
fn a_user_to_whom_nothing_is_delegated_is_told_that_no_limit_can_be_set() {
    let Some(mut user) = without_ranges() else { return };
    user.user_prefix =
        ["env", "-u", "DBUS_SESSION_BUS_ADDRESS"].map(String::from).into();
    let ran = user.call(JSON);
    for name in ["memory", "cpu", "pids", "cpuset", "freeze", "kill"] {
        let (verdict, found, fix) =
            verdict_found_and_fix(ran.exits(0), &format!("cgroup-{name}"));
        assert_eq!(verdict, "missing", "{name}: {found}");
        assert!(found.contains("not delegated to you"), "{name}: {found}");
        assert!(fix.contains("sudo"), "{name}: {fix}");
    }
    user.run(&["-m", "32m"], &["true"]).exits(125);
}

#[test]
fn short_ranges_and_missing_ones_have_different_messages() {
    let short = format!("{NAME}:200000:1000\n");
    let long = format!("{NAME}:200000:65535\n");
    for (subuid, subgid, verdict, what) in [
        (&*short, &*long, "missing", "1000 subordinate ids: an image may use 65536"),
        (&*long, &*short, "missing", "1000 subordinate ids"),
        (&*long, "", "missing", "/etc/subgid has no ids for you"),
        ("", &*long, "missing", "/etc/subuid has no ids for you"),
        (&*long, &*long, "ok", "65535 subordinate ids"),
    ] {
        let Some(user) = User::with_files(this_step(), &[], subuid, subgid) else {
            return;
        };
        let (actual, found, fix) =
            verdict_found_and_fix(user.call(JSON).exits(0), "subids");
        assert!(actual == verdict && found.contains(what), "{actual}: {found}");
        assert_eq!(
            fix.contains(&format!("100000-165535 {NAME}")),
            verdict == "missing",
            "{fix}"
        );
    }
}

#[test]
fn a_missing_helper_is_named_with_its_package() {
    let Some(mut user) = with_ranges() else { return };
    user.user_prefix = ["env", "PATH=/nonexistent"].map(String::from).to_vec();
    let (verdict, found, fix) =
        verdict_found_and_fix(user.call(JSON).exits(0), "uidmap");
    assert_eq!(
        (verdict.as_str(), fix.as_str()),
        ("missing", "install the package uidmap")
    );
    assert!(found.contains("no newuidmap in PATH"), "{found}");
}

/// Forbids user namespaces, and then runs a program. All this happens in a user
/// namespace, so the host's limit does not change.
const NO_USER_NAMESPACES: &str =
    "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";

#[test]
fn a_host_that_forbids_user_namespaces_fails_with_the_sysctl_and_the_fix() {
    let Some(fixture) = root() else { return };
    let without_user_namespaces =
        ["unshare", "--user", "--map-root-user", "sh", "-c", NO_USER_NAMESPACES, "sh"];
    let ran = fixture.call_under(&without_user_namespaces, JSON);
    let (verdict, found, fix) = verdict_found_and_fix(ran.exits(1), "user-namespace");
    assert_eq!(
        (verdict.as_str(), found.as_str()),
        ("fails", "user.max_user_namespaces is 0")
    );
    assert!(fix.contains("sysctl -w user.max_user_namespaces=15000"), "{fix}");
    let ran = fixture.run_under(
        &without_user_namespaces,
        &["--userns", "auto"],
        &["echo", "it runs"],
    );
    ran.exits(125);
    assert_eq!(ran.out, "");
}

#[test]
fn a_run_on_a_host_that_forbids_user_namespaces_names_the_limit() {
    let Some(mut user) = without_ranges() else { return };
    let (uid, gid) =
        (format!("--map-user={}", user.uid), format!("--map-group={}", user.gid));
    let without_user_namespaces = [
        "unshare",
        "--user",
        &uid,
        &gid,
        "--keep-caps",
        "sh",
        "-c",
        NO_USER_NAMESPACES,
        "sh",
    ];
    user.user_prefix = without_user_namespaces.map(String::from).to_vec();
    let ran = user.run(&[], &["echo", "it runs"]);
    ran.exits(125)
        .assert_stderr_contains("clone3(")
        .assert_stderr_contains("ENOSPC")
        .assert_stderr_contains("hint: the host's limit")
        .assert_stderr_contains("sysctl");
    assert_eq!(ran.out, "");
    let ran = user.call(JSON);
    assert_eq!(verdict_found_and_fix(ran.exits(1), "user-namespace").0, "fails");
}
