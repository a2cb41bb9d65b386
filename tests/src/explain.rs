//! Holds `--explain` to what really happens: strace(1) listens beside it.
//!
//! Three things must agree, for each process by itself: the list that is written in the
//! test, what the program tells, and what strace saw. Of the calls that make a
//! container (`MAKE_A_CONTAINER`) none is left out and none is made up; of all others
//! that are told, each was made, in this order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::{Bench, Ran, Step, User, host, tool};

/// The calls that make a container. A narration that leaves out one of them is not
/// true.
const MAKE_A_CONTAINER: &[&str] = &[
    "chdir",
    "chroot",
    "clone",
    "clone3",
    "close_range",
    "execve",
    "execveat",
    "fchdir",
    "fork",
    "fsmount",
    "mknod",
    "mknodat",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "prctl",
    "setdomainname",
    "setgroups",
    "sethostname",
    "setns",
    "setpgid",
    "setresgid",
    "setresuid",
    "setsid",
    "umount2",
    "unshare",
    "vfork",
];

/// What else may be told, where the man page's name is not, or not only, the system
/// call's.
const OTHERS: &[(&str, &[&str])] = &[
    ("dup2", &["dup2", "dup3"]),
    ("fchown", &["fchown"]),
    ("flock", &["flock"]),
    // Told as one with those before it, which may fail in its place.
    ("fsmount", &["fsmount", "fsopen", "fsconfig"]),
    ("ioctl", &["ioctl"]),
    ("keyctl", &["keyctl"]),
    ("mkdir", &["mkdir", "mkdirat"]),
    ("mkdirat", &["mkdirat"]),
    ("newgidmap", &[HELPER]),
    ("newuidmap", &[HELPER]),
    ("open", &["open", "openat"]),
    ("openat", &["openat"]),
    ("openat2", &["openat2"]),
    ("pidfd_send_signal", &["pidfd_send_signal"]),
    ("poll", &["poll", "ppoll"]),
    ("rmdir", &["rmdir", "unlinkat"]),
    ("setxattr", &["setxattr", "fsetxattr"]),
    ("stat", &["stat", "statx", "newfstatat"]),
    ("symlinkat", &["symlinkat"]),
    ("access", &["access", "faccessat", "faccessat2"]),
    ("tcsetpgrp", &["ioctl"]),
    ("waitid", &["waitid"]),
    ("write", &["write"]),
];

/// The start of a program of the host's, which is told by the program's name.
const HELPER: &str = "vfork, for a helper";

/// How strace ends the line of a call when another process's comes in between.
const UNFINISHED: &str = " <unfinished ...>";

/// The names of calls, in the order in which one process made them; by process: parent,
/// child, grandchild.
type Calls = BTreeMap<String, Vec<String>>;

/// A line of `--explain=json`. Its operands differ from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Line {
    who: String,
    step: u32,
    call: String,
    why: String,
}

/// What `--explain` tells of this run is what is written here, and what strace sees:
///
/// ```text
/// parent  clone3
/// child   prctl sethostname (open_tree move_mount)+ close_range execve
/// ```
///
/// The list has only the calls of `MAKE_A_CONTAINER`. What stands in `( )+` may come
/// any number of times, but once at least: where it depends on the host. Without strace
/// the test is skipped.
#[track_caller]
pub fn is_true(bench: &Bench, written: &str, options: &[&str], command: &[&str]) {
    if !bench.step().is_ours() || !tool("strace") {
        return;
    }
    let log = bench.dir().join(format!("strace-{}", host::unique()));
    let strace = strace(&log);
    let strace: Vec<_> = strace.iter().map(String::as_str).collect();
    let ran = bench.run_by(&strace, &[&["--explain=json"], options].concat(), command);
    compare(written, &ran, &log);
}

/// The same for one who is not root. It is root who listens, or newuidmap would be an
/// ordinary program.
#[track_caller]
pub fn is_true_of(user: &mut User, written: &str, options: &[&str], command: &[&str]) {
    if !user.bench().step().is_ours() || !tool("strace") {
        return;
    }
    let log = user.dir().join(format!("strace-{}", host::unique()));
    user.as_root = strace(&log);
    let ran = user.run(&[&["--explain=json"], options].concat(), command);
    compare(written, &ran, &log);
}

/// `--explain=05` tells of a run what `--explain` tells of step 5, in that order and
/// nothing else; so for each step that the program has. It has none above its own.
/// `run` runs `true` with the option.
#[track_caller]
pub fn tells_each_step_alone(step: &Step, run: impl Fn(&str) -> Ran) {
    if !step.is_ours() {
        return;
    }
    let explained = |how: &str| read(&run(how).exits(0).err);
    let own = step.number();
    let all = explained("--explain=json");
    for step in 0..=own {
        let of_step: Vec<_> =
            all.iter().filter(|line| line.step == step).cloned().collect();
        assert_eq!(explained(&format!("--explain=json,{step:02}")), of_step);
        assert!(![0, own].contains(&step) || !of_step.is_empty(), "{step}: {all:?}");
    }
    run(&format!("--explain={own:02}")).exits(0).complains("parent     clone3(");

    let there_are: Vec<_> = (0..=own).map(|step| format!("{step:02}")).collect();
    for none in [own + 1, 99] {
        let ran = run(&format!("--explain={none:02}"));
        ran.exits(2).complains(&there_are.join(", "));
    }
}

/// The calls of one process, in the order in which a run with `--explain=json` tells
/// them.
pub fn calls_of(who: &str, ran: &Ran) -> Vec<String> {
    told(&ran.err).remove(who).unwrap_or_default()
}

fn strace(log: &Path) -> Vec<String> {
    let only = format!("trace={}", traced().join(","));
    let log = log.to_str().unwrap();
    ["strace", "-f", "-qq", "-e", "signal=none", "-e", &only, "-o", log]
        .map(String::from)
        .to_vec()
}

#[track_caller]
fn compare(written: &str, ran: &Ran, log: &Path) {
    ran.exits(0);
    let told = told(&ran.err);
    let seen = seen(&fs::read_to_string(log).unwrap(), told.len());
    let wrong = differences(written, &told, &seen);
    assert!(
        wrong.is_empty(),
        "{}{}\ntold: {}\nseen: {}",
        untold(&told, &seen),
        wrong.join("\n"),
        beginning(&format!("{told:#?}")),
        beginning(&format!("{seen:#?}"))
    );
}

/// Names the calls that make a container and are missing in the narration: the usual
/// mistake of who writes a function again. Empty, if none is.
fn untold(told: &Calls, seen: &Calls) -> String {
    let mut untold = Vec::new();
    for (who, calls) in seen {
        let told = told.get(who).map(Vec::as_slice).unwrap_or_default();
        let mut told = container_calls(told);
        for call in container_calls(calls) {
            match told.iter().position(|told| *told == call) {
                Some(at) => drop(told.remove(at)),
                None if !untold.contains(&call) => untold.push(call),
                None => {}
            }
        }
    }
    if untold.is_empty() {
        return String::new();
    }
    let calls = untold.join(", ");
    format!("made, and not told: {calls}. Make them by kit::call (chapter 0)\n")
}

/// As much of a dump as somebody reads.
fn beginning(dump: &str) -> String {
    const LINES: usize = 20;
    let mut lines: Vec<_> = dump.lines().take(LINES).collect();
    let rest = dump.lines().count() - lines.len();
    let more = format!("… and {rest} lines more");
    lines.extend((rest > 0).then_some(more.as_str()));
    lines.join("\n")
}

/// With a question mark strace forgives a call that this machine does not have.
fn traced() -> Vec<String> {
    let others = OTHERS
        .iter()
        .flat_map(|(_, calls)| calls.iter())
        .filter(|name| **name != HELPER);
    MAKE_A_CONTAINER.iter().chain(others).map(|name| format!("?{name}")).collect()
}

fn told(stderr: &str) -> Calls {
    let mut told = Calls::new();
    for line in read(stderr) {
        told.entry(line.who).or_default().push(line.call);
    }
    told
}

fn read(stderr: &str) -> Vec<Line> {
    let read = |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    stderr.lines().map(read).collect()
}

/// Reads the log of `strace -f`: lines of `PID  call(…) = …`.
fn seen(log: &str, processes: usize) -> Calls {
    let mut pids = Vec::new();
    let mut seen: Vec<Vec<String>> = Vec::new();
    let lines = whole_lines(log);
    let helpers = helpers(&lines);
    for (pid, call) in &lines {
        let (pid, call) = (*pid, call.as_str());
        let leads_to_fsmount = call.contains("fsopen") || call.contains("fsconfig");
        let call = match leads_to_fsmount {
            // Step 7 asks whether options are looked at: an answer, no failure.
            true if call.contains("no-such-option") => continue,
            true if call.contains(" = -1 ") => "fsmount()",
            true => continue,
            false => call,
        };
        let Some((name, operands)) = call.split_once('(') else { continue };
        if helpers.contains(&pid) {
            continue;
        }
        let at = pids.iter().position(|known| *known == pid).unwrap_or_else(|| {
            pids.push(pid);
            seen.push(Vec::new());
            pids.len() - 1
        });
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // After its exec it is the command, and no longer ours.
        let is_command = at > 0 && seen[at].last().is_some_and(|last| last == "execve");
        if is_name && !is_command && matters(name, operands) {
            let is_helper = operands.contains("CLONE_VFORK") || name == "vfork";
            seen[at].push(if is_helper { HELPER } else { name }.into());
        }
    }
    // What came before the program: strace's own execve, and that of whatever starts
    // it.
    let program = seen[0]
        .iter()
        .rposition(|name| name == "execve")
        .expect("the program was started");
    seen[0].drain(..=program);
    ["parent", "child", "grandchild"]
        .map(String::from)
        .into_iter()
        .zip(seen)
        .take(processes)
        .collect()
}

/// The lines by process, where a call that was interrupted by another process's is one
/// line again.
fn whole_lines(log: &str) -> Vec<(&str, String)> {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for line in log.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let resumed =
            call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>"));
        let Some((_, end)) = resumed else {
            lines.push((pid, call.into()));
            continue;
        };
        let begun =
            lines.iter_mut().rfind(|(of, _)| *of == pid).map(|(_, begun)| begun);
        let begun = begun
            .filter(|begun| begun.ends_with(UNFINISHED))
            .expect("what is resumed was begun");
        begun.truncate(begun.len() - UNFINISHED.len());
        begun.push_str(end);
    }
    lines
}

/// The processes that are programs of the host's: they begin with an execve of it.
fn helpers<'log>(lines: &[(&'log str, String)]) -> Vec<&'log str> {
    let is_helper = |call: &str| {
        call.starts_with("execve(")
            && ["/newuidmap\"", "/newgidmap\""].iter().any(|name| call.contains(name))
    };
    lines.iter().filter(|(_, call)| is_helper(call)).map(|(pid, _)| *pid).collect()
}

fn matters(name: &str, operands: &str) -> bool {
    match name {
        // Names of threads and the like; what libraries ask.
        "prctl" => !["PR_SET_NAME", "PR_SET_VMA", "PR_GET_", "PR_CAPBSET_READ"]
            .iter()
            .any(|it| operands.starts_with(it)),
        "write" => !operands.starts_with("2,"), // the narration itself
        _ => true,
    }
}

fn differences(written: &str, told: &Calls, seen: &Calls) -> Vec<String> {
    let written = read_list(written);
    let mut wrong = Vec::new();
    for who in ["parent", "child", "grandchild"] {
        let of = |calls: &Calls| calls.get(who).cloned().unwrap_or_default();
        let (all_told, all_seen) = (of(told), of(seen));
        let (told, seen) = (container_calls(&all_told), container_calls(&all_seen));
        let list = written.get(who).map(Vec::as_slice).unwrap_or_default();
        if told != seen {
            wrong.push(format!("{who}: told is {told:?}, and made was {seen:?}"));
        }
        if !matches(list, &told) {
            wrong.push(format!("{who}: written is {list:?}, and told {told:?}"));
        }
        if let Some(call) = never_made(&all_told, &all_seen) {
            wrong.push(format!("{who}: {call} is told, and was not made then"));
        }
    }
    wrong
}

fn container_calls(calls: &[String]) -> Vec<String> {
    let mut calls: Vec<String> = calls
        .iter()
        .filter(|name| MAKE_A_CONTAINER.contains(&name.as_str()))
        .cloned()
        .collect();
    // An init closes what lies below its channel and what lies above: two calls, told
    // as one.
    calls.dedup_by(|later, earlier| later == earlier && later == "close_range");
    calls
}

/// The first call that is told, and not found in what was made after the one told
/// before.
fn never_made(told: &[String], seen: &[String]) -> Option<String> {
    let mut rest = seen.iter();
    let made = |name: &&String, rest: &mut std::slice::Iter<'_, String>| {
        let as_seen =
            OTHERS.iter().find(|(told, _)| told == name).map(|(_, calls)| *calls);
        rest.any(|seen| {
            as_seen.map_or(seen == *name, |calls| calls.contains(&seen.as_str()))
        })
    };
    told.iter().find(|name| !made(name, &mut rest)).cloned()
}

/// A part of the written list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Once(String),
    Repeated(Vec<String>),
}

fn read_list(list: &str) -> BTreeMap<String, Vec<Part>> {
    let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let Some(who) = words.next() else { continue };
        let list = parts.entry(who.into()).or_default();
        while let Some(word) = words.next() {
            let Some(first) = word.strip_prefix('(') else {
                list.push(Part::Once(word.into()));
                continue;
            };
            let mut group = vec![first];
            while !group[group.len() - 1].ends_with(")+") {
                group.push(words.next().expect("a group of calls ends in )+"));
            }
            let names = group.iter().map(|word| word.trim_end_matches(")+").into());
            list.push(Part::Repeated(names.collect()));
        }
    }
    parts
}

fn matches(list: &[Part], mut calls: &[String]) -> bool {
    for part in list {
        let (group, again) = match part {
            Part::Once(name) => (std::slice::from_ref(name), false),
            Part::Repeated(group) => (group.as_slice(), true),
        };
        let Some(rest) = calls.strip_prefix(group) else { return false };
        calls = rest;
        while let (true, Some(rest)) = (again, calls.strip_prefix(group)) {
            calls = rest;
        }
    }
    calls.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "
        parent  clone3
        child   prctl (open_tree move_mount)+ execve
    ";

    const STRACE: &str = r#"
10    execve("05-cgroups", ["05-cgroups", "run"], 0x7ff /* 20 vars */) = 0
10    prctl(PR_SET_NAME, "x") = 0
10    clone3({flags=CLONE_PIDFD} <unfinished ...>
11    prctl(PR_SET_PDEATHSIG, SIGKILL <unfinished ...>
10    <... clone3 resumed> => {pidfd=[6]}, 88) = 11
11    <... prctl resumed>) = 0
11    open_tree(AT_FDCWD, "a", 0) = 3
11    move_mount(3, "", 4, "", 0) = 0
11    write(2, "x", 1) = 1
11    execve("/bin/true", ["true"], 0x55 /* 4 vars */) = 0
11    mount("what", "the", "command", 0, NULL) = 0
10    waitid(P_PIDFD, 6, {}, WEXITED, NULL) = 0
12    clone(what the command starts) = 13"#;

    fn calls(parent: &[&str], child: &[&str]) -> Calls {
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        [("parent".to_owned(), owned(parent)), ("child".to_owned(), owned(child))]
            .into()
    }

    const CHILD: &[&str] = &["prctl", "open_tree", "move_mount", "execve"];

    #[test]
    fn a_log_of_strace_is_read_up_to_where_the_command_begins() {
        assert_eq!(seen(STRACE, 2), calls(&["clone3", "waitid"], CHILD));
    }

    #[test]
    fn a_call_that_another_process_interrupts_is_one_call() {
        let log = r#"
10    execve("07-image", ["07-image", "run"], 0x7ff /* 20 vars */) = 0
11    fsconfig(5, FSCONFIG_SET_FLAG, "no-such-option", NULL, 0 <unfinished ...>
10    waitid(P_PIDFD, 6,  <unfinished ...>
11    <... fsconfig resumed>) = -1 EINVAL (Invalid argument)
11    fsopen("proc", 0 <unfinished ...>
10    <... waitid resumed>{}, WEXITED, NULL) = 0
11    <... fsopen resumed>) = -1 EPERM (Operation not permitted)
11    chdir("/" <unfinished ...>"#;
        assert_eq!(seen(log, 2), calls(&["waitid"], &["fsmount", "chdir"]));
    }

    #[test]
    fn a_true_narration_has_no_differences() {
        let told = calls(&["clone3", "waitid"], CHILD);
        assert_eq!(differences(LIST, &told, &seen(STRACE, 2)), [""; 0]);
    }

    #[test]
    fn a_call_left_out_is_found() {
        let told = calls(&["clone3"], &["prctl", "open_tree", "execve"]);
        let wrong = differences(LIST, &told, &seen(STRACE, 2));
        assert!(
            wrong.len() == 2 && wrong[0].starts_with("child: told is"),
            "{wrong:?}"
        );
    }

    #[test]
    fn the_calls_left_out_are_named_first_and_the_dumps_are_short() {
        let told = calls(&["clone3"], &["open_tree", "execve"]);
        assert_eq!(
            untold(&told, &seen(STRACE, 2)),
            "made, and not told: prctl, move_mount. Make them by kit::call (chapter 0)\n"
        );
        assert_eq!(untold(&calls(&["clone3"], CHILD), &seen(STRACE, 2)), "");
        assert_eq!(beginning("a\nb"), "a\nb");
        let long = beginning(&"a\n".repeat(23));
        assert!(long.ends_with("\na\n… and 3 lines more"), "{long}");
        assert_eq!(long.lines().count(), 21);
    }

    #[test]
    fn a_call_made_up_or_out_of_order_is_found() {
        let told = calls(&["waitid", "clone3", "waitid"], CHILD);
        let wrong = differences(LIST, &told, &seen(STRACE, 2));
        assert_eq!(wrong, ["parent: clone3 is told, and was not made then"]);
        let told = calls(
            &["clone3"],
            &["prctl", "chdir", "open_tree", "move_mount", "execve"],
        );
        assert_eq!(differences(LIST, &told, &seen(STRACE, 2)).len(), 3);
    }

    #[test]
    fn what_is_repeated_comes_once_at_least() {
        let list = &read_list("child a (b c)+ d")["child"];
        let matches = |text: &str| {
            matches(list, &text.split(' ').map(String::from).collect::<Vec<_>>())
        };
        assert!(matches("a b c d") && matches("a b c b c d"));
        assert!(
            !matches("a d")
                && !matches("a b d")
                && !matches("a b c")
                && !matches("a b c d d")
        );
    }
}
