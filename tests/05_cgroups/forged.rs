//! Forged and broken notes. `gc` removes only the cgroups of dead containers, and goes
//! on with the other notes when one is bad.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use kiste_tests::exchange::{Exchange, OTHER_USER};
use kiste_tests::{Fixture, Running, host};

use crate::fixture;
use crate::gc::{LeftBehind, gc};
use crate::kernel;

/// Makes a run directory with this note, as a dead runtime might have left it.
fn forge(fixture: &Fixture, id: &str, note: &str) {
    let run_dir = fixture.run_dirs().join(id);
    fs::create_dir_all(&run_dir).unwrap();
    fs::write(run_dir.join("cgroups"), note).unwrap();
}

#[test]
fn a_forged_note_removes_nothing_outside_the_cgroups_and_gc_says_so() {
    let Some(fixture) = fixture() else { return };
    let left = LeftBehind::by_killing(&fixture, fixture.start(&[], &["sleep", "100"]));
    let victim = fixture.dir().join("0123456789ab");
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
        forge(&fixture, &format!("00000000000{number}"), note);
        // The same note in a run directory that has the name of the victim.
        forge(&fixture, "0123456789ab", note);
        let ran = gc(&fixture);
        ran.exits(1)
            .assert_stderr_contains("noted as a cgroup, but it is not one")
            .assert_stderr_contains("0123456789ab");
        assert!(victim.join("inner").exists(), "{note}");
        assert!(top.exists());
        fs::remove_dir_all(fixture.run_dirs().join(format!("00000000000{number}")))
            .unwrap();
    }
    left.assert_gone();
    fs::remove_dir_all(fixture.run_dirs()).unwrap();
}

/// A link is not a cgroup, even if it is where a cgroup should be.
#[test]
fn a_note_that_names_a_link_is_not_followed() {
    let Some(fixture) = fixture() else { return };
    let victim = fixture.dir().join("victim");
    fs::create_dir_all(victim.join("inner")).unwrap();
    fs::create_dir_all(fixture.run_dirs()).unwrap();
    // This run directory is a link to another directory.
    symlink(&victim, fixture.run_dirs().join("link")).unwrap();
    gc(&fixture);
    assert!(victim.join("inner").exists());
    let _ = fs::remove_dir_all(fixture.run_dirs());
}

#[test]
fn gc_removes_a_container_although_there_is_garbage_among_the_run_directories() {
    let Some(fixture) = fixture() else { return };
    let left = LeftBehind::by_killing(&fixture, fixture.start(&[], &["sleep", "100"]));
    let run_dirs = fixture.run_dirs();
    fs::write(run_dirs.join("a-file"), "not a directory").unwrap();
    symlink("/nonexistent", run_dirs.join("dangling")).unwrap();
    fs::create_dir_all(run_dirs.join("0000000000aa/cgroups")).unwrap();
    fs::create_dir(run_dirs.join("0000000000bb")).unwrap();
    fs::write(run_dirs.join("0000000000bb/cgroups"), [0xff, 0xfe, b'\n', 0]).unwrap();
    nix::unistd::mkfifo(&run_dirs.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ran = gc(&fixture);
    ran.exits(1)
        .assert_stderr_contains("0000000000aa")
        .assert_stderr_contains("0000000000bb");
    assert_eq!(ran.out.trim(), left.id, "the id of the removed container is printed");
    left.assert_gone();
    // The garbage does not keep the next container from starting either.
    let next = fixture.run(&[], &["echo", "next"]);
    next.assert_stdout("next").assert_stderr_contains("warning");
    fs::remove_dir_all(run_dirs).unwrap();
}

/// A user who can write a note could have any cgroup removed.
#[test]
fn a_run_directory_that_others_can_write_to_is_refused_by_run_and_gc() {
    let Some(fixture) = fixture() else { return };
    let living = fixture.start(&[], &["sh", "-c", "read line; exit 4"]);
    let shared = fixture.dir().join("shared");
    forge_note_about(&fixture, &shared, &living);
    for (owner, mode, reason) in [
        (0, 0o1777, "mode 1777"),
        (0, 0o775, "mode 0775"),
        (65534, 0o755, "belongs to uid 65534"),
    ] {
        chown(&shared, Some(owner), None).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
        let shared = shared.to_str().unwrap();
        fixture
            .call(["gc", "--run-dir", shared])
            .exits(1)
            .assert_stderr_contains(reason)
            .assert_stderr_contains("hint: ");
        let rootfs = fixture.rootfs().to_str().unwrap();
        let run = [
            "run",
            "--run-dir",
            shared,
            "--rootfs",
            rootfs,
            "--cgroup-parent",
            fixture.cgroup_parent(),
        ];
        let ran = fixture.call([&run[..], &["echo", "ran"]].concat());
        ran.exits(125).assert_stderr_contains(reason).assert_stderr_contains("hint: ");
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

/// A user who owns the directory above could exchange the checked directory for another,
/// whose notes name any cgroup.
#[test]
fn a_run_directory_that_another_user_exchanges_is_refused() {
    let Some(fixture) = fixture() else { return };
    fs::set_permissions(fixture.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let living = fixture.start(&[], &["sh", "-c", "read line; exit 4"]);
    let above = fixture.dir().join("of-a-user");
    let (run_dirs, forged) = (above.join("run"), above.join("forged"));
    forge_note_about(&fixture, &forged, &living);
    host::chown_recursive(&above, OTHER_USER, OTHER_USER);
    fs::create_dir(&run_dirs).unwrap();
    fs::set_permissions(&run_dirs, fs::Permissions::from_mode(0o700)).unwrap();
    let exchange = Exchange::start(&run_dirs, &forged);
    for _ in 0..20 {
        let gc = fixture.call(["gc", "--run-dir", run_dirs.to_str().unwrap()]);
        let run = fixture.arguments(&[], &["true"]);
        let own = fixture.run_dirs();
        let run = run.into_iter().map(|it| match it == own {
            true => run_dirs.clone().into(),
            false => it,
        });
        let run = fixture.call(run.collect::<Vec<_>>());
        for (ran, code) in [(gc, 1), (run, 125)] {
            ran.exits(code)
                .assert_stderr_contains(&format!("belongs to uid {OTHER_USER}"))
                .assert_stderr_contains("--run-dir");
        }
        assert!(host::is_alive(living.pid));
    }
    drop(exchange);
    let made = [&run_dirs, &forged].map(|dir| fs::read_dir(dir).unwrap().count());
    assert_eq!(made.iter().sum::<usize>(), 1, "nothing was added: {made:?}");
    living.end().exits(4);
}

#[test]
fn a_run_directory_of_another_user_is_skipped_and_the_others_are_collected() {
    let Some(fixture) = fixture() else { return };
    let living = fixture.start(&[], &["sh", "-c", "read line; exit 4"]);
    let run_dirs = fixture.dir().join("others");
    forge_note_about(&fixture, &run_dirs, &living);
    let run_dir = fs::read_dir(&run_dirs).unwrap().next().unwrap().unwrap().path();
    fs::create_dir(run_dirs.join("0123456789ab")).unwrap();
    for (owner, mode, reason) in
        [(65534, 0o755, "belongs to uid 65534"), (0, 0o777, "mode 0777")]
    {
        chown(&run_dir, Some(owner), None).unwrap();
        fs::set_permissions(&run_dir, fs::Permissions::from_mode(mode)).unwrap();
        let ran = fixture.call(["gc", "--run-dir", run_dirs.to_str().unwrap()]);
        ran.exits(1).assert_stderr_contains(reason).assert_stderr_contains("hint: ");
        assert!(run_dir.join("cgroups").exists() && host::is_alive(living.pid));
    }
    assert!(!run_dirs.join("0123456789ab").exists());
    living.end().exits(4);
}

/// Makes a run directory in `parent`. Its note names the cgroups of a living container.
fn forge_note_about(fixture: &Fixture, parent: &Path, living: &Running) {
    let id = kernel::id(living);
    fs::create_dir_all(parent.join(&id)).unwrap();
    fs::copy(
        fixture.run_dirs().join(&id).join("cgroups"),
        parent.join(&id).join("cgroups"),
    )
    .unwrap();
}

#[test]
fn a_note_that_is_not_a_small_regular_file_is_not_read() {
    let Some(fixture) = fixture() else { return };
    let run_dir = fixture.run_dirs().join("0123456789ab");
    let note = run_dir.join("cgroups");
    fs::create_dir_all(&run_dir).unwrap();
    // No process writes into the FIFO, so open(2) for reading would block for ever.
    nix::unistd::mkfifo(&note, nix::sys::stat::Mode::S_IRWXU).unwrap();
    gc(&fixture).exits(1).assert_stderr_contains("not a regular file");
    fs::remove_file(&note).unwrap();
    symlink("/dev/null", &note).unwrap();
    gc(&fixture).exits(1).assert_stderr_contains("cgroups");
    fs::remove_file(&note).unwrap();
    fs::write(&note, "/\n".repeat(40_000)).unwrap();
    gc(&fixture).exits(1).assert_stderr_contains("not a regular file");
    fs::remove_dir_all(fixture.run_dirs()).unwrap();
}

/// A runtime that dies right after mkdir(2) leaves such a directory.
#[test]
fn an_empty_run_directory_is_removed() {
    let Some(fixture) = fixture() else { return };
    fs::create_dir_all(fixture.run_dirs().join("0123456789ab")).unwrap();
    gc(&fixture).assert_stdout("0123456789ab");
    assert!(fs::read_dir(fixture.run_dirs()).unwrap().next().is_none());
}

/// `--run-dir` may name any directory of the user.
#[test]
fn a_directory_that_is_not_a_run_directory_is_not_touched() {
    let Some(fixture) = fixture() else { return };
    let photo = fixture.run_dirs().join("photos/one");
    fs::create_dir_all(photo.parent().unwrap()).unwrap();
    fs::write(&photo, "a photo").unwrap();
    gc(&fixture).assert_stdout("");
    fixture.run(&[], &["true"]).exits(0);
    assert_eq!(fs::read_to_string(&photo).unwrap(), "a photo");
    fs::remove_dir_all(fixture.run_dirs().join("photos")).unwrap();
    fixture.run(&[], &["true"]).exits(0);
    assert!(fixture.run_dirs().exists(), "the user made this directory, so it stays");
}

#[test]
fn gc_keeps_a_noted_parent_with_other_containers_in_it() {
    let Some(fixture) = fixture() else { return };
    let living = fixture.start(&[], &["sh", "-c", "read line; exit 0"]);
    let parents = kernel::in_each(fixture.cgroup_parent());
    let note: String =
        parents.iter().map(|path| format!("{}\n", path.display())).collect();
    forge(&fixture, "0123456789ab", &note);
    gc(&fixture).assert_stdout("0123456789ab");
    assert_eq!(kernel::in_each(fixture.cgroup_parent()), parents);
    assert!(host::is_alive(living.pid));
    living.end().exits(0);
}
