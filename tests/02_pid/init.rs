//! With `--init`, an init does the duties of PID 1, and the command need not.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use kiste_tests::{eventually, host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture;

#[test]
fn the_command_is_the_only_child_of_pid_1() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&["--init"], "echo $$ $PPID").assert_stdout("2 1");
    let running = fixture.start(&["--init"], &["sleep", "300"]);
    assert!(host::status_field(running.pid, "NSpid").ends_with("\t1"));
    let children = host::children(running.pid);
    assert_eq!(children.len(), 1);
    assert_eq!(host::status_field(children[0], "Name"), "sleep");
}

#[test]
fn the_end_of_the_command_is_the_end_of_the_container() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&["--init"], "exit 7").exits(7);
    fixture.run(&["--init"], &["true"]).exits(0);
    fixture.sh(&["--init"], "kill -TERM $$").exits(143);
    fixture.sh(&["--init"], "kill -KILL $$").exits(137);
}

#[test]
fn a_command_that_cannot_start_is_reported_as_without_init() {
    let Some(fixture) = fixture() else { return };
    fixture
        .run(&["--init"], &["no-such-command"])
        .exits(127)
        .assert_stderr_contains("\"no-such-command\": not found");
    fixture
        .run(&["--init"], &["/etc/passwd"])
        .exits(126)
        .assert_stderr_contains("it is not executable");
    let ran = fixture.run(&["--init", "-w", "/no/such"], &["true"]);
    ran.exits(125).assert_stderr_contains("chdir(/no/such)");
    assert_eq!(ran.err.matches("error:").count(), 1, "{}", ran.err);
}

#[test]
fn all_calls_are_explained_before_the_command_prints_anything() {
    let Some(fixture) = fixture() else { return };
    for _ in 0..20 {
        let ran = fixture
            .run(&["--init", "--explain"], &["sh", "-c", "echo 'the command' >&2"]);
        let lines: Vec<_> = ran.err.lines().collect();
        let [narration @ .., command, last] = &lines[..] else { panic!("{}", ran.err) };
        assert!(narration.last().unwrap().contains("execve"), "{}", ran.err);
        assert!(*command == "the command" && last.contains("waitid"), "{}", ran.err);
    }
}

#[test]
fn orphans_are_reaped_while_the_command_runs() {
    let Some(fixture) = fixture() else { return };
    let orphans =
        "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.1 &); done; echo ready; read line";
    let mut running = fixture.start(&["--init"], &["sh", "-c", orphans]);
    running.wait_for("ready");
    let command = host::children(running.pid)[0];
    eventually(|| (host::children(running.pid) == [command]).then_some(()))
        .unwrap_or_else(|| {
            panic!("children of init: {:?}", host::children(running.pid));
        });
}

/// SIGCHLD is pending only once, however many children have ended (signal(7)).
#[test]
fn children_that_end_while_init_is_stopped_are_all_reaped() {
    let Some(fixture) = fixture() else { return };
    let orphan = "(sh -c 'until [ -e go ]; do sleep 0.02; done' &)";
    let script = format!(
        "trap 'echo got it' USR1; for i in 1 2 3 4 5 6 7 8; do {orphan}; done; \
         while :; do sleep 0.02; done"
    );
    let mut running = fixture.start(&["--init"], &["sh", "-c", &script]);
    let children = |pid| {
        assert!(host::is_alive(pid), "init has ended");
        host::children(pid)
    };
    let init = running.pid;
    eventually(|| (children(init).len() == 9).then_some(())).expect("eight orphans");

    kill(Pid::from_raw(init), Signal::SIGSTOP).unwrap();
    let is_stopped =
        || host::status_field(init, "State").starts_with('T').then_some(());
    eventually(is_stopped).expect("init is stopped");
    fs::write(fixture.dir().join("go"), "").unwrap();
    let zombies = || children(init).iter().filter(|it| !host::is_alive(it)).count();
    eventually(|| (zombies() == 8).then_some(()))
        .expect("all eight orphans have ended");

    running.signal(Signal::SIGCONT);
    // When init has forwarded the second signal, it has handled all events that came
    // before the first one.
    for _ in 0..2 {
        running.signal(Signal::SIGUSR1);
        running.wait_for("got it\n");
    }
    assert_eq!(zombies(), 0, "init does not reap these zombies");
}

#[test]
fn without_init_orphans_become_zombies_of_a_command_that_does_not_reap_them() {
    let Some(fixture) = fixture() else { return };
    let orphan = "(sh -c 'until [ -e go ]; do sleep 0.02; done' &)";
    let script = format!("{orphan}; {orphan}; exec sleep 300");
    let running = fixture.start(&[], &["sh", "-c", &script]);
    let is_sleep =
        || (host::status_field(running.pid, "Name") == "sleep").then_some(());
    eventually(is_sleep)
        .expect("the shell, which reaps, executes sleep, which does not reap");
    fs::write(fixture.dir().join("go"), "").unwrap();
    let zombies = || {
        let children = host::children(running.pid);
        let zombies = children.iter().filter(|pid| !host::is_alive(pid)).count();
        (zombies == 2).then_some(())
    };
    eventually(zombies).expect("two zombies");
}

#[test]
fn an_orphan_does_not_delay_the_end_of_the_container_and_ends_with_it() {
    let Some(fixture) = fixture() else { return };
    for init in [&[][..], &["--init"]] {
        let script = "(sleep 300 >/dev/null 2>&1 &); echo ready; read line; exit 5";
        let mut running = fixture.start(init, &["sh", "-c", script]);
        running.wait_for("ready");
        let namespace = host::namespace(running.pid, "pid");
        running.type_in("\n");
        running.end().exits(5);
        assert_eq!(host::processes_in("pid", &namespace), [0; 0]);
    }
}

#[test]
fn init_keeps_no_descriptor_of_the_host_open() {
    let Some(fixture) = fixture() else { return };
    let caller =
        ["sh", "-c", r#"exec "$0" "$@" 3</etc 4</dev/null 5>stray 6</ 7</ 8</etc 9</"#];
    let running = fixture.start_under(&caller, &["--init"], &["sleep", "300"]);
    let mut open = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/fd", running.pid)).unwrap() {
        let path = entry.unwrap().path();
        let number: u32 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let link = fs::read_link(&path).unwrap().display().to_string();
        // The link is "anon_inode:[pidfd]" before Linux 6.9, and "pidfd:[7]" since.
        let ours = link.starts_with("socket:")
            || link.contains("[signalfd]")
            || link.contains("pidfd");
        open.extend((number > 2 && !ours).then_some(link));
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn init_does_not_show_the_environment_of_the_caller() {
    let Some(fixture) = fixture() else { return };
    let caller = ["env", "TOKEN=of the caller"];
    let running = fixture.start_under(
        &caller,
        &["--init", "-e", "GIVEN=to the command"],
        &["sleep", "300"],
    );
    let environment =
        |pid: i32| fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert_eq!(environment(running.pid).trim_matches('\0'), "");
    let command = environment(host::children(running.pid)[0]);
    assert!(
        command.contains("GIVEN=to the command") && !command.contains("TOKEN"),
        "{command}"
    );
}

#[test]
fn init_forwards_signals() {
    let Some(fixture) = fixture() else { return };
    let script = "for s in HUP INT QUIT USR1 USR2 WINCH; do trap \"echo got $s\" $s; done
                  trap 'echo got TERM; exit 9' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = fixture.start(&["--init"], &["sh", "-c", script]);
    running.wait_for("ready\n");
    for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH"] {
        running.signal(format!("SIG{signal}").parse().unwrap());
        running.wait_for(&format!("got {signal}\n"));
    }
    running.signal(Signal::SIGTERM);
    running.wait_for("got TERM\n");
    running.end().exits(9);
}

#[test]
fn a_command_without_a_handler_ends_by_the_signal() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&["--init"], &["sleep", "300"]);
    running.signal(Signal::SIGTERM);
    running.end().exits(143);
    // Real-time signals have numbers and no names.
    let running = fixture.start(&["--init"], &["sleep", "300"]);
    let sent = Command::new("sh")
        .args(["-c", "kill -37 $0", &running.runtime().to_string()])
        .status();
    assert!(sent.unwrap().success());
    running.end().exits(128 + 37);
}

#[test]
fn init_waits_and_does_not_spin() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&["--init"], &["sleep", "300"]);
    let ticks = || host::ticks(running.pid) + host::ticks(running.runtime());
    let before = ticks();
    sleep(Duration::from_millis(500));
    let after = ticks();
    assert!(after - before <= 5, "{} ticks of 10 ms in half a second", after - before);
}
