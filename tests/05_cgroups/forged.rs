//! Forged and broken notes. `gc` removes only the cgroups of dead containers, and goes
//! on with the other notes when one is bad.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use kiste_tests::{Bench, Running, host};

use crate::bench;
use crate::gc::{LeftBehind, gc};
use crate::kernel;

/// Makes a run directory with this note, as a dead runtime might have left it.
fn forge(bench: &Bench, id: &str, note: &str) {
    let run_dir = bench.run_dirs().join(id);
    fs::create_dir_all(&run_dir).unwrap();
    fs::write(run_dir.join("cgroups"), note).unwrap();
}

#[test]
fn a_forged_note_removes_nothing_outside_the_cgroups_and_gc_says_so() {
    let Some(bench) = bench() else { return };
    let left = LeftBehind::by_killing(&bench, bench.start(&[], &["sleep", "100"]));
    let victim = bench.dir().join("0123456789ab");
    fs::create_dir_all(victim.join("inner")).unwrap();
    let to_root = "../".repeat(10);
    let top = host::cgroup_mounts().pop().unwrap();
    let forged = [
        format!("{}\n", victim.display()),
        format!("{}{}\n", to_root, victim.display()),
        format!("{}/{}{}\n", top.display(), to_root, victim.display()),
        "../..\n".to_string(),
        format!("{}\n", top.display()),
        "/\n".to_string(),
    ];
    for (number, note) in forged.iter().enumerate() {
        forge(&bench, &format!("00000000000{number}"), note);
        // The same note in a run directory that has the name of the victim.
        forge(&bench, "0123456789ab", note);
        let ran = gc(&bench);
        ran.exits(1)
            .complains("noted as a cgroup, but it is not one")
            .complains("0123456789ab");
        assert!(victim.join("inner").exists(), "{note}");
        assert!(top.exists());
        fs::remove_dir_all(bench.run_dirs().join(format!("00000000000{number}")))
            .unwrap();
    }
    left.assert_gone();
    fs::remove_dir_all(bench.run_dirs()).unwrap();
}

/// A link is not a cgroup, even if it is where a cgroup should be.
#[test]
fn a_note_that_names_a_link_is_not_followed() {
    let Some(bench) = bench() else { return };
    let victim = bench.dir().join("victim");
    fs::create_dir_all(victim.join("inner")).unwrap();
    fs::create_dir_all(bench.run_dirs()).unwrap();
    // This run directory is a link to another directory.
    symlink(&victim, bench.run_dirs().join("link")).unwrap();
    gc(&bench);
    assert!(victim.join("inner").exists());
    let _ = fs::remove_dir_all(bench.run_dirs());
}

#[test]
fn gc_removes_a_container_although_there_is_garbage_among_the_run_directories() {
    let Some(bench) = bench() else { return };
    let left = LeftBehind::by_killing(&bench, bench.start(&[], &["sleep", "100"]));
    let run_dirs = bench.run_dirs();
    fs::write(run_dirs.join("a-file"), "not a directory").unwrap();
    symlink("/nonexistent", run_dirs.join("dangling")).unwrap();
    fs::create_dir_all(run_dirs.join("0000000000aa/cgroups")).unwrap();
    fs::create_dir(run_dirs.join("0000000000bb")).unwrap();
    fs::write(run_dirs.join("0000000000bb/cgroups"), [0xff, 0xfe, b'\n', 0]).unwrap();
    nix::unistd::mkfifo(&run_dirs.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ran = gc(&bench);
    ran.exits(1).complains("0000000000aa").complains("0000000000bb");
    assert_eq!(ran.out.trim(), left.id, "the id of the removed container is printed");
    left.assert_gone();
    // The garbage does not keep the next container from starting either.
    let next = bench.run(&[], &["echo", "next"]);
    next.prints("next").complains("warning");
    fs::remove_dir_all(run_dirs).unwrap();
}

/// A user who can write a note could have any cgroup removed.
#[test]
fn a_run_directory_that_others_can_write_to_is_refused_by_run_and_gc() {
    let Some(bench) = bench() else { return };
    let living = bench.start(&[], &["sh", "-c", "read line; exit 4"]);
    let shared = bench.dir().join("shared");
    forge_note_about(&bench, &shared, &living);
    for (owner, mode, reason) in [
        (0, 0o1777, "mode 1777"),
        (0, 0o775, "mode 0775"),
        (65534, 0o755, "belongs to uid 65534"),
    ] {
        chown(&shared, Some(owner), None).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
        let shared = shared.to_str().unwrap();
        bench
            .call(["gc", "--run-dir", shared])
            .exits(1)
            .complains(reason)
            .complains("hint: ");
        let rootfs = bench.rootfs().to_str().unwrap();
        let run = [
            "run",
            "--run-dir",
            shared,
            "--rootfs",
            rootfs,
            "--cgroup-parent",
            bench.cgroup_parent(),
        ];
        let ran = bench.call([&run[..], &["echo", "ran"]].concat());
        ran.exits(125).complains(reason).complains("hint: ");
        assert_eq!(ran.out, "");
        assert_eq!(
            fs::read_dir(shared).unwrap().count(),
            1,
            "nothing was added to the directory"
        );
        assert!(host::is_alive(living.pid), "{reason}");
    }
    living.end().exits(4);
}

#[test]
fn a_run_directory_of_another_user_is_skipped_and_the_others_are_collected() {
    let Some(bench) = bench() else { return };
    let living = bench.start(&[], &["sh", "-c", "read line; exit 4"]);
    let run_dirs = bench.dir().join("others");
    forge_note_about(&bench, &run_dirs, &living);
    let run_dir = fs::read_dir(&run_dirs).unwrap().next().unwrap().unwrap().path();
    fs::create_dir(run_dirs.join("0123456789ab")).unwrap();
    for (owner, mode, reason) in
        [(65534, 0o755, "belongs to uid 65534"), (0, 0o777, "mode 0777")]
    {
        chown(&run_dir, Some(owner), None).unwrap();
        fs::set_permissions(&run_dir, fs::Permissions::from_mode(mode)).unwrap();
        let ran = bench.call(["gc", "--run-dir", run_dirs.to_str().unwrap()]);
        ran.exits(1).complains(reason).complains("hint: ");
        assert!(run_dir.join("cgroups").exists() && host::is_alive(living.pid));
    }
    assert!(!run_dirs.join("0123456789ab").exists());
    living.end().exits(4);
}

/// Makes a run directory in `parent`. Its note names the cgroups of a living container.
fn forge_note_about(bench: &Bench, parent: &Path, living: &Running) {
    let id = kernel::id(living);
    fs::create_dir_all(parent.join(&id)).unwrap();
    fs::copy(
        bench.run_dirs().join(&id).join("cgroups"),
        parent.join(&id).join("cgroups"),
    )
    .unwrap();
}

#[test]
fn a_note_that_is_not_a_small_regular_file_is_not_read() {
    let Some(bench) = bench() else { return };
    let run_dir = bench.run_dirs().join("0123456789ab");
    let note = run_dir.join("cgroups");
    fs::create_dir_all(&run_dir).unwrap();
    // No process writes into the FIFO, so open(2) for reading would block for ever.
    nix::unistd::mkfifo(&note, nix::sys::stat::Mode::S_IRWXU).unwrap();
    gc(&bench).exits(1).complains("not a regular file");
    fs::remove_file(&note).unwrap();
    symlink("/dev/null", &note).unwrap();
    gc(&bench).exits(1).complains("cgroups");
    fs::remove_file(&note).unwrap();
    fs::write(&note, "/\n".repeat(40_000)).unwrap();
    gc(&bench).exits(1).complains("not a regular file");
    fs::remove_dir_all(bench.run_dirs()).unwrap();
}

/// A runtime that dies right after mkdir(2) leaves such a directory.
#[test]
fn an_empty_run_directory_is_removed() {
    let Some(bench) = bench() else { return };
    fs::create_dir_all(bench.run_dirs().join("0123456789ab")).unwrap();
    gc(&bench).prints("0123456789ab");
    assert!(fs::read_dir(bench.run_dirs()).unwrap().next().is_none());
}

/// `--run-dir` may name any directory of the user.
#[test]
fn a_directory_that_is_not_a_run_directory_is_not_touched() {
    let Some(bench) = bench() else { return };
    let photo = bench.run_dirs().join("photos/one");
    fs::create_dir_all(photo.parent().unwrap()).unwrap();
    fs::write(&photo, "a photo").unwrap();
    gc(&bench).prints("");
    bench.run(&[], &["true"]).exits(0);
    assert_eq!(fs::read_to_string(&photo).unwrap(), "a photo");
    fs::remove_dir_all(bench.run_dirs().join("photos")).unwrap();
    bench.run(&[], &["true"]).exits(0);
    assert!(bench.run_dirs().exists(), "the user made this directory, so it stays");
}

#[test]
fn gc_keeps_a_noted_parent_with_other_containers_in_it() {
    let Some(bench) = bench() else { return };
    let living = bench.start(&[], &["sh", "-c", "read line; exit 0"]);
    let parents = kernel::in_each(bench.cgroup_parent());
    let note: String =
        parents.iter().map(|path| format!("{}\n", path.display())).collect();
    forge(&bench, "0123456789ab", &note);
    gc(&bench).prints("0123456789ab");
    assert_eq!(kernel::in_each(bench.cgroup_parent()), parents);
    assert!(host::is_alive(living.pid));
    living.end().exits(0);
}
