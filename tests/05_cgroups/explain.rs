//! `--explain` narrates the whole start, in parent and child, in the order of the
//! calls.

use kiste_tests::explain;
use serde::Deserialize;

use crate::fixture;
use crate::kernel::{self, by_version};

const V2: &str = "
    parent  clone3
    child   prctl setsid unshare sethostname mount open_tree move_mount
    child   fsmount move_mount fsmount move_mount
    child   fsmount (mknodat)+ (move_mount fsmount)+ move_mount
    child   open_tree mount_setattr move_mount
    child   fchdir pivot_root umount2 chdir close_range execve
";

const V1: &str = "
    parent  clone3
    child   prctl setsid unshare sethostname mount open_tree move_mount
    child   fsmount move_mount fsmount move_mount
    child   fsmount (mknodat)+ (move_mount fsmount)+
    child   mount_setattr move_mount (open_tree mount_setattr move_mount)+
    child   fchdir pivot_root umount2 chdir close_range execve
";

#[test]
fn explain_narrates_the_calls_that_strace_sees() {
    let Some(fixture) = fixture() else { return };
    explain::assert_narration_matches_strace(
        &fixture,
        by_version(V2, V1),
        &["-m", "64m", "--pids-limit", "20"],
        &["true"],
    );
}

#[derive(Debug, Deserialize)]
struct Line {
    who: String,
    call: String,
    args: String,
    why: String,
}

#[test]
fn explain_narrates_the_life_of_a_cgroup_in_order() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.run(
        &["--explain=json", "-m", "64m", "--cpus", "0.5", "--pids-limit", "20"],
        &["true"],
    );
    ran.exits(0);
    let lines: Vec<Line> =
        ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let run_dirs = fixture.run_dirs();
    let v1_moves = [("child", "write", "/tasks, 0")];
    let moves = if kernel::is_v2() { &[][..] } else { &v1_moves };
    let expected = [
        &[
            ("parent", "mkdir", run_dirs.to_str().unwrap()),
            ("parent", "flock", run_dirs.to_str().unwrap()),
            ("parent", "write", "/cgroups"),
            ("parent", "mkdir", "/sys/fs/cgroup"),
            (
                "parent",
                "write",
                by_version("/memory.max, 67108864", "/cpu.cfs_quota_us, 50000"),
            ),
            (
                "parent",
                "write",
                by_version(
                    "/cpu.max, 50000 100000",
                    "/memory.limit_in_bytes, 67108864",
                ),
            ),
            ("parent", "write", "/pids.max, 20"),
            ("parent", "clone3", "NEWPID"),
        ],
        moves,
        &[
            ("child", "unshare", "CLONE_NEWCGROUP"),
            ("child", "sethostname", ""),
            ("child", "pivot_root", ". ."),
            ("child", "execve", "/true"),
            ("parent", "waitid", ""),
            ("parent", "write", "/cgroup.kill, 1"),
            ("parent", "rmdir", "/sys/fs/cgroup"),
        ],
    ]
    .concat();
    let mut rest = lines.iter();
    for (who, call, args) in expected {
        let is_it = |line: &Line| {
            line.who == who
                && line.call == call
                && line.args.replace(',', "").contains(&args.replace(',', ""))
        };
        assert!(
            rest.any(is_it),
            "{who} {call}({args}) is not narrated, or not at this point:\n{lines:#?}"
        );
    }
    assert!(
        lines.iter().all(|line| !line.why.is_empty()),
        "each call has its reason: {lines:#?}"
    );
}

#[test]
fn with_explain_json_the_statistics_are_json_too() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.run(&["--explain=json", "--stats"], &["true"]);
    let read = |line| -> serde_json::Value { serde_json::from_str(line).expect(line) };
    let lines: Vec<_> = ran.exits(0).err.lines().map(read).collect();
    let notes: Vec<_> = lines.iter().filter(|line| line["level"] == "note").collect();
    let [statistics] = notes[..] else { panic!("{notes:?}") };
    assert!(statistics["message"].as_str().unwrap().contains("cpu "), "{statistics}");
}

#[test]
fn a_run_that_is_ended_between_two_calls_is_undone() {
    for call in ["mkdir(", "clone3(", "unshare("] {
        // The fixture fails if a cgroup or a run directory is left.
        let Some(fixture) = fixture().filter(|it| it.step().is_ours()) else { return };
        let mut terminal = fixture.at_terminal(&["--explain=step"], &["true"]);
        explain::step_to(&mut terminal, call);
        terminal.type_in("q\n");
        let (code, rest) = terminal.wait_for_exit();
        assert_eq!(code, 130, "{rest}");
        assert!(rest.contains("interrupted by SIGINT"), "{rest}");
    }
}
