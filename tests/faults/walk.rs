//! Injects a fault at every system call of a `run`, one run each: the call fails, its
//! process is killed, or the runtime is sent a signal.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::errno::Errno;

use crate::calls::{KnownCall, known};
use crate::facts::Facts;
use crate::injection::{Fault, Injection};
use crate::report::{Outcome, Report, UNEXPLAINED};
use crate::scenario::Scenario;
use crate::trace::{Call, Phase, Program, Trace};
use crate::tracer::trace;

/// The kind of fault that is injected at each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The call fails.
    Fail,
    /// The process is killed.
    Kill,
    /// The runtime is sent SIGTERM.
    Signal,
}

/// The number of calls that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The first call of each name in each process, with one error.
    Short,
    /// Every call, with every error.
    Whole,
}

/// How long a run may take to end after a signal, besides the time of a whole run.
const TIME_TO_END: Duration = Duration::from_secs(1);

/// The runtime's error after a signal.
const INTERRUPTED: &str = "interrupted by SIGTERM";

/// Injects faults into runs of a scenario, and compares each run with one without a
/// fault.
pub struct Injector<'a> {
    scenario: &'a Scenario,
    known: Vec<KnownCall>,
    /// The run without a fault.
    expected: Trace<Option<Facts>>,
}

impl<'a> Injector<'a> {
    /// Traces a run without a fault.
    pub fn of(scenario: &'a Scenario) -> Self {
        let known = known();
        run(scenario, &known, None); // some files in the root file system are made only once
        let expected = run(scenario, &known, None);
        assert!(
            expected.code == 0 && expected.command.is_some(),
            "without a fault: {}\n{}{}",
            expected.code,
            expected.out,
            expected.err
        );
        Injector { scenario, known, expected }
    }

    /// Injects a fault at every call, and reports the outcomes.
    pub fn inject_at_every_call(
        &self,
        kind: FaultKind,
        extent: Extent,
        report: &mut Report,
    ) {
        let mut tried = BTreeSet::new();
        // A signal is sent to the runtime only, which does not follow its helpers.
        let is_tried = |call: &&Call| {
            call.phase != Phase::Reading
                && (kind != FaultKind::Signal || !call.process.starts_with("helper"))
        };
        for call in self.expected.calls.iter().filter(is_tried) {
            let is_new = tried.insert((
                call.process.clone(),
                call.name.clone(),
                call.phase as u8,
            ));
            if extent == Extent::Short && !is_new {
                continue;
            }
            for fault in self.faults(call, kind, extent, report) {
                self.inject(call, fault, report);
            }
        }
    }

    fn faults(
        &self,
        call: &Call,
        kind: FaultKind,
        extent: Extent,
        report: &mut Report,
    ) -> Vec<Fault> {
        let Some(known) = self.known.iter().find(|it| it.name == call.name) else {
            let step = self.scenario.fixture().step().name();
            report.violation(
                step,
                format_args!("{} is not in tests/faults/list", call.name),
                "add it",
            );
            return Vec::new();
        };
        match (kind, extent) {
            // A call without errors in the list changes nothing, so a kill or a signal
            // before it is the same as before the next call.
            (FaultKind::Kill, _) => {
                known.errnos.first().map(|_| Fault::Kill).into_iter().collect()
            }
            (FaultKind::Signal, _) => {
                known.errnos.first().map(|_| Fault::Signal).into_iter().collect()
            }
            (FaultKind::Fail, Extent::Short) => {
                known.errnos.iter().take(1).copied().map(Fault::Error).collect()
            }
            (FaultKind::Fail, Extent::Whole) => {
                known.errnos.iter().copied().map(Fault::Error).collect()
            }
        }
    }

    /// Runs once with a fault.
    fn inject(&self, call: &Call, fault: Fault, report: &mut Report) {
        let step = self.scenario.fixture().step().name();
        let phase = if call.phase == Phase::Running { "after exec" } else { "start" };
        let row = format!("{step} {} {phase}", call.process);
        let injection = Injection::new(call, fault);
        let ran = run(self.scenario, &self.known, Some(&injection));
        let mut wrong = match ran.hit {
            true => self.judge(&ran, &injection, call.phase),
            false => Vec::new(),
        };
        wrong.extend(self.judge_leftovers(&row, fault, report));
        let outcome = match () {
            () if !wrong.is_empty() => Outcome::Violation,
            () if !ran.hit => Outcome::NotMade,
            () if ran.command.is_none() => Outcome::Refused,
            () if call.phase == Phase::Running => Outcome::AfterExec,
            () => Outcome::FellBack,
        };
        report.count(&row, outcome);
        for what in wrong {
            let at = format!("{injection} ({}): {what}", call.operand);
            let cause = format!(
                "{row} {} {}",
                injection.name(),
                what.chars().take(20).collect::<String>()
            );
            let reproduce =
                format_args!("tests/faults/run --step {step} --at '{injection}'");
            report.violation_with_cause(&cause, &row, at, reproduce);
        }
    }

    /// Lists the rules that the run has broken.
    fn judge(
        &self,
        ran: &Trace<Option<Facts>>,
        injection: &Injection,
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
            let mut differences = facts.differences(expected);
            // Root may be that of a container, which may make no cgroups: access(2) tells
            // it so. A hierarchy that no option needs is then left out.
            if is_denied_access(injection) {
                differences.retain(|it| !it.contains("cgroup"));
            }
            if !differences.is_empty() {
                wrong.push(format!(
                    "the command ran, but not as requested: {}",
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
        // A run under the tracer takes longer on a busy machine.
        if injection.fault == Fault::Signal
            && ran.time > TIME_TO_END + self.expected.time
        {
            wrong.push(format!("it has ended {:?} after the signal", ran.time));
        }
        let last_line = ran.err.lines().last().unwrap_or_default();
        match (injection.fault, ran.command.is_some(), ran.code) {
            (_, true, 0) | (Fault::Kill, _, 137) => {}
            (Fault::Signal, true, 143) => {}
            // `start` has ended once the container's process may execute the command.
            (Fault::Kill, false, 0) if self.scenario.is_lifecycle() => {}
            (Fault::Signal, false, 143) if ran.err.contains(INTERRUPTED) => {}
            (Fault::Error(_), false, 0) => {
                wrong.push("the command did not run, but the exit code is 0".into())
            }
            (Fault::Error(errno), false, 126 | 127)
                if is_exec_or_check(injection) && names_reason(&ran.err, errno) => {}
            (Fault::Error(_), _, 125) if !names_operation(&ran.err) => {
                wrong.push(format!(
                    "the error names neither a call nor its object: {:?}",
                    ran.err
                ));
            }
            (Fault::Error(errno), _, 125) if names_reason(&ran.err, errno) => {}
            (Fault::Error(_), _, 125) => {
                wrong.push(format!("{UNEXPLAINED}: {:?}", ran.err))
            }
            (Fault::Kill, _, 125) if !last_line.is_empty() => {}
            (_, _, code) => wrong.push(format!("exit code {code}: {:?}", ran.err)),
        }
        wrong
    }

    /// Lists everything that is left after `gc`, and the errors of `gc`.
    fn judge_leftovers(
        &self,
        row: &str,
        fault: Fault,
        report: &mut Report,
    ) -> Vec<String> {
        // After a kill, `gc` has to clean up. After an error, the runtime itself does;
        // after a signal it must.
        let timeout = match fault {
            Fault::Kill => Duration::ZERO,
            Fault::Error(_) => Duration::from_millis(150),
            Fault::Signal => Duration::from_secs(2),
        };
        let mut wrong = Vec::new();
        if self.scenario.number() >= 5 {
            let left = self.scenario.leftovers_after(timeout);
            if left.is_empty() {
                return Vec::new();
            }
            if fault == Fault::Signal {
                wrong.push(format!("left after a signal: {left:?}"));
            }
        }
        let gc = self.scenario.gc();
        let failed = gc
            .as_ref()
            .filter(|ran| ran.code != 0)
            .map(|ran| format!("gc fails: {}", ran.err));
        let left = self.scenario.leftovers_after(Duration::from_secs(5));
        if gc.is_some() {
            report.count_gc(row);
        }
        let left = (!left.is_empty()).then(|| format!("left after gc: {left:?}"));
        self.scenario.remove_leftovers();
        wrong.extend(failed.into_iter().chain(left));
        wrong
    }

    /// Runs once with a fault, and prints everything.
    pub fn show(&self, injection: &Injection, report: &mut Report) {
        let ran = run(self.scenario, &self.known, Some(injection));
        println!(
            "exit code {}; the call was {}made",
            ran.code,
            if ran.hit { "" } else { "not " }
        );
        println!("stdout:\n{}stderr:\n{}", ran.out, ran.err);
        match (&ran.command, &self.expected.command) {
            (Some(Some(facts)), Some(Some(expected))) => {
                println!("the command ran; {:#?}", facts.differences(expected))
            }
            _ => println!("the command did not run, or was killed at once"),
        }
        println!("left: {:#?}", self.scenario.leftovers());
        let step = self.scenario.fixture().step().name();
        for what in self
            .judge(&ran, injection, Phase::Starting)
            .into_iter()
            .chain(self.judge_leftovers(step, injection.fault, report))
        {
            report.violation(step, what, injection);
        }
    }

    /// Lists the calls of a run without a fault.
    pub fn list(&self) {
        for call in &self.expected.calls {
            println!(
                "{:?} {}:{}:{} {}",
                call.phase, call.process, call.name, call.nth, call.operand
            );
        }
    }
}

fn run(
    scenario: &Scenario,
    known: &[KnownCall],
    injection: Option<&Injection>,
) -> Trace<Option<Facts>> {
    let words = scenario.words();
    let fixture = scenario.fixture();
    let program =
        Program { words: &words, dir: fixture.dir(), exe: fixture.exe(), known };
    trace(&program, injection, |pid| Facts::of(pid, scenario))
}

/// Returns whether the call is the exec, or the check whether the command can be
/// executed.
fn is_denied_access(injection: &Injection) -> bool {
    injection.name() == "access"
        && matches!(injection.fault, Fault::Error(Errno::EACCES))
}

fn is_exec_or_check(injection: &Injection) -> bool {
    let fails_check =
        matches!(injection.fault, Fault::Error(Errno::EACCES | Errno::EIO));
    injection.name() == "execve"
        || fails_check && ["access", "newfstatat", "statx"].contains(&injection.name())
}

/// Returns whether the error names its call and operands, `mount(proc, /proc): …`, or a
/// path. The loader of a helper, ld.so(8), names the library instead.
fn names_operation(error: &str) -> bool {
    let line =
        error.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    error.contains("error while loading shared libraries")
        || line
            .rsplit_once(": ")
            .is_some_and(|(what, _reason)| what.contains(['(', '/']))
}

/// Returns whether the error ends with the kernel's reason and its name: `Input/output
/// error (EIO)`.
fn names_reason(error: &str, errno: Errno) -> bool {
    let words = std::io::Error::from(errno).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    error.contains(&format!("{errno:?}")) || error.contains(words)
}
