//! The environment of a command, read from outside the container while the command is
//! stopped at its exec.

use std::collections::BTreeSet;
use std::fs;

use kiste_tests::host;

use crate::scenario::Scenario;

/// Facts that may differ, since a documented fallback has the same effect, and its
/// source.
const FALLBACKS: [(&str, &str); 6] = [
    ("mounted: /dev/full ", NODES),
    ("mounted: /dev/null ", NODES),
    ("mounted: /dev/random ", NODES),
    ("mounted: /dev/tty ", NODES),
    ("mounted: /dev/urandom ", NODES),
    ("mounted: /dev/zero ", NODES),
];
const NODES: &str =
    "if mknod is refused, the host's node is bind-mounted: 04-pivot-root/src/dev.rs";

/// Facts about a command as lines, which are the same for every run with the same
/// options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts(BTreeSet<String>);

impl Facts {
    /// Reads the facts about a command. None if it was killed meanwhile.
    pub fn of(pid: i32, scenario: &Scenario) -> Option<Self> {
        let mut lines =
            vec![format!("namespaces of its own: {:?}", host::own_namespaces(pid))];
        for field in [
            "Uid",
            "Gid",
            "Groups",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
        ] {
            lines.push(format!("{field} {}", host::status(pid, field)));
        }
        // Its PID on the host differs from run to run.
        let pid_inside = host::status(pid, "NSpid")
            .split_whitespace()
            .skip(1)
            .last()
            .map(String::from);
        lines.push(format!("pid inside {pid_inside:?}"));
        for map in ["uid_map", "gid_map", "setgroups", "cgroup", "oom_score_adj"] {
            let text =
                fs::read_to_string(format!("/proc/{pid}/{map}")).unwrap_or_default();
            lines.extend(text.lines().map(|line| format!("{map}: {line}")));
        }
        for file in [
            "memory.limit_in_bytes",
            "memory.max",
            "pids.max",
            "cpu.cfs_quota_us",
            "cpu.max",
        ] {
            lines.push(format!("{file}: {:?}", host::cgroup_value(pid, file)));
        }
        lines.extend(mounts(pid, scenario));
        lines.extend(open_files(pid));
        lines.extend(scenario.rules().lines().map(|line| format!("rule: {line}")));
        let fixture_dir = scenario
            .fixture()
            .dir()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let lines = lines
            .into_iter()
            .map(|line| without_numbers(&line.replace(&fixture_dir, "FIXTURE")))
            .collect();
        host::is_alive(pid).then_some(Facts(lines))
    }

    /// Returns the facts that only one of the two has.
    pub fn differences(&self, other: &Facts) -> Vec<String> {
        let more = self.0.difference(&other.0).map(|line| format!("has {line}"));
        let all =
            more.chain(other.0.difference(&self.0).map(|line| format!("lacks {line}")));
        all.filter(|line| {
            !FALLBACKS.iter().any(|(fallback, _why)| line.contains(fallback))
        })
        .collect()
    }
}

/// Returns the mounts that the command sees: mount point, options and type. Before step
/// 4 it also sees the host's own, so only /mnt counts.
fn mounts(pid: i32, scenario: &Scenario) -> Vec<String> {
    if scenario.fixture().step().number() < 4 {
        let line = host::mount_at(pid, "/mnt").unwrap_or_default();
        return vec![format!(
            "mounted at /mnt: {}",
            line.split(" - ").last().unwrap_or_default()
        )];
    }
    let format_mount = |line: String| {
        let (before, after) = line.split_once(" - ").unwrap_or((&line, ""));
        let fields: Vec<_> = before.split(' ').skip(4).collect();
        format!(
            "mounted: {} {}",
            fields.join(" "),
            after.split(' ').next().unwrap_or_default()
        )
    };
    host::mounts_of(pid).into_iter().map(format_mount).collect()
}

fn open_files(pid: i32) -> Vec<String> {
    let entries =
        fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .map(|it| format!("open: {:?}", fs::read_link(it.path()).unwrap_or_default()))
        .collect()
}

/// Replaces numbers that differ from run to run: ids of containers, users, mounts and
/// pipes.
fn without_numbers(line: &str) -> String {
    let has_user_ids = ["Uid", "Gid", "Groups", "uid_map", "gid_map"]
        .iter()
        .any(|it| line.starts_with(it));
    let has_counters = line.starts_with("mounted") || line.starts_with("open");
    let replaced = |word: &str| match word.parse::<u64>() {
        // A link: its name has the container's id, without the last digit.
        _ if word.len() == 15 && word.starts_with("veth") => "LINK".into(),
        _ if word.len() == 12 && word.bytes().all(|it| it.is_ascii_hexdigit()) => {
            "ID".to_string()
        }
        Ok(number) if has_user_ids && number > 65536 || has_counters && number > 9 => {
            "NUMBER".into()
        }
        _ => word.into(),
    };
    let is_separator = |it: char| !it.is_ascii_alphanumeric();
    let words = line.split_inclusive(is_separator).map(|word| {
        let bare = word.trim_end_matches(is_separator);
        replaced(bare) + &word[bare.len()..].replace('\t', " ")
    });
    // The number of blanks between columns depends on the numbers.
    words.filter(|word| !has_user_ids || word != " ").collect()
}
