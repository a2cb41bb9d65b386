//! Checks the labels of code fences, which decide how a block is coloured and whether
//! its commands are run.

use super::markdown;
use super::pages::Book;

/// The labels that a fence may have. `console` is a transcript, whose commands are
/// run (transcript.rs).
const KNOWN: [&str; 12] = [
    "c", "console", "diff", "ini", "json", "markdown", "rust", "sh", "text", "toml",
    "xml", "yaml",
];

/// Checks that every fence has a label from the list.
pub fn check(book: &Book) -> Vec<String> {
    let mut problems = Vec::new();
    for page in &book.pages {
        let (fences, _) = markdown::split(&page.text);
        for fence in fences {
            let label = fence.info.split([',', ' ']).next().unwrap_or_default();
            if label.is_empty() {
                problems.push(page.at(fence.line, "the code fence has no label"));
            } else if !KNOWN.contains(&label) {
                let known = KNOWN.join(", ");
                problems.push(
                    page.at(fence.line, format!("`{label}` is not a label ({known})")),
                );
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    #[test]
    fn known_labels_are_accepted() {
        accepts(
            check,
            &[("book/src/a.md", "```rust,ignore\n```\n```console,root\n$ true\n```\n")],
        );
    }

    #[test]
    fn a_fence_without_a_label_is_found() {
        refuses(
            check,
            &[("book/src/a.md", "\n```\nx\n```\n")],
            "a.md:2: the code fence has no label",
        );
    }

    #[test]
    fn an_unknown_label_is_found() {
        refuses(
            check,
            &[("README.md", "```shell\nx\n```\n")],
            "`shell` is not a label",
        );
    }
}
