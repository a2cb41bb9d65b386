//! Many containers, one after the other and at once: nothing grows.

use std::fs;
use std::time::{Duration, Instant};

use kiste_tests::host;
use nix::sys::resource::{UsageWho, getrusage};

use crate::place::Place;
use crate::report::Report;

/// What must not grow. What begins with `_` is told, and not compared.
#[derive(Debug)]
struct Figures {
    descriptors: usize,
    mounts: usize,
    links: usize,
    run_dirs: usize,
    cgroups: usize,
    /// Of everybody: others on this machine make and remove theirs.
    _dying_cgroups: String,
    /// The largest that any runtime so far had resident, in KiB.
    _peak_rss: i64,
}

impl Figures {
    fn of(place: &Place) -> Self {
        let entries =
            |path: &str| fs::read_dir(path).map(Iterator::count).unwrap_or_default();
        let bench = place.bench();
        let stat = host::cgroup_mounts()
            .into_iter()
            .find_map(|it| fs::read_to_string(it.join("cgroup.stat")).ok());
        let stat = stat.unwrap_or_default();
        let dying =
            stat.lines().find_map(|line| line.strip_prefix("nr_dying_descendants "));
        Figures {
            descriptors: entries("/proc/self/fd"),
            mounts: host::mounts().len(),
            links: place.rules().lines().count(),
            run_dirs: fs::read_dir(bench.run_dirs())
                .map(Iterator::count)
                .unwrap_or_default(),
            cgroups: host::cgroups_named(bench.cgroup_parent()).len(),
            _dying_cgroups: dying.unwrap_or("?").into(),
            _peak_rss: getrusage(UsageWho::RUSAGE_CHILDREN)
                .map(|usage| usage.max_rss())
                .unwrap_or_default(),
        }
    }

    /// What is ours, and must be as it was.
    fn ours(&self) -> [usize; 5] {
        [self.descriptors, self.mounts, self.links, self.run_dirs, self.cgroups]
    }
}

/// So many one after the other, then so many at once.
pub fn long(place: &Place, in_sequence: usize, at_once: usize, report: &mut Report) {
    if place.number() < 5 {
        return;
    }
    let row = format!("{} long", place.bench().step().name());
    run(place, &row, report);
    let before = Figures::of(place);
    println!("{row}: before {before:?}");
    let start = Instant::now();
    for done in 1..=in_sequence {
        run(place, &row, report);
        if done % in_sequence.div_ceil(10) == 0 {
            println!(
                "{row}: after {done} in {:?} {:?}",
                start.elapsed(),
                Figures::of(place)
            );
        }
    }
    compare(place, &before, &format!("after {in_sequence} in sequence"), &row, report);
    let all = (0..at_once).map(|_| start_one(place)).collect::<Vec<_>>();
    let of_runtime =
        |running: &kiste_tests::Running| host::status(running.runtime(), "VmRSS");
    println!("{row}: {at_once} at once {:?}", Figures::of(place));
    println!("{row}: the last runtime has {:?}", all.last().map(of_runtime));
    drop(all);
    compare(place, &before, &format!("after {at_once} at once"), &row, report);
}

fn run(place: &Place, row: &str, report: &mut Report) {
    let starter = place.starter();
    let starter: Vec<&str> =
        starter.iter().map(String::as_str).chain(["env"]).collect();
    let ran = place.bench().run_by(&starter, &place.options(), &["true"]);
    if ran.code != 0 {
        report.violation(row, format_args!("{ran:?}"), "tests/faults/run long");
    }
}

/// Without the address and the port, which only one can have.
fn start_one(place: &Place) -> kiste_tests::Running {
    let starter = place.starter();
    let starter: Vec<&str> =
        starter.iter().map(String::as_str).chain(["env"]).collect();
    let options = place.options_without(&["-p", "--ip"]);
    place.bench().start_by(&starter, &options, &["sleep", "1000"])
}

fn compare(
    place: &Place,
    before: &Figures,
    when: &str,
    row: &str,
    report: &mut Report,
) {
    let left = place.left_for_good(Duration::from_secs(10));
    let now = Figures::of(place);
    println!("{row}: {when} {now:?}");
    if now.ours() != before.ours() || !left.is_empty() {
        report.violation(
            row,
            format_args!("{when}: {before:?} became {now:?}; left {left:?}"),
            "tests/faults/run long",
        );
    }
}
