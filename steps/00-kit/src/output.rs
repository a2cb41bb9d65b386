//! Output for people: results on stdout, warnings and notices on stderr.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;

use crate::failure::{Failure, escape_control_characters, with_errno_names};
use crate::narration::{self, Format};

/// Prints a result to stdout, as it is, and flushes it. A closed stdout (EPIPE) is no
/// error: its reader has read enough (`… | head`).
///
/// # Errors
/// When stdout cannot be written, perhaps because the disk is full.
pub fn print(text: impl Display) -> Result<()> {
    let mut stdout = anstream::stdout();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format_args!("print to stdout: {error}"))
                .with_exit_code(1)
                .into())
        }
        _ => Ok(()),
    }
}

/// Prints a result to stdout as JSON.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(escape_in_json(&serde_json::to_string_pretty(value)?) + "\n")
}

/// Escapes the control characters that JSON allows in strings: DEL and C1, U+0080 to
/// U+009F. Some terminals obey U+009B as they obey `ESC [`.
fn escape_in_json(json: &str) -> String {
    let escape = |c: char| match c {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
        _ => c.into(),
    };
    json.chars().map(escape).collect()
}

/// Prints `warning: WHAT` to stderr.
pub fn warn(what: impl Display) {
    print_message(Level::Warning, &what, None);
}

/// Prints `warning: WHAT: ERROR` to stderr, and below it the hint, if there is one.
pub fn warn_error(what: impl Display, error: &anyhow::Error) {
    let failure = Failure::of(error);
    let what = format_args!("{what}: {failure}");
    print_message(Level::Warning, &what, failure.hint_text());
}

/// Prints a failure to stderr: one line, and a second one with the hint if there is
/// one.
pub(crate) fn print_failure(failure: &Failure) {
    print_message(Level::Error, failure, failure.hint_text());
}

/// Prints a message to stderr that is neither an error nor a warning: `killed: out of
/// memory (…)`.
pub fn notice(what: impl Display) {
    print_message(Level::Note, &what, None);
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warning,
    Note,
}

/// A message as `--explain=json` has it. Its lines have no `call`, so that a reader can
/// tell them from those of the narration.
#[derive(Serialize)]
struct Message<'a> {
    level: Level,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// Prints a usage error as `--explain=json` has it.
pub(crate) fn print_usage_error_as_json(error: &str) {
    let message = error.trim_end();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let line = Message { level: Level::Error, message, hint: None }.as_json();
    let _ = writeln!(anstream::stderr(), "{line}");
}

impl Message<'_> {
    fn as_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| self.message.into())
    }
}

fn print_message(level: Level, what: &dyn Display, hint: Option<&str>) {
    let text = readable_lines(what);
    let text = match narration::format() {
        Format::Json => {
            let message = text.strip_prefix("note: ").unwrap_or(&text);
            Message { level, message, hint }.as_json()
        }
        Format::Text => for_people(level, text, hint),
    };
    // A closed stderr must not stop a container.
    let _ = writeln!(anstream::stderr(), "{text}");
}

fn for_people(level: Level, text: String, hint: Option<&str>) -> String {
    let bold = Style::new().bold();
    let colour = |colour: AnsiColor| bold.fg_color(Some(colour.into()));
    let text = match level {
        Level::Note => text,
        Level::Error => {
            let red = colour(AnsiColor::Red);
            format!("{red}error:{red:#} {text}")
        }
        Level::Warning => {
            let yellow = colour(AnsiColor::Yellow);
            format!("{yellow}warning:{yellow:#} {text}")
        }
    };
    match hint {
        Some(hint) => format!("{text}\n{bold}hint:{bold:#} {hint}"),
        None => text,
    }
}

/// Escapes all control characters but line ends: names in the text may come from an
/// image, and must not steer the terminal. Replaces error numbers by their names.
fn readable_lines(text: &dyn Display) -> String {
    let lines: Vec<String> = with_errno_names(text.to_string())
        .lines()
        .map(escape_control_characters)
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_lines_and_cannot_steer_the_terminal() {
        assert_eq!(readable_lines(&"one\n\x1b[2Jtwo"), "one\n\\u{1b}[2Jtwo");
    }

    #[test]
    fn json_is_the_same_value_without_control_characters() {
        let text = "\u{1b}[2J\u{7f}\u{80}\u{9b}2J\u{9f}\u{a0}ä";
        let json = escape_in_json(&serde_json::to_string(text).unwrap());
        assert_eq!(json, r#""\u001b[2J\u007f\u0080\u009b2J\u009f ä""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn an_error_in_a_message_has_its_name() {
        let errors = [1, 28].map(std::io::Error::from_raw_os_error);
        assert_eq!(
            readable_lines(&format_args!("a: {}; b: {}", errors[0], errors[1])),
            "a: Operation not permitted (EPERM); b: No space left on device (ENOSPC)"
        );
    }
}
