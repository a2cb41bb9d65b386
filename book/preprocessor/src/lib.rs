//! Turns the Markdown that authors write into the Markdown that mdBook renders:
//! listings become narrower, typed and printed text in transcripts differ, pictures
//! scroll. `book/look/` has the style and the script for that.

pub mod fences;
pub mod listing;
pub mod minutes;
pub mod picture;
pub mod transcript;

use fences::{Fence, Piece};
use transcript::Terminals;

/// Changes one page, in which mdBook has already replaced the includes.
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

/// Returns the lines of a fence as mdBook gets them.
fn rewrite_fence(fence: &Fence<'_>, terminals: &Terminals) -> Vec<String> {
    let lines = match fence.label() {
        "console" => transcript::html(fence, terminals),
        "rust" => fence.with_lines(&listing::shown(&fence.lines)),
        _ => fence.with_lines(&fence.lines),
    };
    lines.into_iter().map(|line| format!("{}{line}", fence.indent)).collect()
}
