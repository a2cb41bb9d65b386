//! A kill -9 at any moment leaves the store as it was before the command, or as the
//! command would have left it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::{Compression, Layout};
use kiste_tests::{Tree, eventually};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

/// Returns a random number from 0 to 255.
fn random() -> u32 {
    let mut byte = [0];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut byte).unwrap();
    byte[0].into()
}

/// Starts a subcommand, and kills it after a random part of `full_duration`, the time
/// that it needs. The kill may come before its first system call or after its last.
fn run_and_kill(store: &TestStore, arguments: &[&str], full_duration: Duration) {
    kill_at_a_random_moment(store.command(arguments).spawn().unwrap(), full_duration);
}

fn kill_at_a_random_moment(mut child: Child, full_duration: Duration) {
    std::thread::sleep(full_duration * random() / 230);
    let _ = child.kill();
    child.wait().unwrap();
}

/// Returns how long `work` takes.
fn duration(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn layout(name: &str, letter: &str) -> Vec<u8> {
    let many = (0..300).fold(Archive::new(), |archive, number| {
        archive.with(Entry::file(format!("many/{number}"), letter))
    });
    let large = Archive::new().with(Entry::file("large", letter.repeat(1 << 20))).end();
    Layout::of(name, &[minimal_layer(), many.end(), large], Compression::Gzip).tar()
}

/// Asserts that an image runs, and that all its layers have one of these letters.
#[track_caller]
fn assert_whole(store: &TestStore, name: &str, letters: &[&str]) {
    let ran = store.sh(
        name,
        &[],
        "cat /many/299; head -c 1 /large; ls /many | wc -l; wc -c < /large",
    );
    let expected: Vec<_> = letters
        .iter()
        .map(|letter| format!("{letter}{letter}300\n1048576\n"))
        .collect();
    assert!(expected.contains(&ran.exits(0).out), "{ran:?}");
}

#[test]
fn a_killed_load_leaves_the_whole_image_or_nothing() {
    let Some(store) = root() else { return };
    let file = store.file("a.tar", layout("small:1", "a"));
    let load = ["load", "-i", file.to_str().unwrap()];
    let full_duration = duration(|| {
        store.call(&load).exits(0);
    });
    assert_whole(&store, "small:1", &["a"]);
    store.call(&["rmi", "small:1"]).exits(0);
    let (mut without_image, mut with_image) = (0, 0);
    for _ in 0..25 {
        run_and_kill(&store, &load, full_duration);
        match store.names().as_slice() {
            [] => without_image += 1,
            [name] if name == "small:1" => {
                with_image += 1;
                assert_whole(&store, "small:1", &["a"]);
                store.call(&["rmi", "small:1"]).exits(0);
            }
            other => panic!("{other:?}"),
        }
        store.gc().exits(0);
        store.assert_empty("gc");
    }
    assert!(
        without_image > 0,
        "{without_image} killed before the end, {with_image} after it"
    );
    store.call(&load).assert_stdout("Loaded small:1");
    assert_whole(&store, "small:1", &["a"]);
}

#[test]
fn a_killed_load_leaves_a_name_with_the_old_image_or_the_new_one() {
    let Some(store) = root() else { return };
    let files = [
        store.file("a.tar", layout("small:1", "a")),
        store.file("b.tar", layout("small:1", "b")),
    ];
    let full_duration = duration(|| {
        store.call(&["load", "-i", files[0].to_str().unwrap()]).exits(0);
    });
    for round in 0..12 {
        run_and_kill(
            &store,
            &["load", "-i", files[(round + 1) % 2].to_str().unwrap()],
            full_duration,
        );
        assert!(store.names().contains(&"small:1".to_owned()), "{:?}", store.names());
        assert_whole(&store, "small:1", &["a", "b"]);
        if round % 3 == 0 {
            // An image that has lost its name stays until `rmi` removes it by its id.
            for old in store.images().iter().filter(|image| image.name != "small:1") {
                store.call(&["rmi", &old.id]).exits(0);
            }
            store.gc().exits(0);
            assert_eq!(
                (store.names_in("layers").len(), store.names_in("tmp")),
                (3, vec![])
            );
            assert_whole(&store, "small:1", &["a", "b"]);
        }
    }
    store.gc().exits(0);
}

#[test]
fn a_killed_rmi_or_gc_damages_nothing() {
    let Some(store) = root() else { return };
    let files = [
        store.file("a.tar", layout("a:1", "a")),
        store.file("b.tar", layout("b:1", "b")),
    ];
    for file in &files {
        store.call(&["load", "-i", file.to_str().unwrap()]).exits(0);
    }
    let full_duration = duration(|| {
        store.call(&["rmi", "b:1"]).exits(0);
    });
    let full_duration = full_duration.max(duration(|| {
        store.gc().exits(0);
    }));
    for round in 0..12 {
        if !store.names().contains(&"b:1".to_owned()) {
            store.call(&["load", "-i", files[1].to_str().unwrap()]).exits(0);
        }
        assert_whole(&store, "b:1", &["b"]);
        let run_dirs = store.fixture().run_dirs();
        match round % 2 {
            0 => run_and_kill(&store, &["rmi", "b:1"], full_duration),
            _ => {
                store.call(&["rmi", "b:1"]).exits(0);
                run_and_kill(
                    &store,
                    &["gc", "--run-dir", run_dirs.to_str().unwrap()],
                    full_duration,
                );
            }
        }
        assert_whole(&store, "a:1", &["a"]);
    }
    for name in store.names() {
        store.call(&["rmi", &name]).exits(0);
    }
    store.gc().exits(0);
    store.assert_empty("gc");
}

#[test]
fn a_killed_commit_leaves_the_whole_image_or_nothing() {
    let Some(store) = root() else { return };
    store.load(layout("a:1", "a"));
    let script = "for i in 1 2 3 4 5 6 7 8 9; do cp /large /l$i 2>/dev/null || cat /large > /l$i; done";
    let options = ["--image", "a:1", "--commit", "b:1"];
    let arguments = store.fixture().arguments(&options, &["sh", "-c", script]);
    let run = |store: &TestStore| {
        let mut command = Command::new(store.fixture().exe());
        command.args(&arguments).stderr(Stdio::null()).spawn().unwrap()
    };
    let full_duration = duration(|| assert!(run(&store).wait().unwrap().success()));
    store.call(&["rmi", "b:1"]).exits(0);
    for _ in 0..12 {
        kill_at_a_random_moment(run(&store), full_duration);
        if store.names().contains(&"b:1".to_owned()) {
            store
                .sh("b:1", &[], "ls / | grep -c '^l[1-9]'; wc -c < /l9")
                .assert_stdout("9\n1048576");
            store.call(&["rmi", "b:1"]).exits(0);
        }
        // The command dies with the runtime, and keeps the lock of the run directory
        // until the kernel has closed its files. Until then gc leaves the container
        // alone.
        let is_removed = || {
            store.gc().exits(0);
            store.names_in("containers").is_empty().then_some(())
        };
        eventually(is_removed).expect("gc removes the container");
        assert_eq!(store.names_in("layers").len(), 3);
        assert_whole(&store, "a:1", &["a"]);
    }
}

/// Killed processes and crashes of the machine leave such files in `tmp`.
#[test]
fn unfinished_files_in_tmp_are_removed_and_never_used() {
    let Some(store) = root() else { return };
    store.load_on_minimal_layer(&[]);
    let tmp = store.path().join("tmp");
    std::fs::create_dir_all(tmp.join("layer-x/etc")).unwrap();
    std::fs::write(tmp.join("layer-x/etc/passwd"), "").unwrap();
    std::fs::write(tmp.join("blob-x"), "half").unwrap();
    std::os::unix::fs::symlink("/etc", tmp.join("link")).unwrap();
    let before = Tree::of(std::path::Path::new("/etc/apt"));
    store.run("small:1", &[], &["echo", "it runs"]).assert_stdout("it runs");
    store.gc().exits(0);
    assert_eq!(store.names_in("tmp"), [""; 0]);
    Tree::of(std::path::Path::new("/etc/apt")).assert_equal(&before);
    store.run("small:1", &[], &["echo", "it runs"]).assert_stdout("it runs");
}
