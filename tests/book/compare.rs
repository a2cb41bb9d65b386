//! Compares the output of a terminal with the book.

/// The words with which cargo reports its progress, right-aligned in twelve columns.
/// Such lines are not part of a transcript.
const CARGO_WORDS: [&str; 14] = [
    "Adding",
    "Blocking",
    "Checking",
    "Compiling",
    "Documenting",
    "Downloaded",
    "Downloading",
    "Finished",
    "Fresh",
    "Locking",
    "Running",
    "Unpacking",
    "Updating",
    "Doc-tests",
];

/// Returns the text that a terminal shows for these bytes: without escape sequences,
/// with `\n` at the ends of lines.
pub fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::new();
    let mut chars = text.chars().peekable();
    while let Some(ch) = chars.next() {
        match ch {
            '\x1b' if chars.next_if_eq(&'[').is_some() => {
                // A control sequence ends with its first letter (ECMA-48).
                while chars.next().is_some_and(|ch| !('@'..='~').contains(&ch)) {}
            }
            '\x1b' => _ = chars.next(),
            '\r' | '\x07' => {}
            _ => shown.push(ch),
        }
    }
    shown
}

/// Returns the lines that `command` printed, without the echo of its text, the echo of
/// keys, and cargo's progress.
pub fn output_lines(text: &str, command: &str) -> Vec<String> {
    let output = without_echo(text, command);
    let is_progress = |line: &&str| {
        command.contains("cargo ") && is_from_runner(line) || is_progress_of_cargo(line)
    };
    let lines = output.lines().map(str::trim_end).filter(|line| !is_progress(line));
    let mut lines: Vec<_> = lines.filter_map(without_key).map(str::to_string).collect();
    remove_banner(&mut lines);
    // bash prints `exit` when it ends; other shells do not.
    if command == "exit" && lines.first().is_some_and(|line| line == "exit") {
        lines.remove(0);
    }
    lines
}

/// Removes the banner that the shell of Debian's busybox prints when it starts on a
/// terminal. Alpine's busybox and other shells print no banner.
fn remove_banner(lines: &mut Vec<String>) {
    let is_banner =
        |line: &String| line.starts_with("BusyBox v") && line.contains("shell (ash)");
    let Some(at) = lines.iter().position(is_banner) else { return };
    let is_blank = |line: &&String| line.is_empty();
    let before = lines[..at].iter().rev().take(2).take_while(is_blank).count();
    let is_help = |line: &&String| line.is_empty() || line.starts_with("Enter 'help'");
    let after = lines[at + 1..].iter().take(2).take_while(is_help).count();
    lines.drain(at - before..=at + after);
}

/// Returns whether the terminal has echoed the whole line that was typed.
pub fn has_echo(text: &str, command: &str) -> bool {
    after_echo(text, command).is_some()
}

fn without_echo<'a>(text: &'a str, command: &str) -> &'a str {
    after_echo(text, command).unwrap_or(text)
}

/// Returns the text after the echo of `command`. The terminal has wrapped the echo at
/// its width.
fn after_echo<'a>(text: &'a str, command: &str) -> Option<&'a str> {
    let mut rest = text;
    for ch in command.chars() {
        rest = rest.trim_start_matches('\n').strip_prefix(ch)?;
    }
    rest.trim_start_matches(' ').strip_prefix('\n')
}

fn is_progress_of_cargo(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    CARGO_WORDS.contains(&word) && line.find(word) == 12usize.checked_sub(word.len())
}

/// Returns whether `.cargo/runner` printed this line before it started a step. It
/// prints one when it becomes root, and when it fetches a root file system.
fn is_from_runner(line: &str) -> bool {
    line.contains(" needs root: starting it by sudo")
        || line.starts_with("rootfs-fetch.sh: ")
}

/// Removes the echo of a key from the start of a line: `^C` is echoed at the cursor.
/// Returns `None` if the line has nothing else.
fn without_key(line: &str) -> Option<&str> {
    let keys = ["^C", "^D", "^Z", "^\\"];
    let rest = keys.iter().find_map(|key| line.strip_prefix(key)).unwrap_or(line);
    (rest.len() == line.len() || !rest.is_empty()).then_some(rest)
}

/// Returns whether `actual` matches `expected`: `[..]` matches anything within a line,
/// and a line of `...` or `[...]` matches any lines.
pub fn matches(expected: &[String], actual: &[String]) -> bool {
    match expected {
        [] => actual.is_empty(),
        [any, rest @ ..] if is_any_lines(any) => {
            (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..]))
        }
        [line, rest @ ..] => match actual {
            [first, others @ ..] => line_matches(line, first) && matches(rest, others),
            [] => false,
        },
    }
}

fn is_any_lines(line: &str) -> bool {
    matches!(line.trim(), "..." | "[...]")
}

fn line_matches(expected: &str, actual: &str) -> bool {
    let (expected, actual) = (expected.trim_end(), actual.trim_end());
    let Some((start, rest)) = expected.split_once("[..]") else {
        return expected == actual;
    };
    let Some(tail) = actual.strip_prefix(start) else { return false };
    let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
    ends.into_iter().any(|at| line_matches(rest, &tail[at..]))
}

/// Returns a diff of the two: `-` is in the book, `+` on the terminal.
pub fn difference(expected: &[String], actual: &[String]) -> String {
    let is_same = |(book, real): &(&String, &String)| {
        !is_any_lines(book) && line_matches(book, real)
    };
    let same = expected.iter().zip(actual).take_while(is_same).count();
    let lines = |sign: char, lines: &[String]| -> String {
        lines.iter().map(|line| format!("  {sign} {line}\n")).collect()
    };
    lines(' ', &expected[..same])
        + &lines('-', &expected[same..])
        + &lines('+', &actual[same..])
}

#[cfg(test)]
mod tests {
    use super::{difference, matches, output_lines, shown};

    #[test]
    fn the_banner_of_a_busybox_is_no_output() {
        let text = "sh\n\n\nBusyBox v1.35.0 (Debian 1:1.35.0-4) built-in shell (ash)\n\
                    Enter 'help' for a list of built-in commands.\n\nmine\n";
        assert_eq!(output_lines(text, "sh"), ["mine"]);
        assert_eq!(output_lines("cat x\n\nBusyBox v1\n", "cat x"), ["", "BusyBox v1"]);
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn equal_lines_match_and_others_do_not() {
        assert!(matches(&lines("a\nb"), &lines("a\nb ")));
        assert!(!matches(&lines("a"), &lines("b")));
        assert!(!matches(&lines("a"), &lines("a\nb")));
        assert!(!matches(&lines("a\nb"), &lines("a")));
        assert!(!matches(&lines("a"), &[]));
    }

    #[test]
    fn two_dots_in_brackets_match_any_text_within_a_line() {
        assert!(matches(&lines("pid [..], [..]s"), &lines("pid 7, 0.3s")));
        assert!(
            matches(&lines("[..]"), &lines(""))
                || matches(&lines("[..]"), &[String::new()])
        );
        assert!(!matches(&lines("pid [..]."), &lines("pid 7")));
        assert!(!matches(&lines("x [..]"), &lines("pid 7")));
    }

    #[test]
    fn three_dots_match_any_number_of_lines() {
        assert!(matches(&lines("a\n...\nz"), &lines("a\nb\nc\nz")));
        assert!(matches(&lines("[...]"), &[]));
        assert!(!matches(&lines("...\nz"), &lines("a\nb")));
    }

    #[test]
    fn escape_sequences_are_removed() {
        assert_eq!(shown(b"\x1b[?2004h\x1b[1;31ma\x1b[0m\r\n/ # \x1b[6n"), "a\n/ # ");
    }

    #[test]
    fn echoes_and_progress_of_cargo_are_no_output() {
        let text = "cargo run -- l\ns\n   Compiling a v1\n    Finished `dev`\nwarning: x\nout\n^C\n";
        assert_eq!(output_lines(text, "cargo run -- ls"), ["warning: x", "out"]);
        let text = "cargo a\n01-uts needs root: starting it by sudo (x)\nrootfs-fetch.sh: made it\nb\n";
        assert_eq!(output_lines(text, "cargo a"), ["b"]);
        assert_eq!(
            output_lines("01-uts needs root: starting it by sudo\n", "x | cargo a"),
            [""; 0]
        );
        assert_eq!(
            output_lines("rootfs-fetch.sh: made it\n", "sh"),
            ["rootfs-fetch.sh: made it"]
        );
        assert_eq!(output_lines("  Running late\n", ""), ["  Running late"]);
        assert_eq!(output_lines("^Z\n[1]+ Stopped\n", ""), ["[1]+ Stopped"]);
        assert_eq!(output_lines("exit\nexit\n", "exit"), [""; 0]);
    }

    #[test]
    fn a_difference_shows_the_lines_of_the_book_and_of_the_terminal() {
        let text = difference(&lines("a\nb"), &lines("a\nc"));
        assert_eq!(text, "    a\n  - b\n  + c\n");
    }
}
