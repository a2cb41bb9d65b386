//! Many runs at once, some of them killed: none hangs, `gc` touches no container that
//! is alive, and nothing is left.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kiste_tests::{Fixture, eventually, host};

use crate::fixture;
use crate::gc::gc;
use crate::kernel::{self, is_vm};

/// Returns `on_host`, or `in_vm` in the virtual machine, where each run takes thirty
/// times as long.
fn host_or_vm(on_host: u32, in_vm: u32) -> u32 {
    if is_vm() { in_vm } else { on_host }
}

#[test]
fn two_hundred_runs_in_a_row_leave_nothing() {
    let Some(fixture) = fixture() else { return };
    let start = Instant::now();
    for number in 0..host_or_vm(200, 10) {
        let code = (number % 100) as i32;
        let ran = fixture.sh(&["-m", "64m"], &format!("exit {code}"));
        ran.exits(code);
        assert_eq!(ran.err, "", "run {number}");
    }
    print_duration(&format!("{} runs in a row", host_or_vm(200, 10)), start);
    assert!(fixture.leaks().is_empty(), "{:?}", fixture.leaks());
}

#[test]
fn fifty_runs_at_once_exit_with_their_own_codes() {
    let Some(fixture) = fixture() else { return };
    fixture.rootfs();
    let start = Instant::now();
    let running: Vec<_> = (0..host_or_vm(50, 10))
        .map(|number| spawn(&fixture, &[], &format!("exit {number}")))
        .collect();
    for (number, child) in running.into_iter().enumerate() {
        assert_ended(child, number as i32);
    }
    print_duration(&format!("{} runs at once", host_or_vm(50, 10)), start);
    assert!(fixture.leaks().is_empty(), "{:?}", fixture.leaks());
}

#[test]
fn fifty_runs_killed_at_random_moments_disturb_neither_other_runs_nor_gc() {
    let Some(fixture) = fixture() else { return };
    fixture.rootfs();
    let (done, start) = (AtomicBool::new(false), Instant::now());
    let living = fixture.start(&[], &["sh", "-c", "read line; exit 3"]);
    let (other_runs, gc_runs) = thread::scope(|scope| {
        let runs = scope.spawn(|| {
            repeat_until(&done, || {
                assert_ended(spawn(&fixture, &[], "sleep 0.05; exit 7"), 7)
            })
        });
        let gcs = scope.spawn(|| {
            repeat_until(&done, || {
                let ran = gc(&fixture);
                assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
            })
        });
        let killers: Vec<_> =
            [0, 1].map(|_| scope.spawn(|| kill_at_random(&fixture))).into();
        let results: Vec<_> = killers.into_iter().map(|killer| killer.join()).collect();
        done.store(true, Ordering::Relaxed);
        let counts = (runs.join(), gcs.join());
        results.into_iter().for_each(|result| result.expect("the killed runs"));
        (counts.0.expect("the other runs"), counts.1.expect("gc"))
    });
    assert!(host::is_alive(living.pid), "this container was alive all the time");
    assert!(!kernel::directories(&fixture, &kernel::id(&living)).is_empty());
    living.end().exits(3);
    gc(&fixture).exits(0);
    let what = format!(
        "{} killed runs, {other_runs} other runs and {gc_runs} runs of gc",
        2 * host_or_vm(25, 5)
    );
    print_duration(&what, start);
    eventually(|| fixture.leaks().is_empty().then_some(()))
        .unwrap_or_else(|| panic!("left: {:#?}", fixture.leaks()));
    assert!(!fixture.run_dirs().exists());
}

/// Starts runs one after the other, and kills each after 0 to 80 ms: before its first
/// call, long after the start of its command, or at any moment between.
fn kill_at_random(fixture: &Fixture) {
    for number in 0..host_or_vm(25, 5) {
        // With --init there is a process between the runtime and the command.
        let options = if number % 2 == 0 { &["--init"][..] } else { &[] };
        let mut child = spawn(fixture, options, "sleep 100");
        let mut random = [0];
        read_urandom(&mut random);
        thread::sleep(Duration::from_micros(
            u64::from(random[0]) * if is_vm() { 4000 } else { 320 },
        ));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn read_urandom(bytes: &mut [u8]) {
    use std::io::Read;
    std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
}

/// Repeats `work` until `done` is set, at least once, and returns how many times.
fn repeat_until(done: &AtomicBool, mut work: impl FnMut()) -> u32 {
    let mut count = 0;
    loop {
        work();
        count += 1;
        if done.load(Ordering::Relaxed) {
            return count;
        }
    }
}

fn spawn(fixture: &Fixture, options: &[&str], script: &str) -> Child {
    Command::new(fixture.exe())
        .args(fixture.arguments(
            &[&["--pids-limit", "9"], options].concat(),
            &["sh", "-c", script],
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
fn assert_ended(mut child: Child, code: i32) {
    let ended = eventually(|| child.try_wait().unwrap());
    if ended.is_none() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(ended.is_some(), "the run hangs; its stderr: {stderr}");
    assert_eq!((output.status.code(), stderr.as_str()), (Some(code), ""));
}

/// Prints a duration directly to stderr: the harness hides `eprintln!`.
fn print_duration(what: &str, start: Instant) {
    let line = format!("05_cgroups: {what}: {:.1} s\n", start.elapsed().as_secs_f64());
    let _ = std::io::stderr().write_all(line.as_bytes());
}
