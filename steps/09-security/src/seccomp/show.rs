//! A profile as a table for people.

use std::fmt::Write;

use super::default_profile::GROUPS;
use super::describe::conditions_of;
use super::profile::{Profile, Rule};

/// The columns of a line.
const WIDTH: usize = 80;
/// The column of the names: the actions stand before it.
const INDENT: usize = 22;

/// Returns a profile as a table: the actions, and the system calls of each.
pub fn table(profile: &Profile) -> String {
    let archs: Vec<_> = profile.architectures.iter().map(|it| it.name()).collect();
    let mut text =
        format!("{:<INDENT$}SYSTEM CALLS, on {}\n", "ACTION", archs.join(", "));
    for (index, rule) in profile.rules.iter().enumerate() {
        let why = why(rule).map(|why| format!("# {why}"));
        let names = rule.names.join(" ");
        let condition = Some(conditions_of(rule)).filter(|it| !it.is_empty());
        let paragraphs = why.into_iter().chain([names]).chain(condition);
        let action = format!("{} {}", index + 1, rule.action);
        write_row(&mut text, &action, paragraphs);
    }
    write_row(&mut text, &profile.default_action.to_string(), ["all others".into()]);
    text
}

/// Returns why a rule of the default profile is there.
fn why(rule: &Rule) -> Option<&'static str> {
    let is_of = |names: &str| names.split_ascii_whitespace().eq(&rule.names);
    GROUPS.iter().find(|group| is_of(group.names)).map(|group| group.why)
}

/// Writes the action, and beside it the paragraphs, each wrapped.
fn write_row(
    text: &mut String,
    action: &str,
    paragraphs: impl IntoIterator<Item = String>,
) {
    let mut action = action;
    for paragraph in paragraphs {
        for line in wrap(&paragraph, WIDTH - INDENT) {
            let _ = writeln!(text, "{action:<INDENT$}{line}");
            action = "";
        }
    }
}

/// Breaks a text into lines. A word that is longer than a line is not broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_ascii_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                *line += " ";
                *line += word;
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}
