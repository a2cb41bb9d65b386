//! The verdict on one system call, and the rule that gives it.

use kit::{Failure, Result};

use super::arch::{Arch, Width};
use super::describe::conditions;
use super::filter::Filter;
use super::interpreter::{SyscallData, run};
use super::matches::{Match, Matches};
use super::profile::{Action, Comparison, Condition, Profile};
use super::syscalls;

/// A system call in question.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The architecture for which it is made.
    pub arch: Arch,
    /// Its number.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl Question {
    /// Returns a question about a system call by its name or its number.
    ///
    /// # Errors
    /// If the architecture has no call of this name, or has no seventh argument.
    pub fn new(arch: Arch, call: &str, arguments: &[u64]) -> Result<Question> {
        let number = syscalls::number(arch, call).or_else(|| call.parse().ok());
        let number = number.ok_or_else(|| {
            let failure = Failure::new(format_args!(
                "{} has no system call {call:?}",
                arch.name()
            ));
            match syscalls::is_known(call) {
                true => failure.hint("other architectures have it: --arch"),
                false => failure.hint("`man 2 syscalls` lists the names"),
            }
        })?;
        let mut all = [0; 6];
        match all.get_mut(..arguments.len()) {
            Some(first) => first.copy_from_slice(arguments),
            None => {
                return Err(
                    Failure::new("a system call has at most six arguments").into()
                );
            }
        }
        Ok(Question { arch, number, arguments: all })
    }
}

/// Runs the compiled filter on a system call, and says in a line what happens and by
/// which rule: `refused with EPERM: no rule …`.
///
/// # Errors
/// If the filter and the rules disagree, which would be a bug.
pub fn verdict(profile: &Profile, filter: &Filter, call: &Question) -> Result<String> {
    let data = SyscallData {
        number: call.number,
        arch: call.arch.audit(),
        instruction_pointer: 0,
        arguments: call.arguments,
    };
    let action = Action::from_return_value(run(filter.instructions(), &data)?);
    let (by_rules, reason) = by_rules(profile, call);
    if by_rules.is_some_and(|it| it != action) {
        return Err(Failure::new(format_args!(
            "a bug in Kiste: the filter says {action}, the rules say {reason}"
        ))
        .into());
    }
    Ok(format!("{action}: {reason}\n"))
}

/// Returns the action by the rules, and the rule in words. None if only the filter knows.
fn by_rules(profile: &Profile, call: &Question) -> (Option<Action>, String) {
    if !profile.architectures.contains(&call.arch) {
        return (None, format!("the profile is not for {}", call.arch.name()));
    }
    let matches = Matches::new(profile, call.arch);
    let rules = matches.by_number.get(&call.number).map_or(&[][..], Vec::as_slice);
    let holds = |rule: &&Match| {
        rule.conditions.iter().all(|it| it.holds(&call.arguments, call.arch.width()))
    };
    let name =
        syscalls::name(call.arch, call.number).unwrap_or("a call without a name");
    match rules.iter().find(holds) {
        Some(rule) => {
            let number = rule.rule + 1;
            let words = conditions(&rule.conditions);
            let space = if words.is_empty() { "" } else { " " };
            (Some(rule.action), format!("rule {number}: {name}{space}{words}"))
        }
        None if !rules.is_empty() => {
            (Some(profile.default_action), format!("no rule for {name} holds"))
        }
        None if matches.newest.is_some_and(|it| call.number > it) => {
            (None, format!("{name} is newer than all calls that the profile names"))
        }
        None => (Some(profile.default_action), format!("no rule names {name}")),
    }
}

impl Condition {
    /// Returns whether the condition holds for these arguments.
    pub fn holds(&self, arguments: &[u64; 6], width: Width) -> bool {
        let bits = width.bits();
        let argument = arguments[usize::from(self.argument)] & bits;
        match self.comparison {
            Comparison::NotEqual(value) => argument != value & bits,
            Comparison::Less(value) => argument < value & bits,
            Comparison::LessOrEqual(value) => argument <= value & bits,
            Comparison::Equal(value) => argument == value & bits,
            Comparison::GreaterOrEqual(value) => argument >= value & bits,
            Comparison::Greater(value) => argument > value & bits,
            Comparison::MaskedEqual { mask, value } => {
                argument & mask == value & mask & bits
            }
        }
    }
}
