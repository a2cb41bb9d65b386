//! Reads from a chapter what it says of a task.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Returns what a chapter asks for: the text after ``**Task 2.4** — `file`, `fn name`:``.
///
/// # Errors
/// When the chapter cannot be read, or has no such task.
pub fn statement(workspace: &Path, step: &str, number: &str) -> Result<String> {
    let path = workspace.join(format!("book/src/{step}.md"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    parse(&text, number)
        .with_context(|| format!("{} has no task {number}", path.display()))
}

/// Names the section of the page that leads to the task.
pub fn section(step: &str) -> String {
    format!("book/src/{step}.md, “Build it”")
}

fn parse(page: &str, number: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("**Task {number}** — "))?;
    let (_, rest) = rest.split_once("`:")?;
    let is_next = |line: &str| {
        line.trim().is_empty()
            || line.trim_start().starts_with(|ch: char| ch.is_ascii_digit())
    };
    let mut lines = rest.lines();
    let first = lines.next()?.trim();
    let more = lines.take_while(|line| !is_next(line)).map(str::trim);
    let words: Vec<_> = [first].into_iter().chain(more).collect();
    let text = words.join(" ");
    // The minutes stand beside it anyway.
    let text = text
        .rsplit_once(" (")
        .filter(|(_, end)| end.contains("minute"))
        .map_or(&*text, |(text, _)| text);
    Some(text.trim().to_owned())
}

#[test]
fn the_statement_of_a_task_may_have_several_lines() {
    let page = "The tasks:\n\n1. **Task 2.1** — `a.rs`,\n   `fn run`: spawn\n   the child.\n\
                2. **Task 2.2** — `b.rs`, `fn reap`: reap (8 minutes)\n\nMore.\n";
    assert_eq!(parse(page, "2.1").unwrap(), "spawn the child.");
    assert_eq!(parse(page, "2.2").unwrap(), "reap");
    assert_eq!(parse(page, "2.3"), None);
}
