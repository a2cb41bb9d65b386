//! Resource limits, and the preference of the kernel when memory runs out.

use std::fs;

use kiste_tests::host;

use crate::{root, sh, start};

/// Returns the soft and the hard limit in a line of /proc/PID/limits.
fn limit(pid: i32, name: &str) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let mut words = line.split_whitespace().map(String::from);
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn the_command_has_the_limits_that_were_asked_for() {
    let Some(fixture) = root() else { return };
    let options = [
        "--ulimit",
        "nofile=100:200",
        "--ulimit",
        "core=0",
        "--ulimit",
        "RLIMIT_NPROC=77",
        "--ulimit",
        "stack=1048576:-1",
    ];
    // With --init, PID 1 has them, too.
    for init in [&[][..], &["--init"]] {
        let running = start(&fixture, &[&options, init].concat());
        let command = host::children(running.pid).first().copied();
        for pid in [Some(running.pid), command].into_iter().flatten() {
            let has = |name: &str| limit(pid, name);
            let values = |soft: &str, hard: &str| (soft.into(), hard.into());
            assert_eq!(has("Max open files"), values("100", "200"));
            assert_eq!(has("Max core file size"), values("0", "0"));
            assert_eq!(has("Max processes"), values("77", "77"));
            assert_eq!(has("Max stack size"), values("1048576", "unlimited"));
        }
    }
    sh(&fixture, &["--ulimit", "nofile=100:200"], "ulimit -Hn").assert_stdout("200");
}

#[test]
fn a_limit_that_makes_no_sense_is_a_usage_error() {
    let Some(fixture) = root() else { return };
    for (options, message) in [
        (&["--ulimit", "nofile=2:1"][..], "above the hard one"),
        (&["--ulimit", "files=1"], "nofile, nproc"),
        (&["--ulimit", "nofile=1", "--ulimit", "nofile=2"], "two limits of nofile"),
        (&["--oom-score-adj", "1001"], "-1000 to 1000"),
    ] {
        sh(&fixture, options, "true").exits(2).assert_stderr_contains(message);
    }
}

#[test]
fn a_hard_limit_above_the_callers_needs_cap_sys_resource() {
    let Some(fixture) = root() else { return };
    let caller = [
        "sh",
        "-c",
        "ulimit -n 100 && exec setpriv --bounding-set=-sys_resource --inh-caps=-all \"$0\" \"$@\"",
    ];
    let options = ["--network", "none", "--ulimit", "nofile=200"];
    fixture
        .run_under(&caller, &options, &["true"])
        .exits(125)
        .assert_stderr_contains("prlimit(")
        .assert_stderr_contains("CAP_SYS_RESOURCE")
        .assert_stderr_contains("nofile=100");
    let options = ["--network", "none", "--ulimit", "nofile=100"];
    fixture.run_under(&caller, &options, &["true"]).exits(0);
}

#[test]
fn the_oom_score_is_added_to_that_of_every_process() {
    let Some(fixture) = root() else { return };
    for init in [&[][..], &["--init"]] {
        let running = start(&fixture, &[&["--oom-score-adj", "500"], init].concat());
        let command = host::children(running.pid).first().copied();
        for pid in [Some(running.pid), command].into_iter().flatten() {
            let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj"));
            assert_eq!(score.unwrap().trim(), "500");
        }
    }
}
