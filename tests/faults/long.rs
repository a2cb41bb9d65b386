//! Starts many containers, one after the other and at once, and checks that nothing
//! accumulates.

use std::fs;
use std::time::{Duration, Instant};

use kiste_tests::host;
use nix::sys::resource::{UsageWho, getrusage};

use crate::report::Report;
use crate::scenario::Scenario;

/// Numbers that must not grow. Those that begin with `_` are only printed.
#[derive(Debug)]
struct Counts {
    descriptors: usize,
    mounts: usize,
    links: usize,
    run_dirs: usize,
    cgroups: usize,
    /// Counted on the whole machine, where other programs remove cgroups, too.
    _dying_cgroups: String,
    /// The largest resident size of a runtime so far, in KiB.
    _peak_rss: i64,
}

impl Counts {
    fn of(scenario: &Scenario) -> Self {
        let entries =
            |path: &str| fs::read_dir(path).map(Iterator::count).unwrap_or_default();
        let fixture = scenario.fixture();
        let stat = host::cgroup_mounts()
            .into_iter()
            .find_map(|it| fs::read_to_string(it.join("cgroup.stat")).ok());
        let stat = stat.unwrap_or_default();
        let dying =
            stat.lines().find_map(|line| line.strip_prefix("nr_dying_descendants "));
        Counts {
            descriptors: entries("/proc/self/fd"),
            mounts: host::mounts().len(),
            links: scenario.rules().lines().count(),
            run_dirs: fs::read_dir(fixture.run_dirs())
                .map(Iterator::count)
                .unwrap_or_default(),
            cgroups: host::cgroups_named(fixture.cgroup_parent()).len(),
            _dying_cgroups: dying.unwrap_or("?").into(),
            _peak_rss: getrusage(UsageWho::RUSAGE_CHILDREN)
                .map(|usage| usage.max_rss())
                .unwrap_or_default(),
        }
    }

    /// Returns the numbers that must be the same before and after.
    fn must_not_grow(&self) -> [usize; 5] {
        [self.descriptors, self.mounts, self.links, self.run_dirs, self.cgroups]
    }
}

/// Starts containers one after the other, then many at once.
pub fn start_many(
    scenario: &Scenario,
    in_sequence: usize,
    at_once: usize,
    report: &mut Report,
) {
    if scenario.number() < 5 {
        return;
    }
    let row = format!("{} long", scenario.fixture().step().name());
    run(scenario, &row, report);
    let before = Counts::of(scenario);
    println!("{row}: before {before:?}");
    let start = Instant::now();
    for done in 1..=in_sequence {
        run(scenario, &row, report);
        if done % in_sequence.div_ceil(10) == 0 {
            println!(
                "{row}: after {done} in {:?} {:?}",
                start.elapsed(),
                Counts::of(scenario)
            );
        }
    }
    compare(
        scenario,
        &before,
        &format!("after {in_sequence} in sequence"),
        &row,
        report,
    );
    let all = (0..at_once).map(|_| start_one(scenario)).collect::<Vec<_>>();
    let memory_of_runtime =
        |running: &kiste_tests::Running| host::status_field(running.runtime(), "VmRSS");
    println!("{row}: {at_once} at once {:?}", Counts::of(scenario));
    println!("{row}: the last runtime has {:?}", all.last().map(memory_of_runtime));
    drop(all);
    compare(scenario, &before, &format!("after {at_once} at once"), &row, report);
}

fn run(scenario: &Scenario, row: &str, report: &mut Report) {
    let starter = scenario.starter();
    let starter: Vec<&str> =
        starter.iter().map(String::as_str).chain(["env"]).collect();
    let ran = scenario.fixture().run_under(&starter, &scenario.options(), &["true"]);
    if ran.code != 0 {
        report.violation(row, format_args!("{ran:?}"), "tests/faults/run long");
    }
}

/// Starts a container without an address and a port, which only one container can have.
fn start_one(scenario: &Scenario) -> kiste_tests::Running {
    let starter = scenario.starter();
    let starter: Vec<&str> =
        starter.iter().map(String::as_str).chain(["env"]).collect();
    let options = scenario.options_without(&["-p", "--ip"]);
    scenario.fixture().start_under(&starter, &options, &["sleep", "1000"])
}

fn compare(
    scenario: &Scenario,
    before: &Counts,
    when: &str,
    row: &str,
    report: &mut Report,
) {
    let left = scenario.leftovers_after(Duration::from_secs(10));
    let now = Counts::of(scenario);
    println!("{row}: {when} {now:?}");
    if now.must_not_grow() != before.must_not_grow() || !left.is_empty() {
        report.violation(
            row,
            format_args!("{when}: {before:?} became {now:?}; left {left:?}"),
            "tests/faults/run long",
        );
    }
}
