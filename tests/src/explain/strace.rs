//! The calls that strace(1) saw, by process.

use std::path::Path;

use super::Calls;
use super::calls::{HELPER, traced};

/// The end of a line when strace prints another process's call before this call ends.
const UNFINISHED: &str = " <unfinished ...>";

/// Stands for the calls of prctl(2) that drop one capability after the other.
const DROP: &str = "prctl, PR_CAPBSET_DROP";

/// Returns the words that start a program under strace, with this log.
pub fn command(log: &Path) -> Vec<String> {
    let only = format!("trace={}", traced().join(","));
    let log = log.to_str().unwrap();
    ["strace", "-f", "-qq", "-e", "signal=none", "-e", &only, "-o", log]
        .map(String::from)
        .to_vec()
}

/// Reads the log of `strace -f`: lines of `PID  call(…) = …`.
pub fn seen(log: &str, processes: usize) -> Calls {
    let mut pids = Vec::new();
    let mut seen: Vec<Vec<String>> = Vec::new();
    let lines = whole_lines(log);
    let helpers = helpers(&lines);
    for (pid, call) in &lines {
        let (pid, call) = (*pid, call.as_str());
        let leads_to_fsmount = call.contains("fsopen") || call.contains("fsconfig");
        let call = match leads_to_fsmount {
            // Step 7 passes an unknown option to learn whether the kernel checks
            // options. This call is expected to fail.
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
        // After its exec the process is the command, and no longer Kiste.
        let is_command = at > 0 && seen[at].last().is_some_and(|last| last == "execve");
        if is_name && !is_command && is_compared(name, operands) {
            let is_helper = operands.contains("CLONE_VFORK") || name == "vfork";
            // These are narrated together, as one call.
            let is_drop = operands.starts_with("PR_CAPBSET_DROP");
            let name = match (is_helper, is_drop) {
                (true, _) => HELPER,
                (_, true) if seen[at].last().is_some_and(|last| last == DROP) => {
                    continue;
                }
                (_, true) => DROP,
                _ => name,
            };
            seen[at].push(name.into());
        }
    }
    // Drops the calls before the program: the execve of strace itself, and of the
    // starter.
    let program = seen[0]
        .iter()
        .rposition(|name| name == "execve")
        .expect("the program was started");
    seen[0].drain(..=program);
    let drops = seen.iter_mut().flatten().filter(|name| *name == DROP);
    drops.for_each(|name| *name = "prctl".into());
    ["parent", "child", "grandchild"]
        .map(String::from)
        .into_iter()
        .zip(seen)
        .take(processes)
        .collect()
}

/// Returns the lines with their process. A call that another process's line interrupted
/// is one line again.
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
            .expect("a resumed call has begun before");
        begun.truncate(begun.len() - UNFINISHED.len());
        begun.push_str(end);
    }
    lines
}

/// Returns the processes that execute newuidmap or newgidmap.
fn helpers<'log>(lines: &[(&'log str, String)]) -> Vec<&'log str> {
    let is_helper = |call: &str| {
        call.starts_with("execve(")
            && ["/newuidmap\"", "/newgidmap\""].iter().any(|name| call.contains(name))
    };
    lines.iter().filter(|(_, call)| is_helper(call)).map(|(pid, _)| *pid).collect()
}

fn is_compared(name: &str, operands: &str) -> bool {
    match name {
        // Libraries name threads and mappings, and ask for settings.
        "prctl" => !["PR_SET_NAME", "PR_SET_VMA", "PR_GET_", "PR_CAPBSET_READ"]
            .iter()
            .any(|it| operands.starts_with(it)),
        "write" => !operands.starts_with("2,"), // the narration itself
        _ => true,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const LOG: &str = r#"
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

    pub fn calls(parent: &[&str], child: &[&str]) -> Calls {
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        [("parent".to_owned(), owned(parent)), ("child".to_owned(), owned(child))]
            .into()
    }

    pub const CHILD: &[&str] = &["prctl", "open_tree", "move_mount", "execve"];

    #[test]
    fn a_log_of_strace_is_read_up_to_where_the_command_begins() {
        assert_eq!(seen(LOG, 2), calls(&["clone3", "waitid"], CHILD));
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
}
