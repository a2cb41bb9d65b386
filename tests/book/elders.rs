//! Checks the page "Better than its elders": a test of Kiste holds each row, and
//! `tests/elders/run` can try the row again.
//!
//! A row of a table begins with the name of its situation: ``| `ghost-files` | …``. Its
//! test stands in a list: ``- `ghost-files`: `tests/07_image/whiteouts.rs`,
//! `a_whiteout_…` ``. The situation is a function of that name in `tests/elders/*.sh`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::markdown;
use super::pages::{Book, Page};

pub const PAGE: &str = "book/src/elders.md";

/// The scripts of the situations.
const SCRIPTS: &str = "tests/elders";

const HOW: &str =
    "write a line of the list as - `situation`: `tests/…/file.rs`, `test`";

/// Checks that every row of the page has a test that exists and a situation that can be
/// tried, and that every situation has a row.
pub fn check(book: &Book) -> Vec<String> {
    let Some(page) = book.page(Path::new(PAGE)) else { return Vec::new() };
    let (_, prose) = markdown::split(&page.text);
    let rows = named_lines(&prose, "| `");
    let tests = named_lines(&prose, "- `");
    let situations = situations(book);
    let mut problems = Vec::new();
    for (name, (line, _)) in &rows {
        if !tests.contains_key(name) {
            problems.push(page.at(*line, format!("no test is listed for `{name}`")));
        }
        if !situations.contains(&(*name).to_owned()) {
            problems.push(
                page.at(*line, format!("{SCRIPTS}/*.sh have no function `{name}`")),
            );
        }
    }
    for (name, (line, rest)) in &tests {
        if !rows.contains_key(name) {
            problems.push(page.at(*line, format!("`{name}` is in no table")));
        }
        problems.extend(problem_with_tests(book, page, *line, rest));
    }
    for name in situations.iter().filter(|name| !rows.contains_key(name.as_str())) {
        problems.push(page.at(1, format!("the situation `{name}` is in no table")));
    }
    problems
}

/// Returns the lines that begin so, by the name that follows, with the rest of the line.
/// A name of a situation has a hyphen.
fn named_lines<'a>(
    prose: &[markdown::Line<'a>],
    start: &str,
) -> BTreeMap<&'a str, (usize, &'a str)> {
    let named = prose.iter().filter_map(|(line, text)| {
        let (name, rest) = text.strip_prefix(start)?.split_once('`')?;
        name.contains('-').then_some((name, (*line, rest)))
    });
    named.collect()
}

/// Checks that a line of the list names a file and tests that are in it.
fn problem_with_tests(
    book: &Book,
    page: &Page,
    line: usize,
    rest: &str,
) -> Option<String> {
    let code: Vec<_> = rest.split('`').skip(1).step_by(2).collect();
    let [file, tests @ ..] = &code[..] else { return Some(page.at(line, HOW)) };
    let source = book.read(Path::new(file));
    let is_there = |test: &&str| source.contains(&format!("\nfn {test}() {{"));
    match tests.iter().find(|test| !is_there(test)) {
        Some(test) => Some(page.at(line, format!("{file} has no test `{test}`"))),
        None => tests.is_empty().then(|| page.at(line, HOW)),
    }
}

/// Returns the names of the functions `name() {` that have a hyphen.
fn situations(book: &Book) -> Vec<String> {
    let files = fs::read_dir(book.root.join(SCRIPTS)).into_iter().flatten().flatten();
    let scripts = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|end| end == "sh"));
    let text: String = scripts.map(|path| book.read(&path)).collect();
    let names = text.lines().filter_map(|line| line.strip_suffix("() {"));
    names.filter(|name| name.contains('-')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{PAGE, check};

    const TEST: (&str, &str) = ("tests/07_image/a.rs", "#[test]\nfn it_is_so() {\n}\n");
    const SCRIPT: (&str, &str) =
        ("tests/elders/a.sh", "helper_of_it() {\n}\nghost-files() {\n}\n");
    const ROW: &str = "| `ghost-files` | a | b |\n";
    const LINE: &str = "- `ghost-files`: `tests/07_image/a.rs`, `it_is_so`\n";

    #[test]
    fn a_row_with_a_test_and_a_situation_is_accepted() {
        accepts(check, &[(PAGE, &[ROW, LINE].concat()), TEST, SCRIPT]);
    }

    #[test]
    fn a_row_without_a_test_is_found() {
        refuses(check, &[(PAGE, ROW), TEST, SCRIPT], "elders.md:1: no test is listed");
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        let page = [ROW, &LINE.replace("it_is_so", "it_was_so")].concat();
        refuses(check, &[(PAGE, &page), TEST, SCRIPT], "a.rs has no test `it_was_so`");
    }

    #[test]
    fn a_line_of_the_list_without_a_test_is_found() {
        let page = [ROW, "- `ghost-files`: `tests/07_image/a.rs`\n"].concat();
        refuses(check, &[(PAGE, &page), TEST, SCRIPT], "elders.md:2: write a line");
    }

    #[test]
    fn a_situation_without_a_row_is_found() {
        refuses(check, &[(PAGE, ""), SCRIPT], "`ghost-files` is in no table");
    }

    #[test]
    fn a_row_that_cannot_be_tried_is_found() {
        let page = [ROW, LINE].concat();
        refuses(check, &[(PAGE, &page), TEST], "no function `ghost-files`");
    }
}
