//! Turns the Markdown that authors write into the Markdown that mdBook renders:
//! listings become narrower, typed and printed text in transcripts differ, pictures
//! scroll, recorded kernel calls become a table, the tools of the tasks are listed, and a
//! staircase shows how far the reader has come.
//! `book/look/` has the style and the scripts for that.

pub mod fences;
pub mod listing;
pub mod minutes;
pub mod picture;
pub mod staircase;
pub mod tools;
pub mod trace;
pub mod transcript;

use std::error::Error;
use std::fs;
use std::path::Path;

use kiste_course::tasks::Chapter;
pub use kit::source::statement;

use fences::{Fence, Piece};
use transcript::Terminals;

/// Changes one page of the book in this workspace.
///
/// # Errors
/// When the page names a recording, a table of tasks or a step that cannot be read.
pub fn page_of(workspace: &Path, markdown: &str) -> Result<String, Box<dyn Error>> {
    let mut lines = Vec::new();
    for line in page(markdown).lines() {
        if let Some(name) = trace::directive(line) {
            lines.extend(trace::table(workspace, name)?);
        } else if let Some(step) = tools::step(line) {
            let chapter = Chapter::below(workspace, step);
            lines.extend(tools::shown(&chapter.map_err(|it| format!("{it:#}"))?));
        } else if let Some(step) = staircase::step(line) {
            lines.extend(staircase_to(step, workspace)?);
        } else {
            lines.push(line.to_string());
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

fn staircase_to(step: &str, workspace: &Path) -> Result<Vec<String>, String> {
    let path = workspace.join(staircase::PICTURE);
    let svg = fs::read_to_string(&path).map_err(|error| error.to_string());
    svg.and_then(|svg| staircase::shown(&svg, step))
        .map_err(|error| format!("{}: {step}: {error}", path.display()))
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
