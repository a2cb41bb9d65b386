//! Which steps there are, and which of their mutants are tried.

use sha2::{Digest, Sha256};

use crate::ledger::Verdict;
use crate::mutant::Mutant;

/// A step: what is changed, and what it is tested by.
pub struct Step {
    /// Its directory below `steps`: `05-cgroups`.
    pub name: &'static str,
    /// The step whose program and tests are used: itself. The kit has no program.
    pub own: &'static str,
    /// Steps above that use more of it, and whose tests may yet catch what survives
    /// here.
    pub above: &'static [&'static str],
}

/// All steps.
pub const STEPS: [Step; 10] = [
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
];

/// By whose tests mutants are tried, and what that says of them.
#[derive(Clone, Copy)]
pub struct Stage {
    /// The step that is changed.
    pub name: &'static str,
    /// The step whose program and tests are used.
    pub by: &'static str,
    /// Whether the library's own tests are used, too.
    pub unit: Unit,
    /// What it is when a test fails.
    pub caught: Verdict,
    /// What it is when none does.
    pub survived: Verdict,
}

/// Whether the library's own tests are used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// They are.
    Tests,
    /// They have been.
    None,
}

impl Step {
    /// By its own tests.
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

    /// By those of the steps above, one after the other.
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

/// Those that can be told from the original, of these those with the word, of these so
/// many. The same ones are chosen each time, also when the code around them changes.
pub fn of<'m>(
    listed: &'m [Mutant],
    word: Option<&str>,
    sample: Option<usize>,
    seed: u64,
) -> Vec<&'m Mutant> {
    let has_word =
        |mutant: &&Mutant| word.is_none_or(|word| mutant.to_string().contains(word));
    let mut chosen: Vec<_> =
        listed.iter().filter(|mutant| !mutant.is_equal()).filter(has_word).collect();
    if let Some(sample) = sample {
        chosen.sort_by_key(|mutant| Sha256::digest(format!("{seed} {}", mutant.id())));
        chosen.truncate(sample);
    }
    chosen
}
