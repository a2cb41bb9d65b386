//! The promises of the earlier steps hold in a container of an image, too, and `run`
//! still takes a directory as the root file system.

use kiste_tests::{Distribution, eventually, host};
use nix::sys::signal::Signal;

use crate::minimal_layer::minimal_layer;
use crate::test_store::{as_root_and_as_user, root};

#[test]
fn a_directory_can_still_be_the_root_file_system() {
    as_root_and_as_user(|store| {
        let ran = match store {
            crate::test_store::TestStore::Root(fixture) => {
                fixture.sh(&[], "echo it runs; echo x > /made")
            }
            crate::test_store::TestStore::User(user) => {
                user.sh(&[], "echo it runs; echo x > /made")
            }
        };
        ran.assert_stdout("it runs");
        assert!(
            store.fixture().rootfs().join("made").exists(),
            "the container writes into the directory"
        );
    });
}

#[test]
fn run_exits_with_the_status_of_the_command() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        for init in [&[][..], &["--init"]] {
            store.sh("small:1", init, "exit 7").exits(7);
            store.run("small:1", init, &["nosuch"]).exits(127);
            store.run("small:1", init, &["/etc/passwd"]).exits(126);
        }
        store.sh("small:1", &["--init"], "kill -9 $$").exits(137);
    });
}

#[test]
fn signals_reach_the_command() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let trap_script =
            "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
        for init in [&[][..], &["--init"]] {
            let mut running = store.start("small:1", init, &["sh", "-c", trap_script]);
            running.wait_for("ready");
            running.signal(Signal::SIGTERM);
            running.end().exits(9);
        }
    });
}

#[test]
fn nothing_is_mounted_on_the_host() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let distribution = Distribution::start();
    let before = distribution.mounts();
    let running = distribution.start_in(
        store.fixture(),
        &["--image", "small:1"],
        &["sleep", "100"],
    );
    assert_eq!(distribution.mounts(), before);
    drop(running);
    distribution
        .run(
            store.fixture(),
            &["--image", "small:1", "--commit", "small:2"],
            &["touch", "/made"],
        )
        .exits(0);
    distribution
        .run(store.fixture(), &["--image", "small:2"], &["ls", "/made"])
        .assert_stdout("/made");
    assert_eq!(distribution.mounts(), before);
}

#[test]
fn no_descriptor_mount_or_path_leads_out_of_the_container() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let running = store.start("small:1", &[], &["sleep", "100"]);
        // No descriptor of the store or of the host is open in the container.
        let fds = std::fs::read_dir(format!("/proc/{}/fd", running.pid)).unwrap();
        let names: Vec<_> = fds
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(
            names.iter().all(|name| ["0", "1", "2"].contains(&name.as_str())),
            "{names:?}"
        );
        // The container's mountinfo names no mount point in the store.
        let mount_points: Vec<_> = host::mounts_of(running.pid)
            .iter()
            .map(|line| host::mount_point(line).to_owned())
            .collect();
        assert!(
            !mount_points.iter().any(|mount_point| mount_point.contains("store")
                || mount_point.contains("kiste-test")),
            "{mount_points:?}"
        );
        drop(running);
        let script = "cd /; for i in 1 2 3 4 5 6 7 8; do cd ..; done; ls -d store layers upper work merged 2>/dev/null; ls /.. | grep -c etc";
        store.sh("small:1", &[], script).assert_stdout("1");
    });
}

#[test]
fn all_processes_die_with_a_killed_runtime() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let running =
            store.start("small:1", &[], &["sh", "-c", "sleep 100 & exec sleep 100"]);
        let namespace = host::namespace(running.pid, "pid");
        running.kill_runtime();
        eventually(|| host::processes_in("pid", &namespace).is_empty().then_some(()))
            .expect("all die with the runtime");
        store.gc().exits(0);
        assert!(store.fixture().leaks().is_empty(), "{:?}", store.fixture().leaks());
    });
}
