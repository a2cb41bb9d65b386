//! A line of the narration: one kernel call.

use std::fmt::{self, Display};
use std::panic::Location;
use std::str::FromStr;

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};

/// The number of the step to which a call is attributed: the step whose code makes it.
/// A function with `#[track_caller]` attributes its calls to the step that called it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Step(pub(crate) u8);

impl Step {
    /// Finds the step of the calling code by its directory: `steps/05-cgroups/…` is 5.
    /// None for code outside `steps`.
    pub(crate) fn of(caller: &Location<'_>) -> Option<Step> {
        let (_, below) = caller.file().rsplit_once("steps/")?;
        below.split_once('-')?.0.parse().ok()
    }
}

impl FromStr for Step {
    type Err = std::num::ParseIntError;

    fn from_str(number: &str) -> Result<Step, Self::Err> {
        number.parse().map(Step)
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// The process that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caller {
    /// The runtime, on the host.
    Parent,
    /// The container's first process: the command, or the init of `--init`.
    Child,
    /// The command, when it is the child of the init of `--init`.
    Grandchild,
}

impl Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Caller::Parent => "parent",
            Caller::Child => "child",
            Caller::Grandchild => "grandchild",
        })
    }
}

/// A narrated call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The process that made the call.
    pub who: Caller,
    /// The step whose code made the call.
    pub step: Option<Step>,
    /// The name of the call, as its man page spells it.
    pub call: String,
    /// The operands.
    pub args: String,
    /// The kernel's answer.
    pub result: String,
    /// The reason for the call.
    pub why: String,
    /// The place in the sources where the call is made: `steps/01-uts/src/lib.rs:47`.
    pub at: String,
}

impl Line {
    /// Formats the call for people, in one line.
    pub(crate) fn text(&self) -> String {
        let bold = Style::new().bold();
        let dim = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
        let who = self.who;
        let width = (self.call.len()
            + self.args.chars().count()
            + self.result.chars().count()
            + 5)
        .max(1);
        let pad = " ".repeat(46usize.saturating_sub(width));
        format!(
            "{who:<10} {bold}{}{bold:#}({}) = {}{pad}  {dim}# {}{dim:#}\n",
            self.call, self.args, self.result, self.why
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_of_a_call_is_found_by_its_source_directory() {
        assert_eq!(Step::of(Location::caller()), Some(Step(0)));
    }
}
