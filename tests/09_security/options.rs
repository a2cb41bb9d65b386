//! The options of this step and of the steps below, and the checks of `doctor`.

use kiste_tests::{World, help, net, options};

use crate::this_step;

fn world() -> Option<World> {
    World::of(this_step(), &["seccomp"])
}

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(world) = world() else { return };
    options::assert_earlier_options_work_in(&world, &["--pids-limit", "20"]);
    world.run(&["--init"], &["ping", "-c1", "-W3", net::OUTSIDE]).exits(0);
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&this_step());
}

#[test]
fn the_examples_in_the_help_work() {
    let Some(world) = world() else { return };
    let (enter, networks) = (world.enter(), world.network_dir());
    let enter: Vec<_> = enter.iter().map(String::as_str).collect();
    let networks = ["--network-dir", networks.to_str().unwrap()];
    help::assert_examples_work(&world.fixture, &enter, &networks);
}

#[test]
fn doctor_has_the_checks_of_this_step() {
    let checks =
        ["capabilities", "no-new-privs", "seccomp", "apparmor", "time-namespace"];
    let output = std::process::Command::new(this_step().exe())
        .args(["doctor", "--format", "json"])
        .output()
        .unwrap();
    let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    for name in checks {
        let check = found.iter().find(|check| check["name"] == name).expect(name);
        assert_ne!(check["found"], "", "{check}");
        assert_eq!(check["verdict"] == "ok", check["fix"].is_null(), "{check}");
    }
}
