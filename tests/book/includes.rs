//! Checks the include anchors, by which pages show code without a copy of it. mdbook
//! itself does not report a missing anchor.

use std::path::PathBuf;

use super::pages::{Book, Page};

/// An `{{#include PATH:ANCHOR}}` on a page.
struct Include {
    line: usize,
    path: PathBuf,
    anchor: Option<String>,
}

/// An anchor in a file. It must be opened once, and closed once below that.
struct Anchor {
    name: String,
    /// The lines that open it.
    opened: Vec<usize>,
    /// The lines that close it.
    closed: Vec<usize>,
}

/// Checks that every include names an existing file, and an anchor that is opened and
/// closed in it.
pub fn check_includes(book: &Book) -> Vec<String> {
    let mut problems = Vec::new();
    for page in &book.pages {
        for include in includes(page) {
            problems.extend(
                problem_with(book, &include).map(|what| page.at(include.line, what)),
            );
        }
    }
    problems
}

fn problem_with(book: &Book, include: &Include) -> Option<String> {
    let file = include.path.display();
    if !book.root.join(&include.path).is_file() {
        return Some(format!("the included file {file} does not exist"));
    }
    let anchor = include.anchor.as_ref()?;
    if anchor.starts_with(|first: char| first.is_ascii_digit()) || anchor.contains(':')
    {
        return Some(format!(
            "{file}:{anchor} includes by line number: lines move, use an anchor"
        ));
    }
    let anchors = anchors(&book.read(&include.path));
    match anchors.iter().find(|known| known.name == *anchor) {
        Some(_) => None,
        None => Some(format!("{file} has no `ANCHOR: {anchor}`")),
    }
}

/// Checks that every anchor in the steps is well-formed, and shown on a page.
pub fn check_anchors(book: &Book) -> Vec<String> {
    let shown: Vec<_> = book.pages.iter().flat_map(includes).collect();
    let mut problems = Vec::new();
    for path in book.step_sources() {
        for Anchor { name, opened, closed } in anchors(&book.read(&path)) {
            let at = format!(
                "{}:{}",
                path.display(),
                opened.first().or(closed.first()).unwrap_or(&0)
            );
            let is_shown = |include: &Include| {
                include.path == path && include.anchor.as_deref() == Some(name.as_str())
            };
            match (&opened[..], &closed[..]) {
                ([start], [end]) if start < end => {
                    if !shown.iter().any(is_shown) {
                        problems.push(format!("{at}: no page shows the anchor `{name}`"));
                    }
                }
                _ => problems.push(format!(
                    "{at}: `{name}` must be opened (ANCHOR) once and closed (ANCHOR_END) once after it"
                )),
            }
        }
    }
    problems
}

fn includes(page: &Page) -> Vec<Include> {
    let mut includes = Vec::new();
    for (line, text) in (1..).zip(page.text.lines()) {
        for (at, _) in text.match_indices("{{#") {
            let rest = &text[at + 3..];
            let escaped = text[..at].ends_with('\\');
            let Some((directive, _)) = rest.split_once("}}") else { continue };
            let Some((kind, target)) = directive.trim().split_once(' ') else {
                continue;
            };
            if escaped || !["include", "rustdoc_include", "playground"].contains(&kind)
            {
                continue;
            }
            let (path, anchor) = match target.trim().split_once(':') {
                Some((path, anchor)) => (path, Some(anchor.to_string())),
                None => (target.trim(), None),
            };
            includes.push(Include { line, path: page.resolve(path), anchor });
        }
    }
    includes
}

fn anchors(source: &str) -> Vec<Anchor> {
    let mut anchors = Vec::<Anchor>::new();
    for (line, text) in (1..).zip(source.lines()) {
        for (mark, opens) in [("ANCHOR:", true), ("ANCHOR_END:", false)] {
            let Some((_, name)) = text.split_once(mark) else { continue };
            let name = name.split_whitespace().next().unwrap_or_default().to_string();
            let known = anchors.iter().position(|anchor| anchor.name == name);
            let index = known.unwrap_or_else(|| {
                anchors.push(Anchor { name, opened: Vec::new(), closed: Vec::new() });
                anchors.len() - 1
            });
            let anchor = &mut anchors[index];
            if opens { anchor.opened.push(line) } else { anchor.closed.push(line) }
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{check_anchors, check_includes};

    const PAGE: &str = "book/src/01-uts.md";
    const SOURCE: &str = "steps/01-uts/src/lib.rs";
    const SHOWN: &str =
        "```rust\n{{#include ../../steps/01-uts/src/lib.rs:name}}\n```\n";
    const ANCHORED: &str = "// ANCHOR: name\nfn f() {}\n// ANCHOR_END: name\n";

    #[test]
    fn an_anchor_that_is_shown_is_accepted() {
        accepts(check_includes, &[(PAGE, SHOWN), (SOURCE, ANCHORED)]);
        accepts(check_anchors, &[(PAGE, SHOWN), (SOURCE, ANCHORED)]);
        accepts(check_includes, &[(PAGE, "\\{{#include nowhere.rs}}\n")]);
    }

    #[test]
    fn a_missing_file_is_found() {
        refuses(check_includes, &[(PAGE, SHOWN)], "01-uts.md:2: the included file");
    }

    #[test]
    fn a_missing_anchor_is_found() {
        refuses(
            check_includes,
            &[(PAGE, SHOWN), (SOURCE, "fn f() {}\n")],
            "no `ANCHOR: name`",
        );
    }

    #[test]
    fn an_include_by_line_numbers_is_found() {
        let page = SHOWN.replace(":name", ":3:9");
        refuses(check_includes, &[(PAGE, &page), (SOURCE, ANCHORED)], "by line number");
    }

    #[test]
    fn an_anchor_that_no_page_shows_is_found() {
        refuses(
            check_anchors,
            &[(SOURCE, ANCHORED)],
            "lib.rs:1: no page shows the anchor `name`",
        );
    }

    #[test]
    fn an_anchor_that_is_never_closed_is_found() {
        let source = "// ANCHOR: name\n";
        refuses(check_anchors, &[(PAGE, SHOWN), (SOURCE, source)], "must be opened");
    }
}
