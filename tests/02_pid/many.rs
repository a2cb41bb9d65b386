//! Many containers at once. None hangs, and none leaves a process.

use std::fs;

use kiste_tests::{Bench, eventually};

use crate::bench;

/// Lists the processes, including zombies, in the working directory of the bench.
fn left_processes(bench: &Bench) -> Vec<String> {
    let has_bench_as_cwd = |pid: &String| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == bench.dir())
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    pids.filter(has_bench_as_cwd).collect()
}

#[test]
fn fifty_containers_at_once_exit_with_their_codes() {
    let Some(bench) = bench() else { return };
    std::thread::scope(|scope| {
        for number in 0..50 {
            let bench = &bench;
            let options: &[&str] = if number % 2 == 0 { &[] } else { &["--init"] };
            scope.spawn(move || {
                bench.sh(options, &format!("exit {number}")).exits(number);
            });
        }
    });
    eventually(|| left_processes(&bench).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("{:?}", left_processes(&bench)));
}

#[test]
fn two_hundred_containers_in_a_row_exit_with_their_codes() {
    let Some(bench) = bench() else { return };
    for number in 0..100 {
        bench.sh(&[], &format!("exit {number}")).exits(number);
        bench.sh(&["--init"], &format!("exit {number}")).exits(number);
    }
    eventually(|| left_processes(&bench).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("{:?}", left_processes(&bench)));
}

#[test]
fn fifty_runtimes_that_are_killed_at_any_moment_leave_no_process() {
    let Some(bench) = bench() else { return };
    // If nothing could start at all, this test would prove nothing.
    bench.sh(&[], "echo it runs").prints("it runs");
    bench.sh(&["--init"], "echo it runs").prints("it runs");
    for number in 0..50u64 {
        let options: &[&str] = if number % 2 == 0 { &[] } else { &["--init"] };
        let arguments = bench.arguments(options, &["sleep", "300"]);
        let mut command = std::process::Command::new(bench.exe());
        let mut runtime =
            command.args(arguments).current_dir(bench.dir()).spawn().unwrap();
        // The kill comes before the runtime's first line, after the exec of the
        // command, or at any moment between.
        std::thread::sleep(std::time::Duration::from_micros(number * 200));
        runtime.kill().unwrap();
        runtime.wait().unwrap();
    }
    eventually(|| left_processes(&bench).is_empty().then_some(()))
        .unwrap_or_else(|| panic!("{:?}", left_processes(&bench)));
}
