//! Checks that listings fit into the width of a page, so that no reader has to scroll
//! sideways.

use kiste_book::fences::{self, Piece};
use kiste_book::listing;

use super::pages::{Book, Page};

/// Checks that no line of a listing, as the preprocessor leaves it, is wider than a
/// page.
pub fn check(book: &Book) -> Vec<String> {
    let pages = book.pages.iter().filter(|page| page.path.starts_with("book"));
    pages.flat_map(|page| too_wide(book, page)).collect()
}

fn too_wide(book: &Book, page: &Page) -> Vec<String> {
    let mut problems = Vec::new();
    let page_text = with_includes(book, page);
    for piece in fences::split(&page_text) {
        let Piece::Fence(fence) = piece else { continue };
        let lines = match fence.label() {
            // Typed text is wrapped, and output is shown as it is.
            "console" | "sh" => continue,
            "rust" => listing::shown(&fence.lines),
            _ => fence.lines,
        };
        for line in lines {
            let columns = line.chars().count();
            if columns > listing::COLUMNS {
                let max = listing::COLUMNS;
                problems.push(format!(
                    "{}: {columns} columns, and a page shows {max}: {}",
                    page.path.display(),
                    line.trim()
                ));
            }
        }
    }
    problems
}

/// Returns the page with its includes, as mdBook hands it to the preprocessor.
pub fn with_includes(book: &Book, page: &Page) -> String {
    let lines = page.text.lines().flat_map(|line| {
        let include = line.trim().strip_prefix("{{#include ");
        let include = include.and_then(|rest| rest.strip_suffix("}}"));
        match include.and_then(|include| include.split_once(':')) {
            Some((path, anchor)) => {
                lines_of_anchor(&book.read(&page.resolve(path)), anchor)
            }
            None => vec![line.to_string()],
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the lines between the marks of an anchor.
fn lines_of_anchor(source: &str, anchor: &str) -> Vec<String> {
    let has_mark = |line: &str, mark: &str| {
        let name = line.split_once(mark).map(|(_, name)| name.trim());
        name == Some(anchor)
    };
    let lines = source.lines().skip_while(|line| !has_mark(line, "ANCHOR:")).skip(1);
    let lines = lines.take_while(|line| !has_mark(line, "ANCHOR_END:"));
    let lines = lines.filter(|line| !line.contains("ANCHOR"));
    lines.map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const PAGE: (&str, &str) = (
        "book/src/01-uts.md",
        "```rust,ignore\n{{#include ../../steps/01-uts/src/lib.rs:name}}\n```\n",
    );
    const SOURCE: &str = "steps/01-uts/src/lib.rs";

    fn source(line: &str) -> String {
        let wide = "x".repeat(100);
        format!("// {wide}\n// ANCHOR: name\n{line}\n// ANCHOR_END: name\n// {wide}\n")
    }

    #[test]
    fn an_included_line_that_is_too_wide_is_found() {
        let source = source(&format!("// {}", "x".repeat(86)));
        refuses(check, &[PAGE, (SOURCE, &source)], "01-uts.md: 89 columns");
    }

    #[test]
    fn a_line_is_measured_as_it_is_shown() {
        let method = source(&format!("    // {}", "ü".repeat(85)));
        accepts(check, &[PAGE, (SOURCE, &method)]);
        let errors =
            source(&format!("/// # Errors\n/// {}\nfn f() {{}}", "x".repeat(99)));
        accepts(check, &[PAGE, (SOURCE, &errors)]);
    }

    #[test]
    fn text_blocks_are_measured_and_commands_are_not() {
        let page = |label| format!("```{label}\n{}\n```\n", "x".repeat(89));
        refuses(check, &[("book/src/a.md", &page("text"))], "a.md: 89 columns");
        accepts(check, &[("book/src/a.md", &page("console"))]);
        accepts(check, &[("book/src/a.md", &page("sh"))]);
    }
}
