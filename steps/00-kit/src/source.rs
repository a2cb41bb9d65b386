//! The source code of a narrated call, for people who read the two side by side.

use std::panic::Location;
use std::path::Path;

/// The most lines that are shown of one statement.
const MAX_LINES: usize = 6;

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
    let (file, line) = place.rsplit_once(':')?;
    let text = std::fs::read_to_string(workspace.join(file)).ok()?;
    statement(&text, line.parse().ok()?)
}

/// Returns the statement that begins in this line, which counts from 1: up to the line
/// that closes its last bracket. None if the text has no such line.
///
/// The lines lose the indent of the first one. A statement with more than six lines is
/// cut: where a block begins, such as the closure of a child's work, or after six lines.
pub fn statement(text: &str, line: usize) -> Option<Vec<String>> {
    let lines = text.lines().skip(line.checked_sub(1)?);
    let mut statement = Vec::new();
    let (mut indent, mut open) = (None, 0);
    for line in lines.take(MAX_LINES) {
        let own = line.len() - line.trim_start().len();
        let indent = *indent.get_or_insert(own);
        statement.push(line[indent.min(own)..].trim_end().to_string());
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
}
