//! The table of results by step, and the list of survivors.

use crate::accepted::Accepted;
use crate::ledger::{Ledger, Verdict};
use crate::mutant::Mutant;
use crate::selection::Step;

/// The table, the survivors and the errors.
#[derive(Default)]
pub struct Table {
    rows: Vec<String>,
    survivors: Vec<String>,
    errors: Vec<String>,
}

/// The percentage of a step's viable mutants that must be caught. A sample is too small
/// to require it.
const REQUIRED_SHARE: f64 = 90.0;

impl Table {
    /// Adds the row of a step.
    pub fn add(
        &mut self,
        step: &Step,
        listed: &[Mutant],
        chosen: &[&Mutant],
        ledger: &Ledger,
        accepted: &Accepted,
    ) {
        let verdict = |mutant: &&Mutant| ledger.of(mutant).map(|entry| entry.verdict);
        let count = |wanted| {
            chosen.iter().filter(|mutant| verdict(mutant) == Some(wanted)).count()
        };
        let equal = listed.iter().filter(|mutant| mutant.is_equivalent()).count();
        let [not_viable, caught, timed_out, above] = [
            Verdict::NotViable,
            Verdict::Caught,
            Verdict::TimedOut,
            Verdict::CaughtAbove,
        ]
        .map(count);
        // An accepted mutant is not tested by the steps above.
        let survived = count(Verdict::Survived) + count(Verdict::SurvivedHere);
        let viable = caught + timed_out + above + survived;
        let (name, tried) = (step.name, not_viable + viable);
        let share = 100.0 * (viable - survived) as f64 / viable.max(1) as f64;
        self.rows.push(format!(
            "{name:14}{:>7}{equal:>7}{tried:>7}{viable:>8}{caught:>8}{timed_out:>11}{above:>7}{survived:>10}{share:>9.1} %",
            listed.len()
        ));
        let is_complete = chosen.len() + equal == listed.len();
        if is_complete && share < REQUIRED_SHARE {
            self.errors.push(format!(
                "{name}: {share:.1} % are caught, and {REQUIRED_SHARE} % are required"
            ));
        }
        let has_survived = |mutant: &&&Mutant| {
            matches!(verdict(mutant), Some(Verdict::Survived | Verdict::SurvivedHere))
        };
        for mutant in chosen.iter().filter(has_survived) {
            let known = accepted.has(mutant);
            self.survivors
                .push(format!("{mutant}{}", if known { " (accepted)" } else { "" }));
            if !known {
                self.errors.push(format!(
                    "survived, and is not in tests/mutants/accepted: {}",
                    mutant.id()
                ));
            }
        }
        self.add_stale(step, listed, accepted, verdict);
    }

    /// Adds the lines of `accepted` whose mutant does not exist or is caught.
    fn add_stale(
        &mut self,
        step: &Step,
        listed: &[Mutant],
        accepted: &Accepted,
        verdict: impl Fn(&&Mutant) -> Option<Verdict>,
    ) {
        for name in accepted.of(step) {
            let why = match listed
                .iter()
                .find(|mutant| mutant.id() == *name)
                .map(|mutant| verdict(&mutant))
            {
                None => "there is no mutant of this name",
                Some(Some(
                    Verdict::Caught | Verdict::TimedOut | Verdict::CaughtAbove,
                )) => "it is caught",
                Some(Some(Verdict::NotViable)) => "it does not compile",
                Some(Some(Verdict::Survived | Verdict::SurvivedHere) | None) => {
                    continue;
                }
            };
            self.errors.push(format!(
                "a line of tests/mutants/accepted is stale, {why}: {name}"
            ));
        }
    }

    /// Prints the table. Returns whether there are no errors.
    pub fn print(&self) -> bool {
        println!(
            "\n{:14}{:>7}{:>7}{:>7}{:>8}{:>8}{:>11}{:>7}{:>10}{:>11}",
            "",
            "listed",
            "equal",
            "tried",
            "viable",
            "caught",
            "timed out",
            "above",
            "survived",
            "share"
        );
        self.rows.iter().for_each(|row| println!("{row}"));
        println!("\nsurvivors: {}", self.survivors.len());
        self.survivors.iter().for_each(|name| println!("  {name}"));
        self.errors.iter().for_each(|what| println!("WRONG: {what}"));
        self.errors.is_empty()
    }
}
