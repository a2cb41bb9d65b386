//! Turns the Markdown that authors write into the Markdown that mdBook renders:
//! listings become narrower, typed and printed text in transcripts differ, pictures
//! scroll, recorded kernel calls become a table, and the tools of the tasks are listed.
//! `book/look/` has the style and the scripts for that.

pub mod fences;
pub mod listing;
pub mod minutes;
pub mod picture;
pub mod tools;
pub mod trace;
pub mod transcript;

use std::error::Error;
use std::fs;
use std::path::Path;

pub use kit::source::statement;

use fences::{Fence, Piece};
use transcript::Terminals;

/// Changes one page of the book in this workspace.
///
/// # Errors
/// When the page names a recording or a table of tasks that cannot be read.
pub fn page_of(workspace: &Path, markdown: &str) -> Result<String, Box<dyn Error>> {
    let mut lines = Vec::new();
    for line in page(markdown).lines() {
        match (trace::directive(line), tools::step(line)) {
            (Some(name), _) => lines.extend(trace::table(workspace, name)?),
            (None, Some(step)) => lines.extend(tools_of(step, workspace)?),
            (None, None) => lines.push(line.to_string()),
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Changes all that needs only the page itself, in which mdBook has already replaced the
/// includes.
pub fn page(markdown: &str) -> String {
    let pieces = fences::split(markdown);
    let mut terminals = Terminals::of(&pieces);
    let mut page = Vec::new();
    for piece in &pieces {
        match piece {
            Piece::Prose(lines) => {
                terminals.count_sections(lines);
                page.extend(picture::framed(lines).into_iter().map(minutes::shown));
            }
            Piece::Fence(fence) => page.extend(rewrite_fence(fence, &terminals)),
        }
    }
    page.join("\n") + "\n"
}

fn tools_of(step: &str, workspace: &Path) -> Result<Vec<String>, String> {
    let path = workspace.join("tests/tasks").join(step).with_extension("toml");
    let table = fs::read_to_string(&path).map_err(|error| error.to_string());
    table
        .and_then(|table| tools::shown(&table))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the lines of a fence as mdBook gets them.
fn rewrite_fence(fence: &Fence<'_>, terminals: &Terminals) -> Vec<String> {
    let lines = match fence.label() {
        "console" => transcript::html(fence, terminals),
        "rust" => fence.with_lines(&listing::shown(&fence.lines)),
        _ => fence.with_lines(&fence.lines),
    };
    lines.into_iter().map(|line| format!("{}{line}", fence.indent)).collect()
}
