//! Many containers at once. None hangs, and none leaves a process.

use std::fs;

use kiste_tests::{Fixture, eventually};

use crate::fixture;

/// Lists the processes, including zombies, in the working directory of the fixture.
fn left_processes(fixture: &Fixture) -> Vec<String> {
    let has_bench_as_cwd = |pid: &String| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == fixture.dir())
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pids.filter(has_bench_as_cwd).collect()
}

#[test]
fn fifty_containers_at_once_exit_with_their_codes() {
    let Some(fixture) = fixture() else { return };
    std::thread::scope(|scope| {
        for number in 0..50 {
            let fixture = &fixture;
            let options: &[&str] = if number % 2 == 0 { &[] } else { &["--init"] };
            scope.spawn(move || {
                fixture.sh(options, &format!("exit {number}")).exits(number);
            });
        }
    });
    eventually(|| left_processes(&fixture).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("{:?}", left_processes(&fixture)));
}

#[test]
fn two_hundred_containers_in_a_row_exit_with_their_codes() {
    let Some(fixture) = fixture() else { return };
    for number in 0..100 {
        fixture.sh(&[], &format!("exit {number}")).exits(number);
        fixture.sh(&["--init"], &format!("exit {number}")).exits(number);
    }
    eventually(|| left_processes(&fixture).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("{:?}", left_processes(&fixture)));
}

#[test]
fn fifty_runtimes_that_are_killed_at_any_moment_leave_no_process() {
    let Some(fixture) = fixture() else { return };
    // If nothing could start at all, this test would prove nothing.
    fixture.sh(&[], "echo it runs").assert_stdout("it runs");
    fixture.sh(&["--init"], "echo it runs").assert_stdout("it runs");
    for number in 0..50u64 {
        let options: &[&str] = if number % 2 == 0 { &[] } else { &["--init"] };
        let arguments = fixture.arguments(options, &["sleep", "300"]);
        let mut command = std::process::Command::new(fixture.exe());
        let mut runtime =
            command.args(arguments).current_dir(fixture.dir()).spawn().unwrap();
        // The kill comes before the runtime's first line, after the exec of the
        // command, or at any moment between.
        std::thread::sleep(std::time::Duration::from_micros(number * 200));
        runtime.kill().unwrap();
        runtime.wait().unwrap();
    }
    eventually(|| left_processes(&fixture).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("{:?}", left_processes(&fixture)));
}
