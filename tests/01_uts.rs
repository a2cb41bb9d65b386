//! Step 1: the container has its own host name, and the host keeps its name.

use std::collections::HashSet;
use std::fs;

use kiste_tests::{Fixture, explain, help, host, options, step};

fn fixture() -> Option<Fixture> {
    Fixture::of(step!("01-uts"), &["root"])
}

fn host_names() -> [String; 2] {
    ["hostname", "domainname"]
        .map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap())
}

#[test]
fn the_container_has_the_requested_host_name() {
    let Some(fixture) = fixture() else { return };
    fixture.run(&["--hostname", "crate"], &["uname", "-n"]).assert_stdout("crate");
}

#[test]
fn without_an_option_the_host_name_is_the_containers_id() {
    let Some(fixture) = fixture() else { return };
    let mut names = HashSet::new();
    for _ in 0..20 {
        let name = fixture.run(&[], &["uname", "-n"]).exits(0).out.trim().to_owned();
        let is_id = name.len() == 12
            && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(is_id, "{name:?} is not an id");
        names.insert(name);
    }
    assert_eq!(names.len(), 20, "{names:?}");
}

#[test]
fn the_variable_hostname_has_the_name_of_the_container() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&["--hostname", "crate"], "echo $HOSTNAME").assert_stdout("crate");
    let ran = fixture.sh(&[], "echo $HOSTNAME; uname -n");
    let lines: Vec<_> = ran.exits(0).out.lines().collect();
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn the_domain_name_is_the_requested_one_or_the_hosts() {
    let Some(fixture) = fixture() else { return };
    let read = ["cat", "/proc/sys/kernel/domainname"];
    fixture.run(&["--domainname", "example.org"], &read).assert_stdout("example.org");
    fixture.run(&[], &read).assert_stdout(host_names()[1].trim_end());
}

#[test]
fn the_host_keeps_its_names() {
    let Some(fixture) = fixture() else { return };
    let before = host_names();
    let script =
        "echo ready; read line; hostname changed-inside 2>/dev/null; echo ready";
    let mut running = fixture.start(
        &["--hostname", "crate", "--domainname", "example.org"],
        &["sh", "-c", script],
    );
    running.wait_for("ready");
    assert_eq!(host_names(), before);
    running.type_in("\n");
    running.wait_for("ready");
    assert_eq!(host_names(), before);
}

#[test]
fn only_the_uts_namespace_is_the_containers_own() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "300"]);
    assert_eq!(host::own_namespaces(running.pid), ["uts"]);
}

#[test]
fn two_containers_have_two_names() {
    let Some(fixture) = fixture() else { return };
    let start = |name| {
        fixture.start(&["--hostname", name], &["sh", "-c", "read line; uname -n"])
    };
    let (mut one, mut two) = (start("one"), start("two"));
    assert_ne!(host::namespace(one.pid, "uts"), host::namespace(two.pid, "uts"));
    one.type_in("\n");
    two.type_in("\n");
    one.end().assert_stdout("one");
    two.end().assert_stdout("two");
}

#[test]
fn an_invalid_name_is_refused_before_anything_is_made() {
    let Some(fixture) = fixture() else { return };
    let too_long = "a".repeat(65);
    for option in ["--hostname", "--domainname"] {
        for name in
            [&too_long, "", "-web", "web-", "a..b", ".a", "a b", "a/b", "a_b", "ä"]
        {
            let ran =
                fixture.run(&[&format!("{option}={name}")], &["touch", "was-run"]);
            ran.exits(2).assert_stderr_contains("host name");
            ran.assert_stderr_contains(option);
        }
    }
    fixture
        .run(&["--hostname", &too_long], &["true"])
        .exits(2)
        .assert_stderr_contains("at most 64 bytes");
    assert!(!fixture.dir().join("was-run").exists());
}

#[test]
fn a_name_of_64_bytes_is_accepted() {
    let Some(fixture) = fixture() else { return };
    let longest = format!("{}.abc", "a".repeat(60));
    fixture.run(&["--hostname", &longest], &["uname", "-n"]).assert_stdout(&longest);
}

#[test]
fn without_root_the_error_says_what_is_missing() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.call_as_nobody(["run", "true"]);
    ran.exits(125).assert_stderr_contains(
        "error: clone3(NEWUTS): Operation not permitted (EPERM)",
    );
    ran.assert_stderr_contains("hint: new namespaces need root: use sudo");
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
}

#[test]
fn a_name_that_the_kernel_refuses_stops_the_start() {
    let Some(fixture) = fixture() else { return };
    if !kiste_tests::require_tool("strace") {
        return;
    }
    let refuse = "inject=sethostname:error=EPERM";
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=sethostname",
        "-e",
        refuse,
    ];
    let ran =
        fixture.run_under(&strace, &["--hostname", "crate"], &["touch", "was-run"]);
    ran.exits(125).assert_stderr_contains(
        "error: sethostname(crate): Operation not permitted (EPERM)",
    );
    assert!(
        !fixture.dir().join("was-run").exists(),
        "the command must not run with less isolation than requested"
    );
}

#[test]
fn every_option_of_the_step_below_is_here() {
    let Some(fixture) = fixture() else { return };
    options::assert_earlier_options_work(&fixture);
}

#[test]
fn run_still_exits_with_the_status_of_the_command() {
    let Some(fixture) = fixture() else { return };
    fixture.run(&[], &["no-such-command"]).exits(127);
    fixture.run(&[], &["/etc/passwd"]).exits(126);
    fixture.sh(&[], "exit 7").exits(7);
    fixture.sh(&[], "kill $$").exits(143);
    fixture.call(["run"]).exits(2);
}

#[test]
fn explain_narrates_the_calls_that_strace_sees() {
    let Some(fixture) = fixture() else { return };
    let list = "parent clone3
                child  prctl setpgid sethostname setdomainname close_range execve";
    explain::assert_narration_matches_strace(
        &fixture,
        list,
        &["--domainname", "example.org"],
        &["true"],
    );
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("01-uts"));
}

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("01-uts"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(fixture) = fixture() else { return };
    help::assert_examples_work(&fixture, &[], &[]);
}
