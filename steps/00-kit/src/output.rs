//! Output for people: results on stdout, warnings and notices on stderr.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Result;

use crate::failure::{Failure, escape_control_characters, with_errno_names};

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
        let _ = writeln!(anstream::stderr(), "{bold}hint:{bold:#} {hint}");
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
    fn an_error_in_a_message_has_its_name() {
        let errors = [1, 28].map(std::io::Error::from_raw_os_error);
        assert_eq!(
            readable_lines(&format_args!("a: {}; b: {}", errors[0], errors[1])),
            "a: Operation not permitted (EPERM); b: No space left on device (ENOSPC)"
        );
    }
}
