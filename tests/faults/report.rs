//! What was found, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Display;

/// An error that is told, with another reason than the kernel gave; the least of all
/// violations.
pub const WORDS: &str = "the error does not say why";

/// How one run with a fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The command did not run, and the error says why.
    Refused,
    /// The command ran with all that was asked for, by another way or because the call
    /// did not matter.
    FellBack,
    /// The command had run already, and ended as it should, or the error was told.
    AfterIt,
    /// The call was not made this time.
    NotMade,
    /// What must never be.
    Violation,
}

/// All outcomes of one walk.
#[derive(Default)]
pub struct Report {
    rows: BTreeMap<String, BTreeMap<Outcome, usize>>,
    needed_gc: BTreeMap<String, usize>,
    /// Alike ones together.
    violations: BTreeMap<String, Vec<String>>,
}

impl Report {
    /// One run, in this row of the table.
    pub fn count(&mut self, row: &str, outcome: Outcome) {
        *self.rows.entry(row.into()).or_default().entry(outcome).or_default() += 1;
    }

    /// One run after which only `gc` removed everything.
    pub fn count_gc(&mut self, row: &str) {
        *self.needed_gc.entry(row.into()).or_default() += 1;
    }

    /// What must never be, and how to see it again.
    pub fn violation(
        &mut self,
        row: &str,
        what: impl Display,
        reproduce: impl Display,
    ) {
        self.violation_alike(row, row, what, reproduce);
    }

    /// One of several that have the same cause, as it seems: the first of them is told
    /// in the end.
    pub fn violation_alike(
        &mut self,
        cause: &str,
        row: &str,
        what: impl Display,
        reproduce: impl Display,
    ) {
        let text = format!("VIOLATION {row}: {what}\n    see it again: {reproduce}");
        println!("{text}");
        self.violations.entry(cause.into()).or_default().push(text);
    }

    /// Prints the table; true when nothing was violated.
    pub fn print(&self) -> bool {
        if !self.rows.is_empty() {
            println!(
                "\n{:30}{:>7}{:>9}{:>11}{:>10}{:>10}{:>10}{:>11}",
                "",
                "runs",
                "refused",
                "fell back",
                "after it",
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
                Outcome::AfterIt,
                Outcome::NotMade,
                Outcome::Violation,
            ]
            .map(count);
            let gc = self.needed_gc.get(row).copied().unwrap_or_default();
            println!(
                "{row:30}{all:>7}{refused:>9}{back:>11}{after:>10}{not_made:>10}{gc:>10}{wrong:>11}"
            );
        }
        let all: usize = self.violations.values().map(Vec::len).sum();
        println!("\n{all} violations, of {} kinds", self.violations.len());
        let (words, deeds): (Vec<_>, Vec<_>) =
            self.violations.values().partition(|alike| alike[0].contains(WORDS));
        for alike in deeds.into_iter().chain(words) {
            println!("{} times: {}", alike.len(), alike[0]);
        }
        self.violations.is_empty()
    }
}
