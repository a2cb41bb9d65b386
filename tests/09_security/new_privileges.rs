//! The seccomp filter and no_new_privs, as /proc/PID/status shows them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use kiste_tests::host;

use crate::{root, sh, start};

const NO_NEW_PRIVILEGES: [&str; 2] = ["--security-opt", "no-new-privileges"];

#[test]
fn a_filter_is_loaded_unless_it_is_turned_off() {
    let Some(fixture) = root() else { return };
    for (option, mode) in [
        ("seccomp=builtin", "2"),
        ("seccomp:builtin", "2"),
        ("seccomp=unconfined", "0"),
        ("no-new-privileges", "2"),
        ("label=disable", "2"),
        ("apparmor=unconfined", "2"),
    ] {
        let running = start(&fixture, &["--security-opt", option]);
        assert_eq!(host::status_field(running.pid, "Seccomp"), mode, "{option}");
    }
    assert_eq!(host::status_field(start(&fixture, &[]).pid, "Seccomp"), "2");
    // Without CAP_SYS_ADMIN and without no_new_privs, in every combination.
    for options in [&["--cap-drop", "ALL"][..], &["-u", "1000:1000"]] {
        let running = start(&fixture, options);
        assert_eq!(host::status_field(running.pid, "Seccomp"), "2", "{options:?}");
        assert_eq!(host::status_field(running.pid, "NoNewPrivs"), "0");
    }
}

#[test]
fn a_profile_of_the_users_own_decides() {
    let Some(fixture) = root() else { return };
    let profile = fixture.dir().join("profile.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7}]}"#;
    fs::write(&profile, text).unwrap();
    let option = format!("seccomp={}", profile.display());
    let options = ["--security-opt", &option];
    let ran = sh(&fixture, &options, "echo > /file && mkdir /directory");
    ran.exits(1).assert_stderr_contains("Argument list too long");
    // A filter may allow very little: only the exec comes after it.
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["execve",
        "arch_prctl", "set_tid_address", "capset", "exit_group", "mprotect", "brk", "mmap",
        "munmap", "open", "openat", "fstat", "fcntl", "write", "close", "read", "writev",
        "getuid", "setuid", "getgid", "setgid"], "action": "SCMP_ACT_ALLOW"}]}"#;
    fs::write(&profile, text).unwrap();
    let echo = ["echo", "runs"];
    fixture.run(&crate::without_network(&options), &echo).assert_stdout("runs");
    // The filter of a profile may forbid the calls by which capabilities are dropped.
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["capset"], "action": "SCMP_ACT_ERRNO"}]}"#;
    fs::write(&profile, text).unwrap();
    let options = [&options[..], &NO_NEW_PRIVILEGES].concat();
    sh(&fixture, &options, "true").exits(0);
}

#[test]
fn a_profile_that_cannot_be_used_is_an_error() {
    let Some(fixture) = root() else { return };
    let run = |file: &str| {
        sh(&fixture, &["--security-opt", &format!("seccomp={file}")], "true")
    };
    run("/nonexistent").exits(125).assert_stderr_contains("(ENOENT)");
    let write = |text: &str| {
        let path = fixture.dir().join("profile.json");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    run(&write("no JSON")).exits(125).assert_stderr_contains("profile.json");
    let notify = r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": [
        {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#;
    run(&write(notify)).exits(125).assert_stderr_contains("needs a listener");
}

/// The id of the user is printed by a set-user-ID program of root's.
#[test]
fn a_set_user_id_program_has_its_effect_only_without_no_new_privs() {
    let Some(fixture) = root() else { return };
    fixture.install("/usr/bin/id".as_ref(), "id");
    let id = fixture.rootfs().join("id");
    fs::set_permissions(&id, fs::Permissions::from_mode(0o4755)).unwrap();
    let run = |options: &[&str]| {
        sh(&fixture, &[&["-u", "1000:1000"], options].concat(), "/id -u")
    };
    run(&[]).assert_stdout("0");
    run(&NO_NEW_PRIVILEGES).assert_stdout("1000");
    for (value, uid) in [("=true", "1000"), (":true", "1000"), ("=false", "0")] {
        let option = format!("no-new-privileges{value}");
        run(&["--security-opt", &option]).assert_stdout(uid);
    }
    let running = start(&fixture, &NO_NEW_PRIVILEGES);
    assert_eq!(host::status_field(running.pid, "NoNewPrivs"), "1");
}

#[test]
fn a_security_option_that_does_not_exist_or_is_given_twice_is_a_usage_error() {
    let Some(fixture) = root() else { return };
    let run = |option| sh(&fixture, &["--security-opt", option], "true");
    run("no-new-priv").exits(2).assert_stderr_contains("seccomp=FILE");
    run("label=type:x").exits(2).assert_stderr_contains("SELinux");
    let twice = ["--security-opt", "seccomp=builtin", "--security-opt", "seccomp=a"];
    sh(&fixture, &twice, "true").exits(2).assert_stderr_contains("given twice");
}

#[test]
fn a_profile_of_apparmor_is_refused_where_the_kernel_has_no_apparmor() {
    let Some(fixture) = root() else { return };
    if fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|it| it.trim() == "Y")
    {
        kiste_tests::report_missing("no-apparmor", "this kernel has AppArmor");
        return;
    }
    sh(&fixture, &["--security-opt", "apparmor=docker-default"], "true")
        .exits(125)
        .assert_stderr_contains("AppArmor is not enabled");
}
