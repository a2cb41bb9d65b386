//! A signal ends a start or an end of a container at any moment, in bounded time, and
//! nothing is left.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use kiste_tests::{Ran, User, World, eventually, host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{this_step, world};

/// Starts a run that prints nothing, and does not wait for its command.
fn begin(world: &World) -> Child {
    let dir = world.network_dir();
    let enter = world.enter();
    let options = ["--network-dir", dir.to_str().unwrap(), "-p", "8080:80"];
    Command::new(&enter[0])
        .args(&enter[1..])
        .arg(world.fixture.exe())
        .args(world.fixture.arguments(&options, &["true"]))
        .current_dir(world.fixture.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn send(run: &Child, signal: Signal) {
    kill(Pid::from_raw(run.id() as i32), signal).unwrap();
}

/// Waits for the end, and returns the exit code, or the negative signal.
fn code(run: &mut Child) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let status = eventually(|| run.try_wait().unwrap()).expect("the run ends");
    status.code().unwrap_or_else(|| -status.signal().unwrap())
}

/// Locks the directory of the networks, as another process does that changes them.
fn lock_networks(world: &World) -> File {
    let dir = world.network_dir();
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).unwrap();
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(dir.join(".lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_signal_at_any_moment_of_a_start_leaves_nothing() {
    let Some(world) = world() else { return };
    let start = Instant::now();
    assert_eq!(code(&mut begin(&world)), 0);
    let whole = start.elapsed();
    for moment in 0..16 {
        for (signal, expected) in [(Signal::SIGINT, 130), (Signal::SIGHUP, 129)] {
            let mut run = begin(&world);
            sleep(whole * moment / 16);
            send(&run, signal);
            let code = code(&mut run);
            // At first the signal kills the program, which has made nothing. In the end
            // it comes after the command.
            assert!([expected, 0, -(signal as i32)].contains(&code), "{code}");
            world.assert_unchanged();
            assert_eq!(world.fixture.leaks(), [""; 0], "at {moment}/16");
        }
    }
}

#[test]
fn a_signal_ends_a_start_that_waits_for_the_lock_of_the_networks() {
    let Some(world) = world() else { return };
    let lock = lock_networks(&world);
    let mut run = begin(&world);
    let has_begun = || fs::read_dir(world.fixture.run_dirs()).ok()?.next();
    eventually(has_begun).expect("it makes its run directory").unwrap();
    sleep(Duration::from_millis(100));
    send(&run, Signal::SIGTERM);
    assert_eq!(code(&mut run), 143);
    assert_eq!(world.fixture.leaks(), [""; 0]);
    drop(lock);
    fs::remove_dir_all(world.network_dir()).unwrap();
    world.assert_unchanged();
}

/// A container that ends, and waits for the lock of the networks.
struct End {
    lock: File,
    /// The process id of its runtime.
    runtime: i32,
    ran: JoinHandle<Ran>,
}

fn end_behind_lock(world: &World) -> End {
    let running = world.start(&["-p", "8080:80"], &["cat"]);
    let lock = lock_networks(world);
    let (runtime, command) = (running.runtime(), running.pid);
    let ran = std::thread::spawn(move || running.end());
    host::assert_exits(command);
    sleep(Duration::from_millis(100));
    End { lock, runtime, ran }
}

/// The lock is waited for during some seconds, since what is on the host can be removed
/// only under it.
#[test]
fn a_signal_ends_an_end_that_waits_for_the_lock_of_the_networks() {
    let Some(world) = world() else { return };
    let End { lock, runtime, ran } = end_behind_lock(&world);
    assert!(host::is_alive(runtime), "it waits for the lock");
    kill(Pid::from_raw(runtime), Signal::SIGTERM).unwrap();
    let ran = ran.join().unwrap();
    ran.exits(0).assert_stderr_contains("interrupted by SIGTERM");
    drop(lock);
    world.gc().exits(0);
    world.assert_unchanged();
}

#[test]
fn an_end_goes_on_after_a_signal_if_the_lock_becomes_free() {
    let Some(world) = world() else { return };
    let End { lock, runtime, ran } = end_behind_lock(&world);
    kill(Pid::from_raw(runtime), Signal::SIGTERM).unwrap();
    sleep(Duration::from_millis(300));
    drop(lock);
    let ran = ran.join().unwrap();
    assert!(!ran.exits(0).err.contains("warning"), "{}", ran.err);
    world.assert_unchanged();
}

#[test]
fn a_signal_ends_a_start_whose_pasta_hangs() {
    let needs = ["pivot-root", "user-namespace"];
    let Some(mut user) = User::without_ranges(this_step(), &needs) else { return };
    let pasta = user.dir().join("pasta");
    fs::write(&pasta, "#!/bin/sh\necho >pasta-runs; exec sleep 1000\n").unwrap();
    fs::set_permissions(&pasta, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH={}:/usr/bin:/bin", user.dir().display());
    let script = "\"$@\" & while [ ! -e pasta-runs ]; do sleep 0.02; done
                  kill -TERM $!; wait $!";
    user.user_prefix =
        ["env", &path, "bash", "-c", script, "bash"].map(String::from).into();
    let ran = user.run(&["--network", "pasta"], &["echo", "it runs"]);
    ran.exits(143).assert_stderr_contains("interrupted by SIGTERM");
    assert_eq!(ran.out, "");
}
