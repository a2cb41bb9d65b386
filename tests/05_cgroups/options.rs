//! Options of this step, and of the steps below. A usage error names the rule, and
//! comes before anything is made.

use kiste_tests::{help, options, step};

use crate::bench;

/// The tests in `limits` check that the values at both ends of the ranges are accepted.
#[test]
fn a_limit_out_of_range_is_a_usage_error_that_names_the_range() {
    let Some(bench) = bench() else { return };
    for (option, values, rule) in [
        ("--memory", &["0", "4095"][..], "at least a page"),
        ("--memory", &["", "5t", "-2"], "a size is a number and b, k, m or g"),
        ("--memory", &["9999999999g"], "more than the kernel can count"),
        ("--memory-swap", &["0"], "at least a page"),
        ("--memory-reservation", &["0"], "at least a page"),
        ("--cpus", &["0", "-1", "half"], "at least 0.01"),
        ("--cpu-shares", &["1", "262145"], "2 to 262144"),
        ("--cpuset-cpus", &["", "-1"], "0-2,5"),
        ("--cpuset-cpus", &["1-0"], "runs backwards"),
        ("--pids-limit", &["0", "4194305", "-2"], "at least 1"),
        ("--blkio-weight", &["9", "1001"], "10 to 1000"),
        (
            "--cgroup-parent",
            &["/abs", "a/../b", "a//b", ""],
            "from the top of the hierarchy",
        ),
    ] {
        for value in values {
            let ran = bench.run(&[option, value], &["touch", "/ran"]);
            ran.exits(2).complains(option).complains(rule);
            assert_eq!(ran.out, "", "{option}={value}");
        }
    }
    assert!(!bench.rootfs().join("ran").exists());
    assert!(!bench.run_dirs().exists(), "nothing was made");
}

#[test]
fn options_that_contradict_each_other_are_a_usage_error_that_names_both() {
    let Some(bench) = bench() else { return };
    for (options, words) in [
        ("--memory-swap 64m", "needs a limit by --memory"),
        ("--memory-swap -1", "needs --memory"),
        ("-m -1 --memory-swap 64m", "needs a limit by --memory"),
        ("-m 64m --memory-swap 63m", "63MiB is less than --memory 64MiB"),
        (
            "-m 64m --memory-reservation 65m",
            "--memory-reservation 65MiB is more than --memory 64MiB",
        ),
        ("--cpus 65536", "--cpus 65536 is more than this host has"),
    ] {
        let options: Vec<_> = options.split(' ').collect();
        bench.run(&options, &["touch", "/ran"]).exits(2).complains(words);
    }
    assert!(!bench.rootfs().join("ran").exists());
    assert!(!bench.run_dirs().exists(), "nothing was made");
}

#[test]
fn a_run_without_a_command_shows_the_usage() {
    let Some(bench) = bench() else { return };
    bench.call(["run"]).exits(2).complains("Usage").complains("COMMAND");
    bench.call(["bogus"]).exits(2).complains("bogus");
}

#[test]
fn options_after_the_command_belong_to_the_command() {
    let Some(bench) = bench() else { return };
    bench.run(&["-m", "64m"], &["echo", "-m", "0", "--stats"]).prints("-m 0 --stats");
}

#[test]
fn every_option_of_the_steps_below_works_here() {
    let Some(bench) = bench() else { return };
    options::of_the_steps_below_work(&bench);
}

#[test]
fn help_is_as_recorded() {
    help::is_as_recorded(&step!("05-cgroups"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    let Some(bench) = bench() else { return };
    help::examples_work(&bench, &[], &[]);
}

#[test]
fn help_lists_the_limits() {
    let Some(bench) = bench() else { return };
    let help = bench.call(["run", "--help"]);
    help.exits(0);
    for option in [
        "-m, --memory",
        "--memory-swap",
        "--memory-reservation",
        "--cpus",
        "--cpu-shares",
        "--cpuset-cpus",
        "--pids-limit",
        "--blkio-weight",
        "--cgroup-parent",
        "--stats",
    ] {
        assert!(help.out.contains(option), "{option}:\n{}", help.out);
    }
}
