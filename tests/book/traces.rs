//! Checks the recorded narrations that the chapters play: their lines of code are in the
//! sources, and its chapter shows each.

use std::collections::BTreeSet;
use std::path::Path;

use kiste_book::trace::{self, DIR, Trace};
use kiste_course::checkout::files_below;

use super::pages::Book;

/// Checks that each recording is shown by the chapter of its name, and that its lines of
/// code are in the sources.
pub fn check(book: &Book) -> Vec<String> {
    let files = files_below(&book.root.join(DIR)).unwrap_or_default();
    let mut problems = Vec::new();
    let mut recorded = BTreeSet::new();
    for file in files {
        let path = file.strip_prefix(&book.root).expect("below the workspace");
        let name = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
        let trace: Trace = match serde_json::from_str(&book.read(path)) {
            Ok(trace) => trace,
            Err(error) => {
                problems.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        for (number, call) in trace.calls.iter().enumerate() {
            let text = book.read(Path::new(&call.line.at));
            if trace::lines_of(&text, &call.code).is_empty() {
                problems.push(format!(
                    "{}:{}: {} does not contain `{}`; record the run again \
                     (book/README.md)",
                    path.display(),
                    number + 2,
                    call.line.at,
                    call.code.join(" ")
                ));
            }
        }
        recorded.insert(name);
    }
    for page in &book.pages {
        for name in page.text.lines().filter_map(trace::directive) {
            let is_own = page.path.file_stem().is_some_and(|stem| stem == name);
            if !is_own || !recorded.remove(name) {
                problems.push(page.at(1, format!("no recording {name} for this page")));
            }
        }
    }
    problems.extend(recorded.iter().map(|it| format!("{DIR}/{it}.json: not shown")));
    problems
}

/// Returns the names of all recordings.
pub fn names(workspace: &Path) -> Vec<String> {
    let files = files_below(&workspace.join(DIR)).unwrap_or_default();
    let stems = files.iter().filter_map(|file| file.file_stem()?.to_str());
    stems.map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const PAGE: (&str, &str) = ("book/src/03-mount.md", "{{#trace 03-mount}}\n");
    const SOURCE: (&str, &str) =
        ("steps/03-mount/src/lib.rs", "fn f() {\n    g()\n}\n");
    const RECORDING: (&str, &str) = (
        "book/src/traces/03-mount.json",
        r#"{"command": "", "calls": [{"who": "parent", "call": "g", "args": "",
            "result": "0", "why": "", "at": "steps/03-mount/src/lib.rs",
            "code": ["g()"]}]}"#,
    );

    #[test]
    fn a_recording_that_its_chapter_shows_is_accepted() {
        accepts(check, &[PAGE, SOURCE, RECORDING]);
    }

    #[test]
    fn a_page_without_its_recording_is_found() {
        refuses(check, &[PAGE], "03-mount.md:1: no recording 03-mount for this page");
        let other = ("book/src/04-pivot-root.md", PAGE.1);
        refuses(check, &[PAGE, other, SOURCE, RECORDING], "04-pivot-root.md:1: no");
    }

    #[test]
    fn a_recording_that_no_page_shows_is_found() {
        refuses(check, &[SOURCE, RECORDING], "03-mount.json: not shown");
    }

    #[test]
    fn code_that_has_changed_is_found() {
        let source = (SOURCE.0, "fn f() {\n    h()\n}\n");
        refuses(check, &[PAGE, source, RECORDING], "lib.rs does not contain `g()`");
    }
}
