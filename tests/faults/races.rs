//! A race: an attacker swaps a directory of the root file system for a link that leads
//! out of it, again and again, while containers start that mount something there
//! (CVE-2021-30465, CVE-2024-45310).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kiste_tests::host;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::report::{Outcome, Report};
use crate::scenario::{Scenario, text};

/// Starts containers during the attack.
pub fn race(scenario: &Scenario, duration: Duration, report: &mut Report) {
    // Before step 4 there is no root file system. Nobody can write to an image, so only
    // `--rootfs` is attacked.
    if scenario.number() < 4 {
        return;
    }
    let fixture = scenario.fixture();
    let canary = fixture.dir().join("canary");
    fs::create_dir_all(canary.join("deep")).unwrap();
    fs::write(canary.join("deep/file"), "untouched").unwrap();
    let swapped = fixture.rootfs().join("race");
    let link = fixture.rootfs().join("race-link");
    fs::create_dir_all(swapped.join("deep")).unwrap();
    symlink(&canary, &link).unwrap();

    let mounts = [
        format!("{}:/race/deep", text(&fixture.dir().join("shared"))),
        format!("{}:/race/deep/file", text(&fixture.rootfs().join("etc/hostname"))),
        format!("{}:/race/new/newer", text(&fixture.dir().join("shared"))),
    ];
    let mut options = scenario.options_without(&["--image", "--userns"]);
    options.extend([
        "-v",
        &mounts[0],
        "-v",
        &mounts[1],
        "-v",
        &mounts[2],
        "--tmpfs",
        "/race/other",
    ]);
    let before = (contents(&canary), host::mounts().len());

    let stop = AtomicBool::new(false);
    let row = format!("{} race", fixture.step().name());
    let mut has_run = false;
    let swaps = thread::scope(|scope| {
        let attacker = scope.spawn(|| swap(&swapped, &link, &stop));
        let start = Instant::now();
        let starter = scenario.starter();
        let starter: Vec<&str> =
            starter.iter().map(String::as_str).chain(["env"]).collect();
        while start.elapsed() < duration {
            let ran = fixture.run_under(
                &starter,
                &options,
                &["sh", "-c", "touch /race/deep/t /race/new/newer/t; echo it runs"],
            );
            let outcome =
                if ran.code == 125 { Outcome::Refused } else { Outcome::FellBack };
            report.count(&row, outcome);
            has_run |= ran.code == 0;
            let seen = (contents(&canary), host::mounts().len());
            if seen != before {
                report.violation(
                    &row,
                    format_args!("outside: {before:?} became {seen:?}"),
                    "tests/faults/run races",
                );
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        attacker.join().expect("the attacker swaps")
    });
    println!("{row}: swapped {swaps} times");
    if !has_run {
        report.violation(
            &row,
            "no start got far enough to do harm",
            "tests/faults/run races",
        );
    }
    let left = scenario.leftovers_after(Duration::from_secs(5));
    if !left.is_empty() {
        report.violation(
            &row,
            format_args!("left: {left:?}"),
            "tests/faults/run races",
        );
        scenario.remove_leftovers();
    }
}

/// Swaps the two paths by renameat2(2) with RENAME_EXCHANGE: at every moment, both
/// names exist.
fn swap(one: &Path, other: &Path, stop: &AtomicBool) -> usize {
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("swap");
        swaps += 1;
        if swaps % 64 == 0 {
            thread::sleep(Duration::from_micros(200));
        }
    }
    swaps
}

/// Returns every path below a directory, with its permissions and content.
fn contents(top: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(top).expect("the canary exists").flatten() {
        let (path, found) = (entry.path(), entry.metadata().unwrap());
        all.push(format!(
            "{path:?} {:?} {:?}",
            found.permissions(),
            fs::read(&path).ok()
        ));
        if found.is_dir() {
            all.extend(contents(&path));
        }
    }
    all.sort();
    all
}
