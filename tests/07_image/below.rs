//! What the steps below promise holds for a container of an image, and without one as
//! before.

use kiste_tests::{Distribution, eventually, host};
use nix::sys::signal::Signal;

use crate::shop::{everywhere, root};
use crate::tiny::tiny;

#[test]
fn a_root_file_system_is_run_as_before() {
    everywhere(|shop| {
        let ran = match shop {
            crate::shop::Shop::Root(bench) => {
                bench.sh(&[], "echo it runs; echo x > /made")
            }
            crate::shop::Shop::User(user) => {
                user.sh(&[], "echo it runs; echo x > /made")
            }
        };
        ran.prints("it runs");
        assert!(
            shop.bench().rootfs().join("made").exists(),
            "it is written where it stands"
        );
    });
}

#[test]
fn it_ends_as_its_command_ends() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        for init in [&[][..], &["--init"]] {
            shop.sh("small:1", init, "exit 7").exits(7);
            shop.run("small:1", init, &["nosuch"]).exits(127);
            shop.run("small:1", init, &["/etc/passwd"]).exits(126);
        }
        shop.sh("small:1", &["--init"], "kill -9 $$").exits(137);
    });
}

#[test]
fn signals_reach_the_command() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let handle = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
        for init in [&[][..], &["--init"]] {
            let mut running = shop.start("small:1", init, &["sh", "-c", handle]);
            running.wait_for("ready");
            running.signal(Signal::SIGTERM);
            running.end().exits(9);
        }
    });
}

#[test]
fn nothing_of_it_is_mounted_on_the_host() {
    let Some(shop) = root() else { return };
    shop.import(tiny(), "small:1");
    let distribution = Distribution::start();
    let before = distribution.mounts();
    let running =
        distribution.start_in(shop.bench(), &["--image", "small:1"], &["sleep", "100"]);
    assert_eq!(distribution.mounts(), before);
    drop(running);
    distribution
        .run(
            shop.bench(),
            &["--image", "small:1", "--commit", "small:2"],
            &["touch", "/made"],
        )
        .exits(0);
    distribution
        .run(shop.bench(), &["--image", "small:2"], &["ls", "/made"])
        .prints("/made");
    assert_eq!(distribution.mounts(), before);
}

#[test]
fn what_escaped_from_other_runtimes_does_not_from_this_one() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let running = shop.start("small:1", &[], &["sleep", "100"]);
        // No descriptor of the store or of the host is left open in it.
        let fds = std::fs::read_dir(format!("/proc/{}/fd", running.pid)).unwrap();
        let names: Vec<_> = fds
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(
            names.iter().all(|name| ["0", "1", "2"].contains(&name.as_str())),
            "{names:?}"
        );
        // Nor does its mountinfo lead further than overlayfs's own words.
        let points: Vec<_> = host::mounts_of(running.pid)
            .iter()
            .map(|line| host::mount_point(line).to_owned())
            .collect();
        assert!(
            !points
                .iter()
                .any(|point| point.contains("store") || point.contains("kiste-test")),
            "{points:?}"
        );
        drop(running);
        let script = "cd /; for i in 1 2 3 4 5 6 7 8; do cd ..; done; ls -d store layers upper work merged 2>/dev/null; ls /.. | grep -c etc";
        shop.sh("small:1", &[], script).prints("1");
    });
}

#[test]
fn a_runtime_that_is_killed_takes_all_with_it() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let running =
            shop.start("small:1", &[], &["sh", "-c", "sleep 100 & exec sleep 100"]);
        let namespace = host::namespace(running.pid, "pid");
        running.kill_runtime();
        eventually(|| host::processes_in("pid", &namespace).is_empty().then_some(()))
            .expect("all die with the runtime");
        shop.gc().exits(0);
        assert!(shop.bench().leaks().is_empty(), "{:?}", shop.bench().leaks());
    });
}
