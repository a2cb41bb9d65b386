//! The options of this step and of the steps below.

use kiste_tests::{help, net, options};

use crate::{this_step, world};

#[test]
fn every_option_of_the_earlier_steps_works() {
    let Some(world) = world() else { return };
    options::assert_earlier_options_work_in(&world, &[]);
    world
        .run(&["--explain"], &["true"])
        .exits(0)
        .assert_stderr_contains("RTM_NEWLINK(")
        .assert_stderr_contains("nf_tables(");
    world
        .run(&["--pids-limit", "20", "--init"], &["ping", "-c1", "-W3", net::OUTSIDE])
        .exits(0);
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
fn a_note_says_that_every_host_can_reach_a_published_port() {
    let Some(world) = world() else { return };
    let ran = world.run(&["-p", "8080:80"], &["true"]);
    ran.exits(0)
        .assert_stderr_contains("port 8080 is open to every host")
        .assert_stderr_contains("-p 127.0.0.1:8080:80");
    assert_eq!(world.run(&["-p", "127.0.0.1:8080:80"], &["true"]).exits(0).err, "");
    let ran = world.run(&["--explain=json", "-p", "8080:80"], &["true"]);
    let read = |line| -> serde_json::Value { serde_json::from_str(line).expect(line) };
    let mut lines = ran.exits(0).err.lines().map(read);
    let note = lines.find(|line| line["level"] == "note").expect("a note, as JSON");
    assert!(note["message"].as_str().unwrap().starts_with("port 8080 is open"));
}

#[test]
fn an_option_of_a_bridge_is_a_usage_error_on_another_network() {
    let Some(world) = world() else { return };
    for (option, value) in [
        ("--publish", "8080:80"),
        ("--ip", "10.77.0.9"),
        ("--ip6", "fd00::9"),
        ("--mac-address", "02:08:0a:4d:00:09"),
        ("--network-alias", "www"),
    ] {
        for network in ["none", "host"] {
            world
                .run(&["--network", network, option, value], &["true"])
                .exits(2)
                .assert_stderr_contains(&format!(
                    "{option} cannot be used with --network {network}"
                ));
        }
    }
}
