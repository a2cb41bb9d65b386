//! Compares `--explain` with what really happens, as strace(1) sees it.
//!
//! For each process, three lists must agree: the one written in the test, the
//! narration, and the calls that strace saw. The calls that make a container
//! (`MAKE_A_CONTAINER`) must be narrated completely, and none may be invented. Every
//! other narrated call must have been made, in this order.

mod calls;
mod strace;
mod written;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Fixture, Ran, Step, Terminal, User, host, require_tool};
use calls::{container_calls, is_narrated_as};

/// The names of the calls that each process made, in order. The keys are parent, child
/// and grandchild.
type Calls = BTreeMap<String, Vec<String>>;

/// A line of `--explain=json`, without its operands, which differ from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Line {
    who: String,
    step: u32,
    call: String,
    why: String,
}

/// Asserts that `--explain` narrates the calls that are written here, and that strace
/// sees them:
///
/// ```text
/// parent  clone3
/// child   prctl sethostname (open_tree move_mount)+ close_range execve
/// ```
///
/// The list has only the calls of `MAKE_A_CONTAINER`. A group in `( )+` may come any
/// number of times, but at least once: how often depends on the host. setsid(1) starts
/// the run without a terminal, wherever the test is started. Without strace the test is
/// skipped.
#[track_caller]
pub fn assert_narration_matches_strace(
    fixture: &Fixture,
    written: &str,
    options: &[&str],
    command: &[&str],
) {
    if !fixture.step().is_ours() || !require_tool("strace") {
        return;
    }
    let log = fixture.dir().join(format!("strace-{}", host::unique()));
    let strace = strace::command(&log);
    let starter: Vec<_> =
        std::iter::once("setsid").chain(strace.iter().map(String::as_str)).collect();
    let ran =
        fixture.run_under(&starter, &[&["--explain=json"], options].concat(), command);
    compare(written, &ran, &log);
}

/// Does the same for an ordinary user. strace runs as root: traced by a user, newuidmap
/// would lose its set-user-ID bit.
#[track_caller]
pub fn assert_narration_matches_strace_of(
    user: &mut User,
    written: &str,
    options: &[&str],
    command: &[&str],
) {
    if !user.fixture().step().is_ours() || !require_tool("strace") {
        return;
    }
    let log = user.dir().join(format!("strace-{}", host::unique()));
    user.root_prefix = strace::command(&log);
    let ran = user.run(&[&["--explain=json"], options].concat(), command);
    compare(written, &ran, &log);
}

/// Asserts that `--explain=05` narrates exactly the calls that `--explain` narrates for
/// step 5, in the same order, and likewise for every step that the program has. Steps
/// above its own are refused. `run` runs `true` with the given option.
#[track_caller]
pub fn narrates_each_step_alone(step: &Step, run: impl Fn(&str) -> Ran) {
    if !step.is_ours() {
        return;
    }
    let explained = |option: &str| read(&run(option).exits(0).err);
    let own = step.number();
    let all = explained("--explain=json");
    for step in 0..=own {
        let of_step: Vec<_> =
            all.iter().filter(|line| line.step == step).cloned().collect();
        assert_eq!(explained(&format!("--explain=json,{step:02}")), of_step);
        assert!(![0, own].contains(&step) || !of_step.is_empty(), "{step}: {all:?}");
    }
    run(&format!("--explain={own:02}"))
        .exits(0)
        .assert_stderr_contains("parent     clone3(");

    let known: Vec<_> = (0..=own).map(|step| format!("{step:02}")).collect();
    for unknown in [own + 1, 99] {
        let ran = run(&format!("--explain={unknown:02}"));
        ran.exits(2).assert_stderr_contains(&known.join(", "));
    }
}

/// Presses Enter until `--explain=step` shows this call, and waits for the next Enter.
/// Returns what it has shown from here on.
#[track_caller]
pub fn step_to(terminal: &mut Terminal, call: &str) -> String {
    let mut seen = String::new();
    loop {
        let shown = terminal.shows("q: end");
        seen += &shown;
        if shown.contains(&format!(": {call}")) {
            return seen;
        }
        terminal.type_in("\n");
    }
}

/// Returns the calls of one process in the order in which a run with `--explain=json`
/// narrates them.
pub fn calls_of(who: &str, ran: &Ran) -> Vec<String> {
    narrated(&ran.err).remove(who).unwrap_or_default()
}

#[track_caller]
fn compare(written: &str, ran: &Ran, log: &Path) {
    ran.exits(0);
    let narrated = narrated(&ran.err);
    let seen = strace::seen(&fs::read_to_string(log).unwrap(), narrated.len());
    let wrong = differences(written, &narrated, &seen);
    assert!(
        wrong.is_empty(),
        "{}{}\nnarrated: {}\nstrace saw: {}",
        without_narration(&narrated, &seen),
        wrong.join("\n"),
        beginning(&format!("{narrated:#?}")),
        beginning(&format!("{seen:#?}"))
    );
}

/// Names the calls that make a container and are missing in the narration: the usual
/// mistake when a function is written anew. Empty if no call is missing.
fn without_narration(narrated: &Calls, seen: &Calls) -> String {
    let mut without_narration = Vec::new();
    for (who, calls) in seen {
        let narrated = narrated.get(who).map(Vec::as_slice).unwrap_or_default();
        let mut narrated = container_calls(narrated);
        for call in container_calls(calls) {
            match narrated.iter().position(|narrated| *narrated == call) {
                Some(at) => drop(narrated.remove(at)),
                None if !without_narration.contains(&call) => {
                    without_narration.push(call)
                }
                None => {}
            }
        }
    }
    if without_narration.is_empty() {
        return String::new();
    }
    let calls = without_narration.join(", ");
    format!("calls without narration: {calls}. Make them with kit::call (chapter 0)\n")
}

/// Returns the first lines of a dump, and the number of the other lines.
fn beginning(dump: &str) -> String {
    const LINES: usize = 20;
    let mut lines: Vec<_> = dump.lines().take(LINES).collect();
    let rest = dump.lines().count() - lines.len();
    let more = format!("… and {rest} lines more");
    lines.extend((rest > 0).then_some(more.as_str()));
    lines.join("\n")
}

fn narrated(stderr: &str) -> Calls {
    let mut narrated = Calls::new();
    for line in read(stderr) {
        narrated.entry(line.who).or_default().push(line.call);
    }
    narrated
}

/// Reads the narrated calls. The other lines are messages: notes, warnings, errors.
fn read(stderr: &str) -> Vec<Line> {
    let read = |line| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let calls = stderr.lines().map(read).filter(|line| line.get("level").is_none());
    calls.map(|line| serde_json::from_value(line).expect("a narrated call")).collect()
}

fn differences(written: &str, narrated: &Calls, seen: &Calls) -> Vec<String> {
    let written = written::read(written);
    let mut wrong = Vec::new();
    for who in ["parent", "child", "grandchild"] {
        let of_process = |calls: &Calls| calls.get(who).cloned().unwrap_or_default();
        let (all_narrated, all_seen) = (of_process(narrated), of_process(seen));
        let (narrated, seen) =
            (container_calls(&all_narrated), container_calls(&all_seen));
        let list = written.get(who).map(Vec::as_slice).unwrap_or_default();
        if narrated != seen {
            wrong
                .push(format!("{who}: narrated {narrated:?}, but strace saw {seen:?}"));
        }
        if !written::matches(list, &narrated) {
            wrong.push(format!(
                "{who}: the test lists {list:?}, but narrated {narrated:?}"
            ));
        }
        if let Some(call) = never_made(&all_narrated, &all_seen) {
            wrong.push(format!(
                "{who}: {call} is narrated, but was not made at that point"
            ));
        }
    }
    wrong
}

/// Returns the first narrated call that does not appear among the calls made after the
/// previous narrated one.
fn never_made(narrated: &[String], seen: &[String]) -> Option<String> {
    let mut rest = seen.iter();
    narrated
        .iter()
        .find(|narrated| !rest.any(|seen| is_narrated_as(seen, narrated)))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::strace::tests::{CHILD, LOG, calls};
    use super::*;

    const LIST: &str = "
        parent  clone3
        child   prctl (open_tree move_mount)+ execve
    ";

    #[test]
    fn a_true_narration_has_no_differences() {
        let narrated = calls(&["clone3", "waitid"], CHILD);
        assert_eq!(differences(LIST, &narrated, &strace::seen(LOG, 2)), [""; 0]);
    }

    #[test]
    fn a_call_left_out_is_found() {
        let narrated = calls(&["clone3"], &["prctl", "open_tree", "execve"]);
        let wrong = differences(LIST, &narrated, &strace::seen(LOG, 2));
        assert!(
            wrong.len() == 2 && wrong[0].starts_with("child: narrated ["),
            "{wrong:?}"
        );
    }

    #[test]
    fn the_calls_left_out_are_named_first_and_the_dumps_are_short() {
        let narrated = calls(&["clone3"], &["open_tree", "execve"]);
        assert_eq!(
            without_narration(&narrated, &strace::seen(LOG, 2)),
            "calls without narration: prctl, move_mount. Make them with kit::call (chapter 0)\n"
        );
        assert_eq!(
            without_narration(&calls(&["clone3"], CHILD), &strace::seen(LOG, 2)),
            ""
        );
        assert_eq!(beginning("a\nb"), "a\nb");
        let long = beginning(&"a\n".repeat(23));
        assert!(long.ends_with("\na\n… and 3 lines more"), "{long}");
        assert_eq!(long.lines().count(), 21);
    }

    #[test]
    fn an_invented_call_or_one_out_of_order_is_found() {
        let narrated = calls(&["waitid", "clone3", "waitid"], CHILD);
        let wrong = differences(LIST, &narrated, &strace::seen(LOG, 2));
        assert_eq!(
            wrong,
            ["parent: clone3 is narrated, but was not made at that point"]
        );
        let narrated = calls(
            &["clone3"],
            &["prctl", "chdir", "open_tree", "move_mount", "execve"],
        );
        assert_eq!(differences(LIST, &narrated, &strace::seen(LOG, 2)).len(), 3);
    }
}
