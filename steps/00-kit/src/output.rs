//! Output for people: results on stdout, warnings and notices on stderr.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;

use crate::failure::{Failure, escape_control_characters, name_errors};

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
    let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    // A closed stderr must not stop a container.
    let _ = writeln!(
        anstream::stderr(),
        "{yellow}warning:{yellow:#} {}",
        readable_lines(&what)
    );
}

/// Prints `warning: WHAT: ERROR` to stderr, and below it the hint, if there is one.
pub fn warn_error(what: impl Display, error: &anyhow::Error) {
    let failure = Failure::of(error);
    warn(format_args!("{what}: {failure}"));
    print_hint(&failure);
}

/// Prints the hint of a failure to stderr, if there is one.
pub(crate) fn print_hint(failure: &Failure) {
    let bold = Style::new().bold();
    if let Some(hint) = failure.hint_text() {
        let _ = writeln!(
            anstream::stderr(),
            "{bold}hint:{bold:#} {}",
            readable_lines(&hint)
        );
    }
}

/// Prints a message to stderr that is neither an error nor a warning: `killed: out of
/// memory (…)`.
pub fn notice(what: impl Display) {
    let _ = writeln!(anstream::stderr(), "{}", readable_lines(&what));
}

/// Escapes all control characters but line ends: names in the text may come from an
/// image, and must not steer the terminal. Replaces error numbers by their names.
fn readable_lines(text: &impl Display) -> String {
    let lines: Vec<String> =
        name_errors(text.to_string()).lines().map(escape_control_characters).collect();
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
