//! Checks that links and pictures lead to existing files and headings. External
//! addresses are not fetched, only parsed.

use std::path::Path;

use super::markdown::{self, Link};
use super::pages::{Book, Page};

/// Checks every link of every page.
pub fn check(book: &Book) -> Vec<String> {
    let mut problems = Vec::new();
    for page in &book.pages {
        let (_, prose) = markdown::split(&page.text);
        for link in markdown::links(&prose) {
            problems.extend(
                problem_with(book, page, &link).map(|what| page.at(link.line, what)),
            );
        }
        let defined: Vec<_> =
            prose.iter().filter_map(|(_, text)| markdown::definition(text)).collect();
        for (line, text) in &prose {
            for label in markdown::labels_used(text) {
                if !defined.iter().any(|(known, _)| *known == label) {
                    problems.push(
                        page.at(
                            *line,
                            format!("the link label [{label}] is not defined"),
                        ),
                    );
                }
            }
        }
    }
    problems
}

fn problem_with(book: &Book, page: &Page, link: &Link) -> Option<String> {
    let target = link.target.as_str();
    if target.contains("://") {
        return problem_with_address(target);
    }
    let (path, id) = match target.split_once('#') {
        Some((path, id)) => (path, Some(id)),
        None => (target, None),
    };
    let path = if path.is_empty() { page.path.clone() } else { page.resolve(path) };
    if !book.root.join(&path).exists() {
        return Some(format!("{target} does not exist"));
    }
    // Only book/src is published. The README is read in the repository, where every
    // path exists.
    if page.path.starts_with("book/src") && !path.starts_with("book/src") {
        return Some(format!(
            "{target} lies outside book/src: name the file instead of linking it"
        ));
    }
    problem_with_id(book, &path, id?)
}

fn problem_with_id(book: &Book, path: &Path, id: &str) -> Option<String> {
    let Some(page) = book.page(path) else {
        return Some(format!("{} is not a page, so it has no #{id}", path.display()));
    };
    let (_, prose) = markdown::split(&page.text);
    // A script makes slides of a chapter.
    let is_slides = id == "slides" && page.number().is_some();
    let known = is_slides || markdown::ids(&prose).iter().any(|known| known == id);
    (!known).then(|| format!("{} has no heading #{id}", path.display()))
}

/// Checks an external address: it must be https, and its host must contain a dot.
fn problem_with_address(address: &str) -> Option<String> {
    let Some(rest) = address.strip_prefix("https://") else {
        return Some(format!("{address} is not an https address"));
    };
    let host = rest.split(['/', '#', '?']).next().unwrap_or_default();
    let has_valid_letters = |host: &str| {
        host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b))
    };
    let well_formed = host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && has_valid_letters(host)
        && !address.contains(char::is_whitespace);
    (!well_formed).then(|| format!("{address} is not a well-formed address"))
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const ONE: &str = "book/src/one.md";
    const TWO: (&str, &str) = ("book/src/two.md", "# Two\n\n## What now?\n");

    #[test]
    fn links_that_resolve_are_accepted() {
        let page = "# One\n[two](two.md#what-now) [here](#one) [ls](https://man7.org/a.html#X) [a][b]\n\n[b]: two.md\n";
        accepts(check, &[(ONE, page), TWO]);
        accepts(check, &[("README.md", "[step](steps/a.rs)\n"), ("steps/a.rs", "")]);
    }

    #[test]
    fn a_link_to_a_missing_page_is_found() {
        refuses(
            check,
            &[(ONE, "\n[three](three.md)\n"), TWO],
            "one.md:2: three.md does not exist",
        );
    }

    #[test]
    fn a_missing_picture_is_found() {
        refuses(check, &[(ONE, "![x](img/x.svg)\n")], "img/x.svg does not exist");
    }

    #[test]
    fn a_missing_heading_is_found() {
        refuses(
            check,
            &[(ONE, "[two](two.md#what-then)\n"), TWO],
            "no heading #what-then",
        );
    }

    #[test]
    fn a_link_out_of_the_book_is_found() {
        let files = [(ONE, "[code](../../steps/a.rs)\n"), ("steps/a.rs", "")];
        refuses(check, &files, "outside book/src");
    }

    #[test]
    fn an_address_without_https_is_found() {
        refuses(check, &[(ONE, "[a](http://man7.org/)\n")], "not an https address");
    }

    #[test]
    fn a_malformed_address_is_found() {
        refuses(check, &[(ONE, "[a](https://man7/x)\n")], "not a well-formed address");
    }

    #[test]
    fn an_undefined_link_label_is_found() {
        refuses(check, &[(ONE, "[a][b]\n")], "[b] is not defined");
    }
}
