//! Checks the names of functions and types in the prose of *Build it*: a listing of
//! that page must show each of them.

use std::collections::BTreeSet;

use super::markdown::{self, Line};
use super::pages::{Book, Page};
use super::width::with_includes;

/// Checks that a name in backquotes under *Build it*, such as `set_names` or `Spawn`,
/// is a word of a Rust listing of that page.
pub fn check(book: &Book) -> Vec<String> {
    book.chapters().flat_map(|page| unknown_names(book, page)).collect()
}

fn unknown_names(book: &Book, page: &Page) -> Vec<String> {
    let (_, prose) = markdown::split(&page.text);
    let shown = with_includes(book, page);
    let (listings, _) = markdown::split(&shown);
    let known: BTreeSet<&str> = listings
        .iter()
        .filter(|fence| fence.info.starts_with("rust"))
        .flat_map(|fence| &fence.lines)
        .flat_map(|line| line.split(|ch: char| !is_word_char(ch)))
        .collect();
    let names = build_it(&prose).iter().flat_map(|(line, text)| {
        // Every second piece is between backquotes.
        text.split('`').skip(1).step_by(2).map(|code| (*line, code))
    });
    names
        .map(|(line, code)| (line, code.trim_end_matches("()")))
        .filter(|(_, name)| is_code_name(name) && !known.contains(name))
        .map(|(line, name)| {
            page.at(line, format!("`{name}` is in no listing of this page"))
        })
        .collect()
}

/// Returns the lines of the section *Build it*.
fn build_it<'a>(prose: &'a [Line<'a>]) -> &'a [Line<'a>] {
    let is_heading = |line: &Line<'_>| line.1.starts_with("## ");
    let Some(start) = prose.iter().position(|line| line.1.starts_with("## Build it"))
    else {
        return &[];
    };
    let rest = &prose[start + 1..];
    &rest[..rest.iter().position(is_heading).unwrap_or(rest.len())]
}

fn is_word_char(ch: char) -> bool {
    ch.is_alphanumeric() || ch == '_'
}

/// Returns whether a name belongs to our code, as `set_names` and `Spawn` do.
/// `CLONE_NEWUTS` belongs to the kernel, and `rmdir` may be anything.
fn is_code_name(name: &str) -> bool {
    let is_name = name.chars().all(is_word_char) && name.contains(char::is_lowercase);
    is_name && (name.contains('_') || name.starts_with(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const PAGE: &str = "book/src/01-uts.md";
    const FILE: (&str, &str) = (
        "steps/01-uts/src/lib.rs",
        "// ANCHOR: a\npub fn set_names() {}\n// ANCHOR_END: a\n",
    );
    const LISTING: &str =
        "```rust,ignore\n{{#include ../../steps/01-uts/src/lib.rs:a}}\n```\n";

    #[test]
    fn a_name_that_is_shown_is_accepted() {
        let text =
            format!("## Build it ▸\n{LISTING}`set_names` calls `CLONE_NEWUTS`.\n");
        accepts(check, &[(PAGE, &text), FILE]);
    }

    #[test]
    fn a_name_that_is_not_shown_is_found() {
        let text = format!("## Build it ▸\n{LISTING}\n`set_name()` does it.\n");
        let words = "01-uts.md:6: `set_name` is in no listing";
        refuses(check, &[(PAGE, &text), FILE], words);
    }

    #[test]
    fn a_name_in_another_section_may_belong_to_another_project() {
        let text = "## Build it ▸\n## What the real ones do\n`libcrun_set_hostname`\n";
        accepts(check, &[(PAGE, text)]);
    }
}
