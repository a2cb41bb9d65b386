//! Checks that SUMMARY.md lists exactly the pages of the book.

use std::path::{Path, PathBuf};

use super::markdown;
use super::pages::Book;

const SUMMARY: &str = "book/src/SUMMARY.md";

/// Checks that every page that the summary lists exists, and that every page is listed
/// once.
pub fn check(book: &Book) -> Vec<String> {
    let Some(summary) = book.page(Path::new(SUMMARY)) else {
        return vec![format!("{SUMMARY} is missing")];
    };
    let (_, prose) = markdown::split(&summary.text);
    let mut listed = Vec::<PathBuf>::new();
    let mut problems = Vec::new();
    for link in markdown::links(&prose) {
        let path = summary.resolve(&link.target);
        if book.page(&path).is_none() {
            problems.push(
                summary.at(link.line, format!("{} does not exist", path.display())),
            );
        }
        if listed.contains(&path) {
            problems.push(
                summary.at(link.line, format!("{} is listed twice", path.display())),
            );
        }
        listed.push(path);
    }
    let pages = book.pages.iter().filter(|page| page.path.starts_with("book/src"));
    for page in pages.filter(|page| page.path != Path::new(SUMMARY)) {
        if !listed.contains(&page.path) {
            problems.push(page.at(1, "the page is not listed in SUMMARY.md"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{SUMMARY, check};

    const LISTED: &str = "# Summary\n\n- [One](one.md)\n";

    #[test]
    fn a_complete_summary_is_accepted() {
        accepts(check, &[(SUMMARY, LISTED), ("book/src/one.md", "# One\n")]);
    }

    #[test]
    fn a_listed_page_that_is_missing_is_found() {
        refuses(
            check,
            &[(SUMMARY, LISTED)],
            "SUMMARY.md:3: book/src/one.md does not exist",
        );
    }

    #[test]
    fn a_page_that_is_not_listed_is_found() {
        let pages =
            [(SUMMARY, LISTED), ("book/src/one.md", ""), ("book/src/two.md", "")];
        refuses(check, &pages, "book/src/two.md:1: the page is not listed");
    }

    #[test]
    fn a_page_that_is_listed_twice_is_found() {
        let twice = format!("{LISTED}- [Again](one.md)\n");
        refuses(
            check,
            &[(SUMMARY, &twice), ("book/src/one.md", "")],
            "is listed twice",
        );
    }

    #[test]
    fn a_missing_summary_is_found() {
        refuses(check, &[], "SUMMARY.md is missing");
    }
}
