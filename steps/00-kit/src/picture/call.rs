//! A narrated call, with its operands apart.

use crate::line::{Caller, Line};

pub struct Call<'a> {
    pub who: Caller,
    pub name: &'a str,
    pub args: Vec<&'a str>,
    pub result: &'a str,
}

impl<'a> Call<'a> {
    pub fn of(line: &'a Line) -> Self {
        Call {
            who: line.who,
            name: &line.call,
            args: line.args.split(", ").collect(),
            result: &line.result,
        }
    }

    /// Returns an operand; an empty one if there are fewer.
    pub fn arg(&self, index: usize) -> &'a str {
        self.args.get(index).copied().unwrap_or_default()
    }

    /// Returns the operands from this one on.
    pub fn rest(&self, index: usize) -> String {
        self.args.get(index..).unwrap_or_default().join(", ")
    }

    /// Tells whether the runtime itself makes the call, so that it acts on the host.
    pub fn is_on_host(&self) -> bool {
        self.who == Caller::Parent
    }

    /// Tells whether the result is an error: `Operation not permitted (EPERM)`.
    pub fn has_failed(&self) -> bool {
        self.result.ends_with(')') && self.result.contains(" (E")
    }
}
