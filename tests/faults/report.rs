//! Counts the outcomes, and prints them as a table with the violations.

use std::collections::BTreeMap;
use std::fmt::Display;

/// The mildest violation: the runtime reports the error, but not the kernel's reason.
pub const UNEXPLAINED: &str = "the error does not say why";

/// How a run with a fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The command did not run, and the error says why.
    Refused,
    /// The command ran as requested, by a fallback or because the call did not matter.
    FellBack,
    /// The fault came after the command's exec, and the run ended as it should or the
    /// error was reported.
    AfterExec,
    /// The call was not made in this run.
    NotMade,
    /// A rule was broken.
    Violation,
}

/// The outcomes of all runs.
#[derive(Default)]
pub struct Report {
    rows: BTreeMap<String, BTreeMap<Outcome, usize>>,
    needed_gc: BTreeMap<String, usize>,
    /// The key is the probable cause.
    violations: BTreeMap<String, Vec<String>>,
}

impl Report {
    /// Counts a run in this row of the table.
    pub fn count(&mut self, row: &str, outcome: Outcome) {
        *self.rows.entry(row.into()).or_default().entry(outcome).or_default() += 1;
    }

    /// Counts a run after which only `gc` removed everything.
    pub fn count_gc(&mut self, row: &str) {
        *self.needed_gc.entry(row.into()).or_default() += 1;
    }

    /// Reports a violation, and how to reproduce it.
    pub fn violation(
        &mut self,
        row: &str,
        what: impl Display,
        reproduce: impl Display,
    ) {
        self.violation_with_cause(row, row, what, reproduce);
    }

    /// Reports one of several violations that seem to have the same cause. At the end
    /// only the first of them is printed.
    pub fn violation_with_cause(
        &mut self,
        cause: &str,
        row: &str,
        what: impl Display,
        reproduce: impl Display,
    ) {
        let text = format!("VIOLATION {row}: {what}\n    reproduce: {reproduce}");
        println!("{text}");
        self.violations.entry(cause.into()).or_default().push(text);
    }

    /// Prints the table. Returns whether there was no violation.
    pub fn print(&self) -> bool {
        if !self.rows.is_empty() {
            println!(
                "\n{:30}{:>7}{:>9}{:>11}{:>12}{:>10}{:>11}{:>12}",
                "",
                "runs",
                "refused",
                "fell back",
                "after exec",
                "not made",
                "needed gc",
                "violations"
            );
        }
        for (row, counts) in &self.rows {
            let count =
                |outcome: Outcome| counts.get(&outcome).copied().unwrap_or_default();
            let all: usize = counts.values().sum();
            let [refused, back, after, not_made, wrong] = [
                Outcome::Refused,
                Outcome::FellBack,
                Outcome::AfterExec,
                Outcome::NotMade,
                Outcome::Violation,
            ]
            .map(count);
            let gc = self.needed_gc.get(row).copied().unwrap_or_default();
            println!(
                "{row:30}{all:>7}{refused:>9}{back:>11}{after:>12}{not_made:>10}{gc:>11}{wrong:>12}"
            );
        }
        let all: usize = self.violations.values().map(Vec::len).sum();
        println!("\n{all} violations, of {} kinds", self.violations.len());
        let (unexplained, others): (Vec<_>, Vec<_>) = self
            .violations
            .values()
            .partition(|same_cause| same_cause[0].contains(UNEXPLAINED));
        for same_cause in others.into_iter().chain(unexplained) {
            println!("{} times: {}", same_cause.len(), same_cause[0]);
        }
        self.violations.is_empty()
    }
}
