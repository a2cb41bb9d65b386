//! The namespaces that the container has, and those that it shares with the host.

use std::process::Command;

use kiste_tests::{explain, help, host, options, step};

use crate::fixture;

#[test]
fn the_command_is_pid_1() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&[], "echo $$").assert_stdout("1");
    let running = fixture.start(&[], &["sleep", "300"]);
    assert_eq!(host::status_field(running.pid, "NSpid"), format!("{}\t1", running.pid));
}

#[test]
fn only_the_pid_ipc_and_uts_namespaces_are_the_containers_own() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "300"]);
    assert_eq!(host::own_namespaces(running.pid), ["ipc", "pid", "uts"]);
    let with_init = fixture.start(&["--init"], &["sleep", "300"]);
    assert_eq!(host::own_namespaces(with_init.pid), ["ipc", "pid", "uts"]);
    let command = host::children(with_init.pid)[0];
    assert_eq!(host::own_namespaces(command), ["ipc", "pid", "uts"]);
}

#[test]
fn no_process_of_the_host_can_be_reached() {
    let Some(fixture) = fixture() else { return };
    let mut outside = Command::new("sleep").arg("300").spawn().unwrap();
    let ran = fixture.sh(&[], &format!("echo it runs; kill -KILL {}", outside.id()));
    let survived = outside.try_wait().unwrap().is_none();
    outside.kill().unwrap();
    outside.wait().unwrap();
    assert_eq!(ran.out, "it runs\n", "the command should run: {}", ran.err);
    assert!(ran.code != 0 && survived, "{}", ran.err);
}

#[test]
fn ps_still_lists_the_hosts_processes_because_proc_is_the_hosts() {
    let Some(fixture) = fixture() else { return };
    let listed = format!("/proc/{}", std::process::id());
    fixture.run(&[], &["test", "-d", &listed]).exits(0);
}

#[test]
fn a_message_queue_of_the_container_is_not_visible_on_the_host() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.sh(&[], "ipcmk -Q >/dev/null; tail -n +2 /proc/sysvipc/msg");
    let inside: Vec<_> = ran.exits(0).out.lines().collect();
    assert_eq!(inside.len(), 1, "{}", ran.out);
    let key = inside[0].split_whitespace().next().unwrap();
    let outside = std::fs::read_to_string("/proc/sysvipc/msg").unwrap();
    assert!(!outside.contains(key), "{outside}");
}

#[test]
fn a_message_queue_of_the_host_is_not_visible_in_the_container() {
    let Some(fixture) = fixture() else { return };
    let created =
        Command::new("ipcmk").arg("-Q").output().expect("run ipcmk, of util-linux");
    let id = String::from_utf8(created.stdout)
        .unwrap()
        .split_whitespace()
        .last()
        .unwrap()
        .to_owned();
    let ran = fixture.run(&[], &["sh", "-c", "tail -n +2 /proc/sysvipc/msg | wc -l"]);
    let outside =
        std::fs::read_to_string("/proc/sysvipc/msg").unwrap().lines().count() - 1;
    Command::new("ipcrm").args(["-q", &id]).status().unwrap();
    assert!(outside >= 1, "the host has the queue");
    ran.assert_stdout("0");
}

#[test]
fn the_container_still_has_its_own_name() {
    let Some(fixture) = fixture() else { return };
    fixture.run(&["--hostname", "crate"], &["uname", "-n"]).assert_stdout("crate");
    fixture
        .run(&["--init", "--hostname", "crate"], &["uname", "-n"])
        .assert_stdout("crate");
}

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(fixture) = fixture() else { return };
    options::assert_earlier_options_work(&fixture);
}

#[test]
fn without_root_the_error_says_what_is_missing() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.call_as_nobody(["run", "true"]);
    ran.exits(125).assert_stderr_contains("Operation not permitted (EPERM)");
    ran.assert_stderr_contains("hint: new namespaces need root: use sudo");
}

#[test]
fn explain_narrates_the_calls_that_strace_sees() {
    let Some(fixture) = fixture() else { return };
    let list = "parent clone3
                child  prctl setpgid sethostname close_range execve";
    explain::assert_narration_matches_strace(&fixture, list, &[], &["true"]);
    let with_init = "parent     clone3
                     child      prctl setpgid sethostname close_range clone3
                     grandchild prctl close_range execve";
    explain::assert_narration_matches_strace(
        &fixture,
        with_init,
        &["--init"],
        &["true"],
    );
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("02-pid"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(fixture) = fixture() else { return };
    help::assert_examples_work(&fixture, &[], &[]);
}
