//! Reads from a chapter what it says of a task.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use kiste_course::tasks::page;

/// Returns what a chapter asks for: the text after ``**Task 2.4** — `file`, `fn name`:``.
///
/// # Errors
/// When the chapter cannot be read, or has no such task.
pub fn statement(workspace: &Path, step: &str, number: &str) -> Result<String> {
    let path = workspace.join(format!("book/src/{step}.md"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines: Vec<_> = (1..).zip(text.lines()).collect();
    let mut tasks = page::tasks(&lines).into_iter().filter_map(|(_, task)| task);
    let task = tasks.find(|task| task.number == number);
    Ok(task.with_context(|| format!("{} has no task {number}", path.display()))?.what)
}

/// Names the section of the page that leads to the task.
pub fn section(step: &str) -> String {
    format!("book/src/{step}.md, “Build it”")
}
