//! Options of this step, and of the steps below. A usage error names the rule, and
//! comes before anything is made.

use kiste_tests::{help, options, step};

use crate::fixture;

/// The tests in `limits` check that the values at both ends of the ranges are accepted.
#[test]
fn a_limit_out_of_range_is_a_usage_error_that_names_the_range() {
    let Some(fixture) = fixture() else { return };
    for (option, values, rule) in [
        ("--memory", &["1", "4095"][..], "at least a page"),
        ("--memory", &["", "5x", "-2"], "a size is a number and b, k, m, g or t"),
        ("--memory", &["9999999999g"], "more than the kernel can count"),
        ("--memory-swap", &["1"], "at least a page"),
        ("--memory-reservation", &["1"], "at least a page"),
        ("--memory-high", &["4095"], "at least a page"),
        ("--cpus", &["0.001", "-1", "half"], "at least 0.01"),
        ("--cpu-quota", &["999", "-2", "1m"], "at least 1000 microseconds"),
        ("--cpu-period", &["999", "1000001", "-1"], "1000 to 1000000"),
        ("--cpu-shares", &["1", "262145"], "2 to 262144"),
        ("--cpuset-cpus", &["", "-1"], "0-2,5"),
        ("--cpuset-cpus", &["1-0"], "runs backwards"),
        ("--pids-limit", &["4194305", "-2"], "at least 1"),
        ("--blkio-weight", &["9", "1001"], "10 to 1000"),
        ("--device-read-bps", &["/dev/null", ":1m", "/dev/null:-1"], "/dev/sda:10m"),
        ("--device-write-iops", &["/dev/null:1m", "/dev/null:"], "/dev/sda:1000"),
        (
            "--cgroup-parent",
            &["/abs", "a/../b", "a//b", ""],
            "from the top of the hierarchy",
        ),
    ] {
        for value in values {
            let ran = fixture.run(&[option, value], &["touch", "/ran"]);
            ran.exits(2).assert_stderr_contains(option).assert_stderr_contains(rule);
            assert_eq!(ran.out, "", "{option}={value}");
        }
    }
    assert!(!fixture.rootfs().join("ran").exists());
    assert!(!fixture.run_dirs().exists(), "nothing was made");
}

#[test]
fn options_that_contradict_each_other_are_a_usage_error_that_names_both() {
    let Some(fixture) = fixture() else { return };
    for (options, words) in [
        ("--memory-swap 64m", "needs a limit by --memory"),
        ("--memory-swap -1", "needs --memory"),
        ("-m -1 --memory-swap 64m", "needs a limit by --memory"),
        ("-m 64m --memory-swap 63m", "63MiB is less than --memory 64MiB"),
        (
            "-m 64m --memory-reservation 65m",
            "--memory-reservation 65MiB is more than --memory 64MiB",
        ),
        ("-m 64m --memory-high 65m", "--memory-high 65MiB is more than --memory 64MiB"),
        ("--cpus 1 --cpu-quota 5000", "'--cpus <NUMBER>' cannot be used with"),
        ("--cpus 65536", "--cpus 65536 is more than this host has"),
    ] {
        let options: Vec<_> = options.split(' ').collect();
        fixture
            .run(&options, &["touch", "/ran"])
            .exits(2)
            .assert_stderr_contains(words);
    }
    assert!(!fixture.rootfs().join("ran").exists());
    assert!(!fixture.run_dirs().exists(), "nothing was made");
}

#[test]
fn a_run_without_a_command_shows_the_usage() {
    let Some(fixture) = fixture() else { return };
    fixture
        .call(["run"])
        .exits(2)
        .assert_stderr_contains("Usage")
        .assert_stderr_contains("COMMAND");
    fixture.call(["bogus"]).exits(2).assert_stderr_contains("bogus");
}

#[test]
fn options_after_the_command_belong_to_the_command() {
    let Some(fixture) = fixture() else { return };
    fixture
        .run(&["-m", "64m"], &["echo", "-m", "0", "--stats"])
        .assert_stdout("-m 0 --stats");
}

#[test]
fn every_option_of_the_steps_below_works_here() {
    let Some(fixture) = fixture() else { return };
    options::assert_earlier_options_work(&fixture);
}

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("05-cgroups"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(fixture) = fixture() else { return };
    help::assert_examples_work(&fixture, &[], &[]);
}

#[test]
fn help_lists_the_limits() {
    let Some(fixture) = fixture() else { return };
    let help = fixture.call(["run", "--help"]);
    help.exits(0);
    for option in [
        "-m, --memory",
        "--memory-swap",
        "--memory-reservation",
        "--memory-high",
        "--cpus",
        "--cpu-quota",
        "--cpu-period",
        "--cpu-shares",
        "--cpuset-cpus",
        "--pids-limit",
        "--blkio-weight",
        "--device-read-bps",
        "--device-write-bps",
        "--device-read-iops",
        "--device-write-iops",
        "--cgroup-parent",
        "--stats",
    ] {
        assert!(help.out.contains(option), "{option}:\n{}", help.out);
    }
}
