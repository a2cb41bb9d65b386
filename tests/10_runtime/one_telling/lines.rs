//! The lines of `--explain=json`, without what differs from run to run and from host to
//! host.

use std::path::Path;

use serde::Deserialize;

use crate::conformance::bundle::Bundle;

/// A narrated call that a test compares.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The caller, the call and its operands: `parent mkdir(RUN/ID)`.
    pub call: String,
    /// The reason for the call.
    pub why: String,
}

#[derive(Deserialize)]
struct Narrated {
    who: String,
    call: String,
    args: String,
    result: String,
    why: String,
}

/// Calls that are not compared, since the host decides whether they are made, and why
/// the two steps make different ones.
const NOT_COMPARED: [(&str, &str); 5] = [
    ("/devices.", "step 10 uses the devices hierarchy of version 1, as its clients do"),
    ("bpf(", "and step 9 a program, wherever there is a hierarchy of version 2"),
    ("cgroup.subtree_control", "step 10 enables all: its clients read all counters"),
    ("/cpuset.", "only version 1 has to fill a new cpuset"),
    ("/proc/kcore, core", "step 10 makes the link if the host has the file"),
];

/// The devices of every container.
const DEVICES: [(&str, &str); 6] = [
    ("null", "c 1:3"),
    ("zero", "c 1:5"),
    ("full", "c 1:7"),
    ("urandom", "c 1:9"),
    ("random", "c 1:8"),
    ("tty", "c 5:0"),
];

/// Reads a narration. Calls that come once for each hierarchy of cgroups, or for each
/// device, are in it once, and so is a call that is made twice in a row.
pub fn read(narration: &str, bundle: &Bundle) -> Vec<Line> {
    let narrated: Vec<Narrated> =
        narration.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let result_of = |call: &str| narrated.iter().find(|line| line.call == call);
    let run_dir = Path::new(&result_of("mkdir").unwrap().args);
    let id = run_dir.file_name().unwrap().to_str().unwrap();
    let pid = &result_of("clone3").unwrap().result;
    let names = [
        (bundle.dir().to_str().unwrap(), "DIR"),
        (bundle.cgroup(), "PARENT"),
        (&format!("/{id}"), "/ID"),
        (&format!("/{pid}/"), "/PID/"),
        (&format!("({pid})"), "(PID)"),
    ];
    let mut lines: Vec<Line> = Vec::new();
    for Narrated { who, call, args, why, .. } in &narrated {
        let mut text = format!("{who} {call}({args})");
        for (name, general) in names {
            text = text.replace(name, general);
        }
        let (text, is_repeated) = generalized(&text, why);
        let line = Line { call: text, why: why.clone() };
        let is_compared =
            !NOT_COMPARED.iter().any(|(part, _)| line.call.contains(part));
        let is_again = lines.last().is_some_and(|last| last.call == line.call)
            || (is_repeated && lines.contains(&line));
        if is_compared && !is_again {
            lines.push(line);
        }
    }
    lines
}

/// Replaces the name of a hierarchy and of a device by a word for all of them, and
/// returns whether it did.
fn generalized(text: &str, why: &str) -> (String, bool) {
    if why == "the mount point of this hierarchy" {
        return ("child mkdirat(HIERARCHY)".into(), true);
    }
    let mut general = text.to_owned();
    for (name, number) in DEVICES {
        let is_about = ["mknodat(", "openat(", "fchownat(", "chmod("]
            .iter()
            .any(|call| text.contains(call));
        if is_about && text.contains(name) {
            general = general.replace(name, "DEVICE").replace(number, "NUMBER");
        }
    }
    const TOP: &str = "/sys/fs/cgroup/";
    let parts: Vec<String> = general
        .split(TOP)
        .enumerate()
        .map(|(at, part)| match part.find(['/', ',', ')']) {
            Some(end) if at > 0 && !part.starts_with("PARENT") => {
                format!("HIERARCHY{}", &part[end..])
            }
            _ => part.into(),
        })
        .collect();
    let general = parts.join(TOP);
    let is_general = general != text || text.contains(TOP);
    (general, is_general)
}
