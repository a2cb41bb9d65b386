//! What came of it, by step, and the survivors.

use crate::accepted::Accepted;
use crate::chosen::Step;
use crate::ledger::{Ledger, Verdict};
use crate::mutant::Mutant;

/// The table, and what is wrong.
#[derive(Default)]
pub struct Table {
    rows: Vec<String>,
    survivors: Vec<String>,
    wrong: Vec<String>,
}

/// So many in a hundred of a step's viable mutants must be caught. Of a sample that
/// says too little.
const SHARE: f64 = 90.0;

impl Table {
    /// A step's row.
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
        let equal = listed.iter().filter(|mutant| mutant.is_equal()).count();
        let [not_viable, caught, timed_out, above] = [
            Verdict::NotViable,
            Verdict::Caught,
            Verdict::TimedOut,
            Verdict::CaughtAbove,
        ]
        .map(count);
        // An accepted one is not tried above.
        let survived = count(Verdict::Survived) + count(Verdict::SurvivedHere);
        let viable = caught + timed_out + above + survived;
        let (name, tried) = (step.name, not_viable + viable);
        let share = 100.0 * (viable - survived) as f64 / viable.max(1) as f64;
        self.rows.push(format!(
            "{name:14}{:>7}{equal:>7}{tried:>7}{viable:>8}{caught:>8}{timed_out:>11}{above:>7}{survived:>10}{share:>9.1} %",
            listed.len()
        ));
        let is_whole = chosen.len() + equal == listed.len();
        if is_whole && share < SHARE {
            self.wrong.push(format!(
                "{name}: {share:.1} % are caught, and {SHARE} % are to be"
            ));
        }
        let survives = |mutant: &&&Mutant| {
            matches!(verdict(mutant), Some(Verdict::Survived | Verdict::SurvivedHere))
        };
        for mutant in chosen.iter().filter(survives) {
            let known = accepted.has(mutant);
            self.survivors
                .push(format!("{mutant}{}", if known { " (accepted)" } else { "" }));
            if !known {
                self.wrong.push(format!(
                    "survived, and is not in tests/mutants/accepted: {}",
                    mutant.id()
                ));
            }
        }
        self.add_stale(step, listed, accepted, verdict);
    }

    /// Lines of `accepted` that speak of nothing, or of what is caught.
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
                None => "no mutant is called so",
                Some(Some(
                    Verdict::Caught | Verdict::TimedOut | Verdict::CaughtAbove,
                )) => "it is caught",
                Some(Some(Verdict::NotViable)) => "it does not compile",
                Some(Some(Verdict::Survived | Verdict::SurvivedHere) | None) => {
                    continue;
                }
            };
            self.wrong.push(format!(
                "a line of tests/mutants/accepted is stale, {why}: {name}"
            ));
        }
    }

    /// Prints it; true when all is well.
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
        self.wrong.iter().for_each(|what| println!("WRONG: {what}"));
        self.wrong.is_empty()
    }
}
