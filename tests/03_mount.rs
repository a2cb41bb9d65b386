//! Step 3: the container has its own mounts, which the host never sees.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use kiste_tests::{
    Distribution, Fixture, Ran, explain, help, host, keys, options, require_tool, step,
};
use nix::sys::signal::Signal;

#[path = "03_mount/attributes.rs"]
mod attributes;
#[path = "03_mount/inside.rs"]
mod inside;
#[path = "03_mount/propagation.rs"]
mod propagation;
#[path = "03_mount/requests.rs"]
mod requests;

fn fixture() -> Option<Fixture> {
    Fixture::of(step!("03-mount"), &["root"])
}

/// Makes a directory for the test. Returns its path, and the path as text for an
/// option.
fn directory(fixture: &Fixture, name: &str) -> (PathBuf, String) {
    let path = fixture.dir().join(name);
    fs::create_dir_all(&path).unwrap();
    let text = path.to_str().unwrap().into();
    (path, text)
}

/// Makes a directory with a file in it: `name/file` contains `name`.
fn directory_with_a_file(fixture: &Fixture, name: &str) -> (PathBuf, String) {
    let (path, text) = directory(fixture, name);
    fs::write(path.join("file"), name).unwrap();
    (path, text)
}

#[test]
fn the_container_has_its_own_mount_namespace() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "100"]);
    assert_ne!(host::namespace(running.pid, "mnt"), host::namespace("self", "mnt"));
}

#[test]
fn proc_shows_only_the_processes_of_the_container() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&[], "echo /proc/[0-9]*").assert_stdout("/proc/1");
}

#[test]
fn proc_is_mounted_over_the_hosts_with_nosuid_nodev_noexec() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "100"]);
    let proc = host::mount_at(running.pid, "/proc").unwrap();
    assert!(proc.contains(" rw,nosuid,nodev,noexec,"), "{proc}");
    assert_ne!(
        proc.split(' ').nth(2),
        host::mount_at("self", "/proc").unwrap().split(' ').nth(2),
        "the container has a new proc"
    );
}

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(fixture) = fixture() else { return };
    options::assert_earlier_options_work(&fixture);
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("03-mount"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(fixture) = fixture() else { return };
    help::assert_examples_work(&fixture, &[], &[]);
}

#[test]
fn explain_narrates_the_calls_that_strace_sees() {
    let Some(fixture) = fixture() else { return };
    let (_, target) = directory(&fixture, "target");
    let list = "
        parent  clone3
        child   prctl setpgid sethostname mount fsmount move_mount fsmount mount_setattr move_mount open_tree mount_setattr move_mount mount close_range execve
    ";
    let (_, memory) = directory(&fixture, "memory");
    let volume = format!("{target}:{target}:ro");
    let options = ["--propagation", "shared", "--tmpfs", &memory, "-v", &volume];
    explain::assert_narration_matches_strace(&fixture, list, &options, &["true"]);
}

#[test]
fn a_command_in_a_pipeline_below_sudo_has_the_keyboard() {
    let Some(fixture) = fixture() else { return };
    keys::a_command_in_a_pipeline_below_sudo_has_the_keyboard(&fixture, &[]);
}

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("03-mount"));
}
