//! Step 1: the container has its own host name, and the host keeps its name.

use std::collections::HashSet;
use std::fs;

use kiste_tests::{Bench, explain, help, host, options, step};

fn bench() -> Option<Bench> {
    Bench::of(step!("01-uts"), &["root"])
}

fn host_names() -> [String; 2] {
    ["hostname", "domainname"]
        .map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap())
}

#[test]
fn the_container_has_the_requested_host_name() {
    let Some(bench) = bench() else { return };
    bench.run(&["--hostname", "crate"], &["uname", "-n"]).prints("crate");
    let longest = format!("{}.{}", "a".repeat(60), "abc");
    bench.run(&["--hostname", &longest], &["uname", "-n"]).prints(&longest);
}

#[test]
fn without_an_option_the_host_name_is_the_containers_id() {
    let Some(bench) = bench() else { return };
    let mut names = HashSet::new();
    for _ in 0..20 {
        let name = bench.run(&[], &["uname", "-n"]).exits(0).out.trim().to_owned();
        let is_id = name.len() == 12
            && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(is_id, "{name:?} is not an id");
        names.insert(name);
    }
    assert_eq!(names.len(), 20, "{names:?}");
}

#[test]
fn the_variable_hostname_has_the_name_of_the_container() {
    let Some(bench) = bench() else { return };
    bench.sh(&["--hostname", "crate"], "echo $HOSTNAME").prints("crate");
    let ran = bench.sh(&[], "echo $HOSTNAME; uname -n");
    let lines: Vec<_> = ran.exits(0).out.lines().collect();
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn the_domain_name_is_the_requested_one_or_the_hosts() {
    let Some(bench) = bench() else { return };
    let read = ["cat", "/proc/sys/kernel/domainname"];
    bench.run(&["--domainname", "example.org"], &read).prints("example.org");
    bench.run(&[], &read).prints(host_names()[1].trim_end());
}

#[test]
fn the_host_keeps_its_names() {
    let Some(bench) = bench() else { return };
    let before = host_names();
    let script =
        "echo ready; read line; hostname changed-inside 2>/dev/null; echo ready";
    let mut running = bench.start(
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
    let Some(bench) = bench() else { return };
    let running = bench.start(&[], &["sleep", "300"]);
    assert_eq!(host::own_namespaces(running.pid), ["uts"]);
}

#[test]
fn two_containers_have_two_names() {
    let Some(bench) = bench() else { return };
    let start =
        |name| bench.start(&["--hostname", name], &["sh", "-c", "read line; uname -n"]);
    let (mut one, mut two) = (start("one"), start("two"));
    assert_ne!(host::namespace(one.pid, "uts"), host::namespace(two.pid, "uts"));
    one.type_in("\n");
    two.type_in("\n");
    one.end().prints("one");
    two.end().prints("two");
}

#[test]
fn an_invalid_name_is_refused_before_anything_is_made() {
    let Some(bench) = bench() else { return };
    let too_long = "a".repeat(65);
    for option in ["--hostname", "--domainname"] {
        for name in
            [&too_long, "", "-web", "web-", "a..b", ".a", "a b", "a/b", "a_b", "ä"]
        {
            let ran = bench.run(&[&format!("{option}={name}")], &["touch", "was-run"]);
            ran.exits(2).complains("host name");
            ran.complains(option);
        }
    }
    bench
        .run(&["--hostname", &too_long], &["true"])
        .exits(2)
        .complains("at most 64 bytes, this one has 65");
    assert!(!bench.dir().join("was-run").exists());
}

#[test]
fn without_root_the_error_says_what_is_missing() {
    let Some(bench) = bench() else { return };
    let ran = bench.call_as_nobody(["run", "true"]);
    ran.exits(125).complains("error: clone3(NEWUTS): Operation not permitted (EPERM)");
    ran.complains("hint: new namespaces need root: use sudo");
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
}

#[test]
fn a_name_that_the_kernel_refuses_stops_the_start() {
    let Some(bench) = bench() else { return };
    if !kiste_tests::tool("strace") {
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
    let ran = bench.run_by(&strace, &["--hostname", "crate"], &["touch", "was-run"]);
    ran.exits(125)
        .complains("error: sethostname(crate): Operation not permitted (EPERM)");
    assert!(
        !bench.dir().join("was-run").exists(),
        "the command must not run with less isolation than requested"
    );
}

#[test]
fn every_option_of_the_step_below_is_here() {
    let Some(bench) = bench() else { return };
    options::of_the_steps_below_work(&bench);
}

#[test]
fn run_still_exits_with_the_status_of_the_command() {
    let Some(bench) = bench() else { return };
    bench.run(&[], &["no-such-command"]).exits(127);
    bench.run(&[], &["/etc/passwd"]).exits(126);
    bench.sh(&[], "exit 7").exits(7);
    bench.sh(&[], "kill $$").exits(143);
    bench.call(["run"]).exits(2);
}

#[test]
fn explain_narrates_the_calls_that_strace_sees() {
    let Some(bench) = bench() else { return };
    let list = "parent clone3
                child  prctl sethostname setdomainname close_range execve";
    explain::is_true(&bench, list, &["--domainname", "example.org"], &["true"]);
}

#[test]
fn help_is_as_recorded() {
    help::is_as_recorded(&step!("01-uts"));
}

#[test]
fn every_test_of_a_task_is_there() {
    kiste_tests::tasks::all_are_here(&kiste_tests::step!("01-uts"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(bench) = bench() else { return };
    help::examples_work(&bench, &[], &[]);
}
