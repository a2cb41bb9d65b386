//! Many processes on one store at the same time.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kiste_tests::archive::{Archive, Entry};
use kiste_tests::eventually;
use kiste_tests::image::{Compression, Layout, digest};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, root};

fn spawn(store: &TestStore, arguments: &[&str]) -> Child {
    with_output(&mut store.command(arguments))
}

fn with_output(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns the stdout of a process, which must succeed in time.
#[track_caller]
fn output(mut child: Child) -> String {
    let ended = eventually(|| child.try_wait().unwrap());
    if ended.is_none() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn ten_concurrent_imports_of_one_archive_make_one_layer() {
    let Some(store) = root() else { return };
    let file = store.file("tiny.tar", minimal_layer());
    let names: Vec<String> = (0..10).map(|number| format!("small:{number}")).collect();
    let children: Vec<_> = names
        .iter()
        .map(|name| spawn(&store, &["import", file.to_str().unwrap(), name]))
        .collect();
    for child in children {
        assert!(output(child).starts_with("sha256:"));
    }
    assert_eq!(store.names(), names);
    assert_eq!(store.names_in("layers"), [&digest(&minimal_layer())[7..]]);
    assert_eq!(store.names_in("tmp"), [""; 0]);
    for name in names {
        store.run(&name, &[], &["cat", "/etc/group"]).exits(0);
    }
}

#[test]
fn ten_concurrent_loads_with_shared_layers_are_all_complete() {
    let Some(store) = root() else { return };
    let files: Vec<_> = (0..10)
        .map(|number: usize| {
            let own = Archive::new().with(Entry::file("own", number.to_string())).end();
            let shared = Archive::new().with(Entry::file("shared", "s")).end();
            let packed = Compression::ALL[number % 3];
            store.file(
                &format!("{number}.tar"),
                Layout::of(
                    &format!("small:{number}"),
                    &[minimal_layer(), shared, own],
                    packed,
                )
                .tar(),
            )
        })
        .collect();
    let children: Vec<_> = files
        .iter()
        .map(|file| spawn(&store, &["load", "-i", file.to_str().unwrap()]))
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        assert_eq!(output(child), format!("Loaded small:{number}\n"));
    }
    assert_eq!(store.names_in("layers").len(), 12);
    for number in 0..10 {
        store
            .run(&format!("small:{number}"), &[], &["cat", "/shared", "/own"])
            .assert_stdout(&format!("s{number}"));
    }
}

/// `gc` and `rmi` must not remove files that another process is writing or will soon
/// use.
#[test]
fn concurrent_loads_runs_removals_and_gc_do_not_disturb_each_other() {
    let Some(store) = root() else { return };
    let own = |name: &str| Archive::new().with(Entry::file("own", name)).end();
    let kept =
        Layout::of("kept:1", &[minimal_layer(), own("kept")], Compression::Gzip).tar();
    store.load(kept);
    let reloaded = store.file(
        "reloaded.tar",
        Layout::of(
            "reloaded:1",
            &[minimal_layer(), own("reloaded")],
            Compression::Gzip,
        )
        .tar(),
    );
    let reloaded = reloaded.to_str().unwrap();
    let run_dirs = store.fixture().run_dirs();
    let is_over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let gcs = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) {
                output(spawn(&store, &["gc", "--run-dir", run_dirs.to_str().unwrap()]));
                rounds += 1;
            }
            rounds
        });
        let loader = scope.spawn(|| {
            for _ in 0..8 {
                assert_eq!(
                    output(spawn(&store, &["load", "-i", reloaded])),
                    "Loaded reloaded:1\n"
                );
                store
                    .run("reloaded:1", &[], &["cat", "/own"])
                    .assert_stdout("reloaded");
                output(spawn(&store, &["rmi", "reloaded:1"]));
            }
        });
        let runners = [0, 1].map(|_| {
            scope.spawn(|| {
                for _ in 0..8 {
                    store.run("kept:1", &[], &["cat", "/own", "/etc/group"]).exits(0);
                }
            })
        });
        let results = [loader.join(), {
            let [one, other] = runners;
            one.join().and(other.join())
        }];
        is_over.store(true, Ordering::Relaxed);
        let rounds = gcs.join();
        results.into_iter().for_each(|result| result.expect("the loads and runs"));
        rounds.expect("gc")
    });
    assert!(rounds > 0);
    assert_eq!(store.names(), ["kept:1"]);
    store.gc().exits(0);
    assert_eq!(store.names_in("layers").len(), 2);
}

/// While `tag` moves a name from one image to another, every run sees the old image or
/// the new one, and never a mix.
#[test]
fn a_name_that_tag_moves_always_leads_to_one_whole_image() {
    let Some(store) = root() else { return };
    for number in [1, 2] {
        let own = Archive::new().with(Entry::file("own", number.to_string())).end();
        store.load(
            Layout::of(
                &format!("small:{number}"),
                &[minimal_layer(), own],
                Compression::Plain,
            )
            .tar(),
        );
    }
    store.call(&["tag", "small:1", "moving"]).exits(0);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mover = scope.spawn(|| {
            for number in 0..40 {
                output(spawn(
                    &store,
                    &["tag", &format!("small:{}", 1 + number % 2), "moving"],
                ));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let mut runs = 0;
        while !is_over.load(Ordering::Relaxed) && !mover.is_finished() {
            let ran = store.run("moving", &[], &["cat", "/own"]);
            assert!(["1", "2"].contains(&ran.exits(0).out.as_str()), "{ran:?}");
            runs += 1;
        }
        assert!(runs > 0);
    });
}

#[test]
fn each_of_ten_concurrent_containers_of_one_image_has_its_own_files() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let options = ["--image", "small:1"];
    let start = |number: usize| {
        let script = format!("echo {number} > /own; ls / | wc -l; cat /own");
        let arguments = store.fixture().arguments(&options, &["sh", "-c", &script]);
        let mut command = Command::new(store.fixture().exe());
        with_output(command.args(arguments).stdin(Stdio::null()))
    };
    let children: Vec<_> = (0..10).map(start).collect();
    for (number, child) in children.into_iter().enumerate() {
        assert_eq!(output(child).lines().last(), Some(number.to_string().as_str()));
    }
    assert_eq!(store.names_in("containers"), [""; 0]);
}

/// A pipe may take as long as its writer likes.
#[test]
fn an_archive_that_comes_slowly_makes_no_other_command_wait() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    for arguments in
        [&["load", "-"][..], &["import", "-", "small:2"], &["check", "-i", "-"]]
    {
        let mut slow = store.command(arguments);
        let mut slow = with_output(slow.stdin(Stdio::piped()));
        // It has read the beginning when it makes its directory.
        let mut stdin = slow.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, &minimal_layer()[..1000]).unwrap();
        let started = eventually(|| (store.names_in("tmp").len() == 1).then_some(()));
        assert!(started.is_some(), "{arguments:?} has not begun to read");
        store.call(&["tag", "small:1", "small:3"]).exits(0);
        let ran = store.call(&["rmi", "small:3"]);
        assert_eq!(
            (ran.exits(0).out.as_str(), ran.err.as_str()),
            ("Removed small:3\n", "")
        );
        slow.kill().unwrap();
        slow.wait().unwrap();
        store.gc().exits(0);
    }
}

#[test]
fn a_command_that_waits_for_another_one_says_so() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let lock = std::fs::File::open(store.path().join("lock")).unwrap();
    lock.lock_shared().unwrap();
    let said = store.dir().join("said");
    let mut waiting = store.command(&["rmi", "small:1"]);
    let mut waiting = waiting
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let expected = format!(
        "waiting for another command, which adds or reads images of the store {}\n",
        store.path().display()
    );
    let says_so = || std::fs::read_to_string(&said).unwrap() == expected;
    assert!(eventually(|| says_so().then_some(())).is_some(), "it waits silently");
    assert_eq!(waiting.try_wait().unwrap(), None);
    lock.unlock().unwrap();
    assert_eq!(output(waiting), "Removed small:1\n");
    store.assert_empty("rmi");
}
