//! Step 4: the container has its own root file system, and cannot reach the host's
//! files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use kiste_tests::{
    Distribution, Fixture, Terminal, eventually, explain, help, host, keys, options,
    require_tool, rootfs, step,
};

#[path = "04_pivot_root/default_mounts.rs"]
mod default_mounts;
#[path = "04_pivot_root/escape.rs"]
mod escape;
#[path = "04_pivot_root/hostile.rs"]
mod hostile;
#[path = "04_pivot_root/root.rs"]
mod root;
#[path = "04_pivot_root/streams.rs"]
mod streams;
#[path = "04_pivot_root/terminal.rs"]
mod terminal;
#[path = "04_pivot_root/volumes.rs"]
mod volumes;

fn fixture() -> Option<Fixture> {
    Fixture::of(step!("04-pivot-root"), &["root", "pivot-root"])
}

/// Lists a tree: the mode and size of each path, and the target of a link.
fn listing(tree: &Path) -> BTreeMap<PathBuf, (u32, u64, Option<PathBuf>)> {
    let mut found = BTreeMap::new();
    let mut rest = vec![tree.to_path_buf()];
    while let Some(path) = rest.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let size = if metadata.is_file() { metadata.len() } else { 0 };
        if metadata.is_dir() {
            rest.extend(
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()),
            );
        }
        found.insert(path.clone(), (metadata.mode(), size, fs::read_link(&path).ok()));
    }
    found
}

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(fixture) = fixture() else { return };
    options::assert_earlier_options_work(&fixture);
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("04-pivot-root"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(fixture) = fixture() else { return };
    help::assert_examples_work(&fixture, &[], &[]);
}

#[test]
fn explain_narrates_the_calls_that_strace_sees() {
    let Some(fixture) = fixture() else { return };
    let list = "
        parent  clone3
        child   prctl setsid sethostname mount open_tree mount_setattr move_mount (fsmount move_mount)+ fsmount (mknodat)+ move_mount (fsmount move_mount)+ open_tree move_mount fchdir pivot_root umount2 chdir close_range execve
    ";
    explain::assert_narration_matches_strace(
        &fixture,
        list,
        &["--read-only", "-t"],
        &["true"],
    );
}

#[test]
fn every_test_that_a_task_names_exists() {
    kiste_tests::tasks::assert_all_tests_exist(&kiste_tests::step!("04-pivot-root"));
}
