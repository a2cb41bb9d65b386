//! The source code of a narrated call, for people who read the two side by side.

use std::panic::Location;
use std::path::Path;

use crate::failure::escape_control_characters;
use crate::file::read_document;

/// The most lines that are shown of one statement.
const MAX_LINES: usize = 6;

/// The most characters that are shown of one line. Lines of the workspace have 100.
const MAX_COLUMNS: usize = 200;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Formats the place of a call, relative to the workspace: `steps/01-uts/src/lib.rs:47`.
pub(crate) fn place(caller: &Location<'_>) -> String {
    let file = match caller.file().rsplit_once("steps/") {
        Some((_, below)) => format!("steps/{below}"),
        None => caller.file().to_string(),
    };
    format!("{file}:{}", caller.line())
}

/// Reads the statement at a place from the workspace in which this program was built.
/// None if the workspace is gone.
pub fn statement_at(place: &str) -> Option<Vec<String>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.parent()?;
    statement_below(workspace, place)
}

/// Reads the statement at a place below a directory. Anybody may have put a file there
/// since the build, or a FIFO.
fn statement_below(workspace: &Path, place: &str) -> Option<Vec<String>> {
    let (file, line) = place.rsplit_once(':')?;
    let text = read_document(&workspace.join(file), MAX_FILE).ok()?;
    statement(str::from_utf8(&text).ok()?, line.parse().ok()?)
}

/// Returns the statement that begins in this line, which counts from 1: up to the line
/// that closes its last bracket. None if the text has no such line.
///
/// The lines lose the indent of the first one, and cannot steer a terminal. A statement
/// with more than six lines is cut: where a block begins, such as the closure of a
/// child's work, or after six lines.
pub fn statement(text: &str, line: usize) -> Option<Vec<String>> {
    let lines = text.lines().skip(line.checked_sub(1)?);
    let mut statement = Vec::new();
    let (mut indent, mut open) = (None, 0);
    for line in lines.take(MAX_LINES) {
        let own = line.len() - line.trim_start().len();
        let indent = *indent.get_or_insert(own);
        // The indents may be of different spaces, one of which is longer than a byte.
        let shown = line.get(indent.min(own)..).unwrap_or(line).trim_end();
        let shown: String = shown.chars().take(MAX_COLUMNS).collect();
        statement.push(escape_control_characters(&shown));
        open += line.matches(['(', '{', '[']).count() as isize;
        open -= line.matches([')', '}', ']']).count() as isize;
        if open <= 0 {
            return Some(statement);
        }
    }
    if let Some(block) = statement.iter().position(|line| line.ends_with('{')) {
        statement.truncate(block + 1);
    }
    Some(statement).filter(|statement| !statement.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "fn f() {\n    call(\"a\", || {\n        g()\n    })?;\n    h();\n}\n";

    #[test]
    fn a_statement_ends_with_its_last_bracket() {
        let statement = |line| statement(TEXT, line).unwrap_or_default();
        assert_eq!(statement(2), ["call(\"a\", || {", "    g()", "})?;"]);
        assert_eq!(statement(5), ["h();"]);
        assert_eq!(statement(7), [""; 0]);
        assert_eq!(statement(0), [""; 0]);
    }

    #[test]
    fn a_long_statement_is_cut_where_a_block_begins() {
        let long = format!(".spawn(|child| {{\n{}}})?;\n", "    work()?;\n".repeat(9));
        assert_eq!(statement(&long, 1).unwrap(), [".spawn(|child| {"]);
        let long = format!("call(\n{})?;\n", "    1,\n".repeat(9));
        assert_eq!(statement(&long, 1).unwrap().len(), 6);
    }

    #[test]
    fn the_place_of_a_call_leads_to_its_code() {
        let place = place(Location::caller());
        assert!(place.starts_with("steps/00-kit/src/source.rs:"), "{place}");
        let code = statement_at(&place).unwrap();
        assert_eq!(code, ["let place = place(Location::caller());"]);
        assert_eq!(statement_at("steps/no-such.rs:1"), None);
    }

    #[test]
    fn a_file_that_is_no_source_neither_hangs_nor_steers_the_terminal() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name| scratch.path().join(name);
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        std::fs::write(path("escapes"), "\u{1b}[2J\n").unwrap();
        std::fs::write(path("long"), "x".repeat(1 << 20)).unwrap();
        std::fs::write(path("longer"), "x".repeat((1 << 20) + 1)).unwrap();
        let first_line =
            |name: &str| statement_below(scratch.path(), &format!("{name}:1"));
        for name in ["fifo", "zero", "longer"] {
            assert_eq!(first_line(name), None, "{name}");
        }
        assert_eq!(statement(" f(\n\u{3000})\n", 1).unwrap(), ["f(", "\u{3000})"]);
        assert_eq!(first_line("escapes").unwrap(), [r"\u{1b}[2J"]);
        assert_eq!(first_line("long").unwrap(), ["x".repeat(200)]);
    }
}
