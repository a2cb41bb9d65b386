//! Chooses the steps, their mutants, and the tests for each.

use sha2::{Digest, Sha256};

use crate::ledger::Verdict;
use crate::mutant::Mutant;

/// A step whose library is changed, and the steps whose tests are used.
pub struct Step {
    /// Its directory below `steps`: `05-cgroups`.
    pub name: &'static str,
    /// The step whose program and tests are used. It is the step itself, except for the
    /// kit, which has no program.
    pub own: &'static str,
    /// The steps above that use other parts of the library. Their tests may catch a
    /// survivor.
    pub above: &'static [&'static str],
}

/// All steps.
pub const STEPS: [Step; 12] = [
    Step { name: "00-kit", own: "00-exec", above: &["05-cgroups"] },
    Step { name: "00-exec", own: "00-exec", above: &["04-pivot-root", "05-cgroups"] },
    Step { name: "01-uts", own: "01-uts", above: &[] },
    Step { name: "02-pid", own: "02-pid", above: &[] },
    Step { name: "03-mount", own: "03-mount", above: &["04-pivot-root"] },
    Step { name: "04-pivot-root", own: "04-pivot-root", above: &["06-user"] },
    Step { name: "05-cgroups", own: "05-cgroups", above: &["06-user"] },
    Step { name: "06-user", own: "06-user", above: &[] },
    Step { name: "07-image", own: "07-image", above: &[] },
    Step { name: "08-network", own: "08-network", above: &[] },
    Step { name: "09-security", own: "09-security", above: &["10-runtime"] },
    Step { name: "10-runtime", own: "10-runtime", above: &[] },
];

/// A stage of the tests: the step whose tests are used, and the resulting verdicts.
#[derive(Clone, Copy)]
pub struct Stage {
    /// The step that is changed.
    pub name: &'static str,
    /// The step whose program and tests are used.
    pub by: &'static str,
    /// Whether the library's unit tests are used, too.
    pub unit: Unit,
    /// The verdict when a test fails.
    pub caught: Verdict,
    /// The verdict when all tests pass.
    pub survived: Verdict,
}

/// Whether the library's unit tests are used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// They are used.
    Tests,
    /// They are not used, since an earlier stage has used them.
    None,
}

impl Step {
    /// Returns the stage that uses the step's own tests.
    pub fn own(&self) -> Stage {
        let survived = if self.above.is_empty() {
            Verdict::Survived
        } else {
            Verdict::SurvivedHere
        };
        Stage {
            name: self.name,
            by: self.own,
            unit: Unit::Tests,
            caught: Verdict::Caught,
            survived,
        }
    }

    /// Returns the stages that use the tests of the steps above, one after the other.
    pub fn above(&self) -> impl Iterator<Item = Stage> {
        let (name, unit, caught) = (self.name, Unit::None, Verdict::CaughtAbove);
        self.above.iter().map(move |by| {
            let is_last = self.above.last() == Some(by);
            let survived =
                if is_last { Verdict::Survived } else { Verdict::SurvivedHere };
            Stage { name, by, unit, caught, survived }
        })
    }
}

/// Chooses mutants that differ from the original and have the word in their name, up to
/// the size of the sample. The choice is the same each time, even when the code around
/// the mutants changes.
pub fn of<'m>(
    listed: &'m [Mutant],
    word: Option<&str>,
    sample: Option<usize>,
    seed: u64,
) -> Vec<&'m Mutant> {
    let has_word =
        |mutant: &&Mutant| word.is_none_or(|word| mutant.to_string().contains(word));
    let mut chosen: Vec<_> = listed
        .iter()
        .filter(|mutant| !mutant.is_equivalent())
        .filter(has_word)
        .collect();
    if let Some(sample) = sample {
        chosen.sort_by_key(|mutant| Sha256::digest(format!("{seed} {}", mutant.id())));
        chosen.truncate(sample);
    }
    chosen
}
