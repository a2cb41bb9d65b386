//! Walks through every system call of a `run`: each fails in turn, or who makes it is
//! killed there.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::errno::Errno;

use crate::aim::{Aim, Fault};
use crate::calls::{Known, known};
use crate::facts::Facts;
use crate::place::Place;
use crate::report::{Outcome, Report, WORDS};
use crate::seen::{Call, Phase, Subject, Trace};
use crate::tracer::trace;

/// What is done at each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It fails.
    Fail,
    /// Who makes it is killed.
    Kill,
}

/// How many calls are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The first of each name in each process, in one way.
    Short,
    /// Every one, in every way.
    Whole,
}

/// How a run goes, and what must not differ when a call of it fails.
pub struct Walk<'a> {
    place: &'a Place,
    known: Vec<Known>,
    expected: Trace<Option<Facts>>,
}

impl<'a> Walk<'a> {
    /// Sees one run without a fault.
    pub fn of(place: &'a Place) -> Self {
        let known = known();
        run(place, &known, None); // what it makes in the root file system, it makes once
        let expected = run(place, &known, None);
        assert!(
            expected.code == 0 && expected.command.is_some(),
            "without a fault: {}\n{}{}",
            expected.code,
            expected.out,
            expected.err
        );
        Walk { place, known, expected }
    }

    /// Walks, and reports.
    pub fn walk(&self, way: Way, extent: Extent, report: &mut Report) {
        let mut tried = BTreeSet::new();
        for call in
            self.expected.calls.iter().filter(|call| call.phase != Phase::Reading)
        {
            let is_new = tried.insert((
                call.process.clone(),
                call.name.clone(),
                call.phase as u8,
            ));
            if extent == Extent::Short && !is_new {
                continue;
            }
            for fault in self.faults(call, way, extent, report) {
                self.put(call, fault, report);
            }
        }
    }

    fn faults(
        &self,
        call: &Call,
        way: Way,
        extent: Extent,
        report: &mut Report,
    ) -> Vec<Fault> {
        let Some(known) = self.known.iter().find(|it| it.name == call.name) else {
            let step = self.place.bench().step().name();
            report.violation(
                step,
                format_args!("{} is not in tests/faults/list", call.name),
                "add it",
            );
            return Vec::new();
        };
        match (way, extent) {
            // Killed before a call that changes nothing, it is killed before the next
            // one that does.
            (Way::Kill, _) => {
                known.errnos.first().map(|_| Fault::Kill).into_iter().collect()
            }
            (Way::Fail, Extent::Short) => {
                known.errnos.iter().take(1).copied().map(Fault::Error).collect()
            }
            (Way::Fail, Extent::Whole) => {
                known.errnos.iter().copied().map(Fault::Error).collect()
            }
        }
    }

    /// One run with a fault.
    fn put(&self, call: &Call, fault: Fault, report: &mut Report) {
        let step = self.place.bench().step().name();
        let phase = if call.phase == Phase::Running { "after exec" } else { "start" };
        let row = format!("{step} {} {phase}", call.process);
        let aim = Aim::new(call, fault);
        let ran = run(self.place, &self.known, Some(&aim));
        let mut wrong = match ran.hit {
            true => self.judge(&ran, &aim, call.phase),
            false => Vec::new(),
        };
        wrong.extend(self.leftovers(&row, fault, report));
        let outcome = match () {
            () if !wrong.is_empty() => Outcome::Violation,
            () if !ran.hit => Outcome::NotMade,
            () if ran.command.is_none() => Outcome::Refused,
            () if call.phase == Phase::Running => Outcome::AfterIt,
            () => Outcome::FellBack,
        };
        report.count(&row, outcome);
        for what in wrong {
            let at = format!("{aim} ({}): {what}", call.operand);
            let cause = format!(
                "{row} {} {}",
                aim.name(),
                what.chars().take(20).collect::<String>()
            );
            let again = format_args!("tests/faults/run --step {step} --at '{aim}'");
            report.violation_alike(&cause, &row, at, again);
        }
    }

    /// What is wrong with how it ended.
    fn judge(
        &self,
        ran: &Trace<Option<Facts>>,
        aim: &Aim,
        phase: Phase,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        if ran.hung {
            wrong.push("it hangs".into());
            return wrong;
        }
        if let (Some(Some(facts)), Some(Some(expected))) =
            (&ran.command, &self.expected.command)
        {
            let differences = facts.differences(expected);
            if !differences.is_empty() {
                wrong.push(format!(
                    "the command ran, and not as asked: {}",
                    differences.join("; ")
                ));
            }
        }
        let all_printed = ran.out == self.expected.out;
        if phase == Phase::Starting
            && ran.command.is_some()
            && ran.code == 0
            && !all_printed
        {
            wrong.push(format!("the command printed something else: {:?}", ran.out));
        }
        let told = ran.err.lines().last().unwrap_or_default();
        match (aim.fault, ran.command.is_some(), ran.code) {
            (_, true, 0) | (Fault::Kill, _, 137) => {}
            (Fault::Error(_), false, 0) => {
                wrong.push("the command did not run, and the code is 0".into())
            }
            (Fault::Error(errno), false, 126 | 127)
                if looks_for_command(aim) && names(&ran.err, errno) => {}
            (Fault::Error(_), _, 125) if !tells_what(&ran.err) => {
                wrong.push(format!(
                    "the error names no call, and nothing that it was for: {:?}",
                    ran.err
                ));
            }
            (Fault::Error(errno), _, 125) if names(&ran.err, errno) => {}
            (Fault::Error(_), _, 125) => wrong.push(format!("{WORDS}: {:?}", ran.err)),
            (Fault::Kill, _, 125) if !told.is_empty() => {}
            (_, _, code) => wrong.push(format!("exit code {code}: {:?}", ran.err)),
        }
        wrong
    }

    /// What is left after `gc`, and what `gc` complains of.
    fn leftovers(&self, row: &str, fault: Fault, report: &mut Report) -> Vec<String> {
        // What a kill leaves is for gc; an error undoes what was made, if it can.
        let patience = if fault == Fault::Kill {
            Duration::ZERO
        } else {
            Duration::from_millis(150)
        };
        if self.place.number() >= 5 && self.place.left_for_good(patience).is_empty() {
            return Vec::new();
        }
        let gc = self.place.gc();
        let failed = gc
            .as_ref()
            .filter(|ran| ran.code != 0)
            .map(|ran| format!("gc fails: {}", ran.err));
        let left = self.place.left_for_good(Duration::from_secs(5));
        if gc.is_some() {
            report.count_gc(row);
        }
        let left = (!left.is_empty()).then(|| format!("left after gc: {left:?}"));
        self.place.clear();
        failed.into_iter().chain(left).collect()
    }

    /// One run with a fault, told in full.
    pub fn show(&self, aim: &Aim, report: &mut Report) {
        let ran = run(self.place, &self.known, Some(aim));
        println!(
            "exit code {}; the call was {}made",
            ran.code,
            if ran.hit { "" } else { "not " }
        );
        println!("stdout:\n{}stderr:\n{}", ran.out, ran.err);
        match (&ran.command, &self.expected.command) {
            (Some(Some(facts)), Some(Some(expected))) => {
                println!("it ran; {:#?}", facts.differences(expected))
            }
            _ => println!("the command did not run, or was killed at once"),
        }
        println!("left: {:#?}", self.place.left());
        let step = self.place.bench().step().name();
        for what in self
            .judge(&ran, aim, Phase::Starting)
            .into_iter()
            .chain(self.leftovers(step, aim.fault, report))
        {
            report.violation(step, what, aim);
        }
    }

    /// The calls of a run without a fault.
    pub fn list(&self) {
        for call in &self.expected.calls {
            println!(
                "{:?} {}:{}:{} {}",
                call.phase, call.process, call.name, call.nth, call.operand
            );
        }
    }
}

fn run(place: &Place, known: &[Known], aim: Option<&Aim>) -> Trace<Option<Facts>> {
    let words = place.words();
    let bench = place.bench();
    let subject = Subject { words: &words, dir: bench.dir(), exe: bench.exe(), known };
    trace(&subject, aim, |pid| Facts::of(pid, place))
}

/// Whether the call is the exec, or the look whether it can be.
fn looks_for_command(aim: &Aim) -> bool {
    let looks = matches!(aim.fault, Fault::Error(Errno::EACCES | Errno::EIO));
    aim.name() == "execve"
        || looks && ["access", "newfstatat", "statx"].contains(&aim.name())
}

/// Errors begin with the call and its operands, `mount(proc, /proc): …`, or with a
/// path; or they are those of the loader of a helper, ld.so(8), who names the library.
fn tells_what(error: &str) -> bool {
    let line =
        error.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    line.contains("error while loading shared libraries")
        || line
            .rsplit_once(": ")
            .is_some_and(|(what, _reason)| what.contains(['(', '/']))
}

/// Errors end in the kernel's reason and its name: `Input/output error (EIO)`.
fn names(error: &str, errno: Errno) -> bool {
    let words = std::io::Error::from(errno).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    error.contains(&format!("{errno:?}")) || error.contains(words)
}
