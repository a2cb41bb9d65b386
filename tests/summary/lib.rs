//! Sums up the skipped tests of one cargo run in one line.

use std::collections::{BTreeMap, BTreeSet};

use kiste_course::programs::package_of;

/// The facts on which the advice depends.
pub struct Environment {
    /// Whether cargo runs as root.
    pub is_root: bool,
    /// Whether the runner can become root.
    pub sudo: Sudo,
}

/// The state of sudo.
pub enum Sudo {
    /// The package is not installed.
    Missing,
    /// `KISTE_SUDO=never` turns it off.
    TurnedOff,
    /// The runner uses it.
    Installed,
}

impl Environment {
    /// Returns the facts of this process.
    pub fn here() -> Self {
        let sudo = match std::env::var("KISTE_SUDO").as_deref() {
            Ok("never") => Sudo::TurnedOff,
            _ if kiste_course::programs::has("sudo") => Sudo::Installed,
            _ => Sudo::Missing,
        };
        Environment { is_root: rustix::process::geteuid().is_root(), sudo }
    }
}

/// Something that a skipped test needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Root,
    CgroupV2,
    Tool(String),
    /// A check of `doctor`, or a reason of the test's own.
    Other(String),
}

/// Returns the line for a log of `skipped: BINARY TEST: reason` lines. A test with
/// several reasons counts once, under the first. So does a page of the book, even if
/// most of its blocks were run.
pub fn summary(log: &str, environment: &Environment) -> String {
    let (mut seen, mut pages) = (BTreeSet::new(), 0);
    let mut needs: BTreeMap<Need, usize> = BTreeMap::new();
    for (test, reason) in log.lines().filter_map(parse) {
        if seen.insert(test) {
            pages += usize::from(page_of(reason).is_some());
            *needs.entry(need_of(reason)).or_default() += 1;
        }
    }
    let all = match (seen.len() - pages, pages) {
        (0, 0) => return "no test was skipped".into(),
        (tests, 0) => counted(tests, "test"),
        (0, pages) => format!("parts of {}", counted(pages, "page")),
        (tests, pages) => {
            format!(
                "{} and parts of {}",
                counted(tests, "test"),
                counted(pages, "page")
            )
        }
    };
    let was = if seen.len() == 1 && pages == 0 { "was" } else { "were" };
    let groups = groups(&needs, environment).join(", ");
    format!("{all} {was} not run here: {groups}")
}

/// `skipped: 05_cgroups told::a_limit: root: uid 1000` is the test `05_cgroups
/// told::a_limit` and its reason.
fn parse(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("skipped: ")?.split_once(": ")
}

/// Splits the reason of a page, which begins with the place: `book/src/proof.md:45: it
/// needs root`.
fn page_of(reason: &str) -> Option<(&str, &str)> {
    let (place, reason) = reason.split_once(": ")?;
    (place.ends_with(".md") || place.contains(".md:")).then_some((place, reason))
}

fn need_of(reason: &str) -> Need {
    let reason = page_of(reason).map_or(reason, |(_page, reason)| reason);
    let (need, found) = reason.split_once(": ").unwrap_or((reason, ""));
    let tool = found
        .contains(" in PATH")
        .then_some(need)
        .or(reason.split_once(" is not installed").map(|(tool, _package)| tool))
        .or(reason
            .strip_prefix("there is no ")
            .and_then(|rest| rest.split(' ').next()));
    match tool {
        Some(tool) => Need::Tool(tool.into()),
        None if need == "root"
            || reason.contains("needs root")
            || reason.starts_with("only root") =>
        {
            Need::Root
        }
        None if reason.contains("cgroup v2") || need.starts_with("cgroup-v2") => {
            Need::CgroupV2
        }
        None => Need::Other(need.into()),
    }
}

/// Groups the needs: `180 need root (run cargo as root)`, …. The tools are one group,
/// so that one command installs them.
fn groups(needs: &BTreeMap<Need, usize>, environment: &Environment) -> Vec<String> {
    let mut groups = Vec::new();
    let (mut want_tools, mut packages) = (0, BTreeSet::new());
    for (need, count) in needs {
        let verb = if *count == 1 { "needs" } else { "need" };
        groups.push(match need {
            Need::Root => {
                format!("{count} {verb} root ({})", how_to_be_root(environment))
            }
            Need::CgroupV2 => {
                format!("{count} {verb} cgroup v2 (tests/vm/steps has it)")
            }
            Need::Other(what) => format!("{count} {verb} {what}"),
            Need::Tool(tool) => {
                want_tools += count;
                packages.insert(package_of(tool));
                continue;
            }
        });
    }
    if want_tools > 0 {
        let packages: Vec<_> = packages.into_iter().collect();
        let verb = if want_tools == 1 { "needs" } else { "need" };
        groups.push(format!(
            "{want_tools} {verb} tools (apt-get install {})",
            packages.join(" ")
        ));
    }
    groups
}

fn how_to_be_root(environment: &Environment) -> &'static str {
    match (environment.is_root, &environment.sudo) {
        (true, _) => "of the host itself, not of a container",
        (false, Sudo::Missing) => "run cargo as root, or install sudo",
        (false, Sudo::TurnedOff) => "unset KISTE_SUDO, or run cargo as root",
        (false, Sudo::Installed) => "KISTE_SUDO=always, or run cargo as root",
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Environment = Environment { is_root: false, sudo: Sudo::Missing };

    #[test]
    fn a_test_counts_once_and_tools_come_as_one_command() {
        let log = "\
skipped: 05_cgroups told::a: root: uid 1000: the namespaces of steps 01 to 05 need root
skipped: 05_cgroups told::b: root: uid 1000: the namespaces of steps 01 to 05 need root
skipped: 06_user maps::c: newuidmap: not found in PATH (the package uidmap)
skipped: 06_user maps::c: ip: not found in PATH (the package iproute2)
skipped: 07_image peers::d: umoci: not found in PATH (the package umoci)
skipped: 05_cgroups told::e: cgroup-pids: no hierarchy has it
";
        assert_eq!(
            summary(log, &USER),
            "5 tests were not run here: 2 need root (run cargo as root, or install sudo), \
             1 needs cgroup-pids, 2 need tools (apt-get install uidmap umoci)"
        );
    }

    #[test]
    fn a_page_of_the_book_counts_once_although_most_of_it_was_run() {
        let log = "\
skipped: book chapter_5: book/src/05-cgroups.md:83: cgroup v2 is not the only hierarchy here
skipped: book chapter_5: book/src/05-cgroups.md:90: cgroup v2 is not the only hierarchy here
skipped: book chapter_8: book/src/08-network.md:96: it needs root, and sudo would ask
skipped: book proof: book/src/proof.md:45: strace is not installed
skipped: book chapter_3: book/src/03-mount.md: ps is not installed (the package procps)
";
        assert_eq!(
            summary(log, &Environment { is_root: false, sudo: Sudo::TurnedOff }),
            "parts of 4 pages were not run here: \
             1 needs root (unset KISTE_SUDO, or run cargo as root), \
             1 needs cgroup v2 (tests/vm/steps has it), \
             2 need tools (apt-get install procps strace)"
        );
    }

    #[test]
    fn a_run_without_skipped_tests_says_so() {
        assert_eq!(summary("", &USER), "no test was skipped");
    }
}
