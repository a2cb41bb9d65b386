//! Tests `.cargo/runner`, by which cargo starts every program. The runner calls sudo if
//! a step needs root. In these tests, a fake sudo prints its arguments and runs the
//! command as the same user.

use assert_cmd::assert::OutputAssertExt;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use fake_workspace::FakeWorkspace;
use test_dir::{TestDir, workspace};

#[path = "runner/fake_workspace.rs"]
mod fake_workspace;
#[path = "scripts/test_dir.rs"]
mod test_dir;

#[test]
fn a_step_that_needs_root_is_started_by_sudo() {
    let fake = FakeWorkspace::new();
    fake.run("target/debug/05-cgroups", &["run", "sh", "-c", "two  words", ""])
        .code(7)
        .stdout(contains("05-cgroups <run> <sh> <-c> <two  words> <>"))
        .stderr(contains("05-cgroups needs root").and(contains("SUDO -n -E env ")));
}

#[test]
fn sudo_does_not_lose_the_callers_path() {
    let fake = FakeWorkspace::new();
    let fakes = fake.dir.path("fakes");
    fake.run("target/debug/01-uts", &["run", "sh"])
        .stderr(contains(format!(" PATH={}:", fakes.display())));
}

#[test]
fn roots_tools_are_found_although_the_callers_path_lacks_sbin() {
    let fake = FakeWorkspace::new();
    fake.run("target/debug/01-uts", &["run", "sh"])
        .code(7)
        .stderr(contains(":/usr/sbin:/sbin "));
}

#[test]
fn a_target_directory_may_have_an_equals_sign_in_its_name() {
    let fake = FakeWorkspace::new();
    for name in ["01-uts", "05-cgroups"] {
        let stderr = fake.run(&format!("a=b/debug/{name}"), &["run", "echo", "c=d  e"]);
        stderr
            .code(7)
            .stdout(contains(format!("{name} <run> <echo> <c=d  e>")))
            .stderr(contains("SUDO"));
    }
}

#[test]
fn help_and_doctor_never_need_root() {
    let fake = FakeWorkspace::new();
    for arguments in [
        &[][..],
        &["--help"],
        &["-h"],
        &["--version"],
        &["help"],
        &["doctor"],
        &["doctor", "--json"],
        &["run", "--help"],
        &["run", "-t", "-h"],
    ] {
        fake.run("target/debug/05-cgroups", arguments).code(7).stderr("");
    }
}

#[test]
fn a_help_option_of_the_containers_command_does_not_prevent_sudo() {
    FakeWorkspace::new()
        .run("target/debug/03-mount", &["run", "ls", "--help"])
        .stderr(contains("SUDO"));
}

#[test]
fn only_steps_and_their_tests_are_started_as_root() {
    let fake = FakeWorkspace::new();
    for binary in [
        "target/debug/00-exec",
        "target/debug/kiste-tool",
        "target/debug/examples/05-cgroups",
        "target/debug/deps/00_exec-0123456789abcdef",
        "target/debug/deps/cgroups-0123456789abcdef",
        "target/debug/deps/rootfs_fetch-0123456789abcdef",
    ] {
        fake.make_rootfs();
        fake.run(binary, &["run", "sh"])
            .code(7)
            .stdout(contains("<run> <sh>"))
            .stderr("");
    }
}

#[test]
fn a_step_test_run_as_root_writes_no_snapshots() {
    let fake = FakeWorkspace::new();
    fake.run("target/debug/deps/05_cgroups-0123456789abcdef", &["--nocapture"])
        .code(7)
        .stdout(
            contains("INSTA_UPDATE=no")
                .and(contains(format!("KISTE_ROOTFS={}", fake.rootfs().display()))),
        )
        .stderr(contains("SUDO").and(contains("INSTA_WORKSPACE_ROOT=")));
}

#[test]
fn every_step_test_is_told_where_the_root_file_system_is() {
    let fake = FakeWorkspace::new();
    fake.run("target/debug/deps/00_exec-0123456789abcdef", &[])
        .stdout(contains(format!("KISTE_ROOTFS={}", fake.rootfs().display())));
}

#[test]
fn with_kiste_sudo_never_the_runner_does_not_call_sudo() {
    let fake = FakeWorkspace::new();
    let mut command = fake.command("target/debug/05-cgroups", &["run", "sh"]);
    command.env("KISTE_SUDO", "never").assert().code(7).stderr(contains("SUDO").not());
}

#[test]
fn a_rootless_step_becomes_root_only_when_kiste_sudo_says_always() {
    let fake = FakeWorkspace::new();
    fake.make_rootfs();
    fake.run("target/debug/06-user", &["run", "sh"])
        .code(7)
        .stderr(contains("SUDO").not());
    let mut always = fake.command("target/debug/06-user", &["run", "sh"]);
    always.env("KISTE_SUDO", "always").assert().code(7).stderr(contains("SUDO"));
    let mut help = fake.command("target/debug/06-user", &["doctor"]);
    help.env("KISTE_SUDO", "always").assert().code(7).stderr(contains("SUDO").not());
}

#[test]
fn root_needs_no_sudo() {
    let fake = FakeWorkspace::new();
    fake.dir.fake("id", "echo 0");
    fake.run("target/debug/05-cgroups", &["run", "sh"])
        .code(7)
        .stderr(contains("SUDO").not());
}

#[test]
fn a_readers_wrong_code_changes_neither_the_mounts_nor_the_name_of_the_host() {
    let fake = FakeWorkspace::new();
    fake.make_rootfs();
    let (mounts, uts) =
        (contains("UNSHARE --mount --propagation slave"), contains("UNSHARE --uts"));
    let test_binary = |step: &str| format!("target/debug/deps/{step}-0123456789abcdef");
    for is_root in [false, true] {
        if is_root {
            fake.dir.fake("id", "echo 0");
        }
        fake.run("target/debug/02-pid", &["run", "sh"])
            .stderr(mounts.clone().not().and(uts.clone().not()));
        fake.run("target/debug/03-mount", &["run", "sh"])
            .code(7)
            .stderr(mounts.clone());
        fake.run(&test_binary("01_uts"), &[])
            .code(7)
            .stderr(uts.clone().and(mounts.clone().not()));
        fake.run(&test_binary("05_cgroups"), &[])
            .code(7)
            .stderr(uts.clone().and(mounts.clone()));
    }
    // If the caller is root, steps that need no root are started in this way, too.
    fake.run("target/debug/06-user", &["run", "sh"])
        .code(7)
        .stderr(mounts.clone().and(uts.clone().not()));
    fake.run(&test_binary("08_network"), &[]).code(7).stderr(uts.and(mounts));
}

#[test]
fn without_a_terminal_the_runner_does_not_wait_for_a_password() {
    let fake = FakeWorkspace::new();
    fake.dir.fake("sudo", "case $1 in -n) exit 1 ;; esac; echo asked; sleep 600");
    fake.run("target/debug/05-cgroups", &["run", "sh"])
        .code(125)
        .stdout("")
        .stderr(contains("05-cgroups needs root").and(contains("hint: ")));
}

#[test]
fn without_sudo_the_step_is_started_with_a_hint_that_it_needs_root() {
    let fake = FakeWorkspace::new();
    let path = fake.dir.path_without(&["sudo"]);
    let mut command = fake.command("target/debug/05-cgroups", &["run", "sh"]);
    command
        .env("PATH", path)
        .assert()
        .code(7)
        .stderr(contains("hint: 05-cgroups needs root"));
}

#[test]
fn a_chapters_check_is_started_as_root_and_told_its_chapter() {
    let fake = FakeWorkspace::new();
    fake.make_rootfs();
    for (chapter, test, needs_root) in
        [("00", "00_exec", false), ("01", "01_uts", true), ("07", "07_image", true)]
    {
        let mut command = fake.command(
            &format!("target/debug/deps/{test}-0123456789abcdef"),
            &["--exact"],
        );
        let assert = command.env("KISTE_CHECK", chapter).assert().code(7);
        let assert = assert.stdout(contains(format!("KISTE_CHECK={chapter}")));
        let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert_eq!(stderr.contains("SUDO"), needs_root, "{chapter}: {stderr}");
        assert_eq!(stderr.contains("SANDBOX"), needs_root, "{chapter}: {stderr}");
    }
    // The tests that check no task.
    let binary = "target/debug/deps/07_image-0123456789abcdef";
    let mut others = fake.command(binary, &["--exact", "--skip", "a_test"]);
    let others = others.env("KISTE_CHECK", "07").assert().code(7);
    others.stderr(contains("SUDO").and(contains("SANDBOX").not()));
}

#[test]
fn a_wrong_answer_of_a_check_can_neither_signal_nor_change_the_host_nor_stay() {
    if !kiste_tests::require_tool("mount") {
        return;
    }
    let is_root = nix::unistd::geteuid().is_root();
    let as_root = ["--user", "--map-root-user"];
    let mut trial = Command::new("unshare");
    if !is_root && !trial.args(as_root).arg("true").status().unwrap().success() {
        let why = "ordinary users may make no user namespace";
        return kiste_tests::report_missing("user-namespace", why);
    }
    let dir = TestDir::new();
    let answer = "#!/bin/sh
        echo changed >\"$HOST/file\"; mkdir \"$HOST/etc\"; hostname changed
        kill -KILL -1
        (sleep 1; echo >\"$TMPDIR/late\") &
        echo mine >\"$TMPDIR/mine\"
        exit 7
    ";
    dir.write("target/debug/deps/02_pid-0123456789abcdef", answer);
    dir.write("host/file", "whole");
    dir.write("tmp here/empty", "");
    fs::create_dir(dir.path("rootfs")).unwrap();

    // A host that nobody needs, in case that the answer can do harm.
    let mut host = Command::new("unshare");
    if !is_root {
        host.args(as_root);
    }
    host.args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let script = "sleep 60 & other=$!; \"$@\"; code=$?; sleep 2; \
        kill -0 $other && echo the other process runs; hostname; exit $code";
    host.args(["sh", "-c", script, "sh"]);
    host.arg(workspace().join(".cargo/runner"));
    host.arg(dir.path("target/debug/deps/02_pid-0123456789abcdef"));
    host.envs([("HOST", dir.path("host")), ("TMPDIR", dir.path("tmp here"))]);
    host.env("KISTE_ROOTFS", dir.path("rootfs")).env("KISTE_CHECK", "02");
    let assert = host.env_remove("KISTE_SUDO").assert().code(7);
    assert.stdout(contains("the other process runs").and(contains("changed").not()));
    assert_eq!(fs::read_to_string(dir.path("host/file")).unwrap(), "whole");
    assert!(!dir.path("host/etc").exists());
    assert!(dir.path("tmp here/mine").exists(), "a test may write temporary files");
    assert!(!dir.path("tmp here/late").exists(), "no process is left");
}

#[test]
fn a_chapters_check_without_root_and_sudo_fails() {
    let fake = FakeWorkspace::new();
    fake.make_rootfs();
    let path = fake.dir.path_without(&["sudo"]);
    let mut command = fake.command("target/debug/deps/07_image-0123456789abcdef", &[]);
    command
        .envs([("PATH", path.as_str()), ("KISTE_CHECK", "07")])
        .assert()
        .code(125)
        .stdout("")
        .stderr(contains("hint: 07_image needs root"));
}

#[test]
fn the_root_file_system_is_fetched_before_sudo_and_only_where_needed() {
    let fake = FakeWorkspace::new();
    for (binary, arguments, fetches) in [
        ("target/debug/03-mount", &["run", "sh"][..], false),
        ("target/debug/05-cgroups", &["doctor"], false),
        ("target/debug/05-cgroups", &["gc"], false),
        ("target/debug/04-pivot-root", &["run", "sh"], true),
        ("target/debug/06-user", &["run", "sh"], true),
        ("target/debug/07-image", &["run", "sh"], true),
        (
            "target/debug/07-image",
            &["run", "-m", "32m", "--image", "base:1", "sh"],
            false,
        ),
        ("target/debug/07-image", &["import", "-", "base:1"], false),
        ("target/debug/deps/01_uts-0123456789abcdef", &[], true),
    ] {
        fs::remove_dir_all(fake.rootfs()).ok();
        let stderr = fake.run(binary, arguments).code(7).get_output().stderr.clone();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(
            stderr.contains("FETCH"),
            fetches,
            "{binary} {arguments:?}: {stderr}"
        );
        let order = (stderr.find("FETCH"), stderr.find("SUDO"));
        assert!(
            order.0.is_none() || order.1.is_none() || order.0 < order.1,
            "{stderr}"
        );
    }
}

#[test]
fn a_step_is_not_started_if_the_root_file_system_cannot_be_fetched() {
    let fake = FakeWorkspace::new();
    fake.dir.write("workspace/rootfs-fetch.sh", "#!/bin/sh\nexit 1\n");
    fake.run("target/debug/04-pivot-root", &["run", "sh"]).code(125).stdout("");
}

#[test]
fn every_step_has_its_alias() {
    let config = fs::read_to_string(workspace().join(".cargo/config.toml")).unwrap();
    for step in fs::read_dir(workspace().join("steps")).unwrap() {
        let step = step.unwrap();
        let name = step.file_name().into_string().unwrap();
        if step.path().join("src/main.rs").exists() {
            assert!(
                config.contains(&format!("{name} = \"run --bin {name} --\"")),
                "no alias {name}"
            );
        }
    }
}

#[test]
fn the_skipped_tests_of_one_cargo_run_are_collected_in_one_file() {
    let fake = FakeWorkspace::new();
    let built = fake.dir.path("target/debug");
    fs::create_dir_all(&built).unwrap();
    fs::set_permissions(&built, PermissionsExt::from_mode(0o777)).unwrap();
    let old = built.join("skipped-by-1-23456789");
    fs::write(&old, "skipped: 01_uts by::a: root: uid 1000\n").unwrap();

    fake.make_rootfs();
    let ran = fake.run("target/debug/deps/book-0123456789abcdef", &[]);
    let stdout = String::from_utf8_lossy(&ran.get_output().stdout).into_owned();
    let log = stdout.lines().find_map(|line| line.strip_prefix("KISTE_SKIPPED="));
    let log =
        PathBuf::from(log.unwrap_or_else(|| panic!("no KISTE_SKIPPED: {stdout}")));
    assert_eq!(log.parent(), Some(built.as_path()));
    assert!(log.exists(), "the caller makes it, since root's could not be removed");
    assert!(!old.exists(), "the log of an earlier run is removed");

    // Through sudo, KISTE_SKIPPED also names the log.
    let ran = fake.run("target/debug/deps/01_uts-0123456789abcdef", &[]);
    ran.stdout(contains("KISTE_SKIPPED=")).stderr(contains(" KISTE_SKIPPED="));
}
