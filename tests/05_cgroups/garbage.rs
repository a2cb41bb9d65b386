//! Notes that are not what they should be: `gc` removes no more than what is surely a dead container's,
//! and one bad note does not keep it from the others.

use std::fs;
use std::os::unix::fs::symlink;

use kiste_tests::{Bench, host};

use crate::bench;
use crate::gc::{Left, gc};
use crate::kernel;

/// A run directory that a dead runtime might have left, with this note.
fn forge(bench: &Bench, id: &str, note: &str) {
    let run_dir = bench.run_dirs().join(id);
    fs::create_dir_all(&run_dir).unwrap();
    fs::write(run_dir.join("cgroups"), note).unwrap();
}

#[test]
fn a_forged_note_removes_nothing_outside_the_cgroups_and_gc_says_so() {
    let Some(bench) = bench() else { return };
    let left = Left::by(&bench, bench.start(&[], &["sleep", "100"]));
    let victim = bench.dir().join("0123456789ab");
    fs::create_dir_all(victim.join("inner")).unwrap();
    let up = "../".repeat(10);
    let top = host::cgroup_mounts().pop().unwrap();
    let forged = [
        format!("{}\n", victim.display()),
        format!("{}{}\n", up, victim.display()),
        format!("{}/{}{}\n", top.display(), up, victim.display()),
        "../..\n".to_string(),
        format!("{}\n", top.display()),
        "/\n".to_string(),
    ];
    for (number, note) in forged.iter().enumerate() {
        forge(&bench, &format!("00000000000{number}"), note);
        // Also where it is named as the container's own is.
        forge(&bench, "0123456789ab", note);
        let ran = gc(&bench);
        ran.exits(1).complains("noted as a cgroup, and is none").complains("0123456789ab");
        assert!(victim.join("inner").exists(), "{note}");
        assert!(top.exists());
        fs::remove_dir_all(bench.run_dirs().join(format!("00000000000{number}"))).unwrap();
    }
    left.assert_gone();
    fs::remove_dir_all(bench.run_dirs()).unwrap();
}

/// A link is no cgroup, even where it stands in a cgroup's place.
#[test]
fn a_note_that_names_a_link_is_not_followed() {
    let Some(bench) = bench() else { return };
    let victim = bench.dir().join("victim");
    fs::create_dir_all(victim.join("inner")).unwrap();
    fs::create_dir_all(bench.run_dirs()).unwrap();
    // A run directory that is a link to somebody's directory.
    symlink(&victim, bench.run_dirs().join("link")).unwrap();
    gc(&bench);
    assert!(victim.join("inner").exists());
    let _ = fs::remove_dir_all(bench.run_dirs());
}

#[test]
fn garbage_among_the_run_directories_does_not_keep_gc_from_its_work() {
    let Some(bench) = bench() else { return };
    let left = Left::by(&bench, bench.start(&[], &["sleep", "100"]));
    let run_dirs = bench.run_dirs();
    fs::write(run_dirs.join("a-file"), "not a directory").unwrap();
    symlink("/nonexistent", run_dirs.join("dangling")).unwrap();
    fs::create_dir_all(run_dirs.join("0000000000aa/cgroups")).unwrap();
    fs::create_dir(run_dirs.join("0000000000bb")).unwrap();
    fs::write(run_dirs.join("0000000000bb/cgroups"), [0xff, 0xfe, b'\n', 0]).unwrap();
    nix::unistd::mkfifo(&run_dirs.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ran = gc(&bench);
    ran.exits(1).complains("0000000000aa").complains("0000000000bb");
    assert_eq!(ran.out.trim(), left.id, "what could be removed is told");
    left.assert_gone();
    // Nor does it keep the next container from starting.
    let next = bench.run(&[], &["echo", "next"]);
    next.prints("next").complains("warning");
    fs::remove_dir_all(run_dirs).unwrap();
}

/// A runtime that died right after mkdir(2) has left nothing but that.
#[test]
fn an_empty_run_directory_is_removed() {
    let Some(bench) = bench() else { return };
    fs::create_dir_all(bench.run_dirs().join("0123456789ab")).unwrap();
    gc(&bench).prints("0123456789ab");
    assert!(fs::read_dir(bench.run_dirs()).unwrap().next().is_none());
}

/// `--run-dir` may name any directory of somebody's.
#[test]
fn what_is_no_run_directory_is_not_touched() {
    let Some(bench) = bench() else { return };
    let photo = bench.run_dirs().join("photos/one");
    fs::create_dir_all(photo.parent().unwrap()).unwrap();
    fs::write(&photo, "a photo").unwrap();
    gc(&bench).prints("");
    bench.run(&[], &["true"]).exits(0);
    assert_eq!(fs::read_to_string(&photo).unwrap(), "a photo");
    fs::remove_dir_all(bench.run_dirs().join("photos")).unwrap();
    bench.run(&[], &["true"]).exits(0);
    assert!(bench.run_dirs().exists(), "who made it may keep it, empty");
}

/// Whoever made the host's own cgroups, it was not Kiste: they have no mark.
#[test]
fn gc_leaves_a_noted_parent_that_others_are_in() {
    let Some(bench) = bench() else { return };
    let living = bench.start(&[], &["sh", "-c", "read line; exit 0"]);
    let parents = kernel::in_each(bench.cgroup_parent());
    let note: String = parents.iter().map(|path| format!("{}\n", path.display())).collect();
    forge(&bench, "0123456789ab", &note);
    gc(&bench).prints("0123456789ab");
    assert_eq!(kernel::in_each(bench.cgroup_parent()), parents);
    assert!(host::is_alive(living.pid));
    living.end().exits(0);
}
