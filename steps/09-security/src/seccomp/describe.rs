//! Actions, conditions and rules in words.

use std::fmt::{self, Display, Formatter};

use nix::errno::Errno;

use super::profile::{Action, Comparison, Condition, Rule};

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Allow => f.write_str("allowed"),
            Action::Log => f.write_str("allowed and logged"),
            Action::Errno(number) => write!(f, "refused with {}", errno(*number)),
            Action::KillThread => f.write_str("the thread is killed"),
            Action::KillProcess => f.write_str("the process is killed"),
            Action::Trap => f.write_str("SIGSYS is sent"),
            Action::Notify => f.write_str("the listener decides"),
            Action::Trace(number) => write!(f, "a tracer decides, told {number}"),
        }
    }
}

/// Returns `EPERM`, or the number if it has no name. Zero is success without a call.
fn errno(number: u16) -> String {
    match Errno::from_raw(number.into()) {
        Errno::UnknownErrno => format!("error {number}"),
        errno => format!("{errno:?}"),
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "argument {} ", self.argument)?;
        match self.comparison {
            Comparison::NotEqual(value) => write!(f, "!= {}", short(value)),
            Comparison::Less(value) => write!(f, "< {}", short(value)),
            Comparison::LessOrEqual(value) => write!(f, "<= {}", short(value)),
            Comparison::Equal(value) => write!(f, "== {}", short(value)),
            Comparison::GreaterOrEqual(value) => write!(f, ">= {}", short(value)),
            Comparison::Greater(value) => write!(f, "> {}", short(value)),
            Comparison::MaskedEqual { mask, value } => {
                write!(f, "& {} == {}", short(mask), short(mask & value))
            }
        }
    }
}

/// Returns a number, in hexadecimal if it is large: then it is most likely bits.
fn short(value: u64) -> String {
    if value < 1000 { value.to_string() } else { format!("{value:#x}") }
}

/// Returns `if argument 0 == 16 and argument 2 == 9`, or nothing without conditions.
pub fn conditions(list: &[Condition]) -> String {
    let words: Vec<_> = list.iter().map(ToString::to_string).collect();
    if words.is_empty() { String::new() } else { format!("if {}", words.join(" and ")) }
}

/// Returns the conditions of a rule in a profile. With two conditions on one argument,
/// any of all is enough.
pub fn conditions_of(rule: &Rule) -> String {
    let words = conditions(&rule.conditions);
    let mut arguments: Vec<_> = rule.conditions.iter().map(|it| it.argument).collect();
    arguments.sort_unstable();
    arguments.dedup();
    match arguments.len() == rule.conditions.len() {
        true => words,
        false => words.replace(" and ", " or "),
    }
}
