//! The tasks as a chapter asks for them: ``**Task 1.2** — `steps/01-uts/src/lib.rs`,
//! `fn set_hostname`: … (8 minutes)``, on one line and the indented lines below.

use std::path::PathBuf;

/// A task on a page.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its number: `1.2`.
    pub number: String,
    /// How long it takes.
    pub minutes: u32,
    /// The file of its function.
    pub file: PathBuf,
    /// The name of its function.
    pub function: String,
    /// The text of the task.
    pub what: String,
}

/// Reads the tasks from numbered lines. The line of each comes with it, and `None` for a
/// task that does not have this form.
pub fn tasks(lines: &[(usize, &str)]) -> Vec<(usize, Option<Asked>)> {
    let begins = |&(_, (_, text)): &(usize, &(usize, &str))| text.contains("**Task ");
    let places = lines.iter().enumerate().filter(begins);
    places.map(|(place, (line, _))| (*line, task(&lines[place..]))).collect()
}

/// Reads the task that begins in the first of these lines.
fn task(lines: &[(usize, &str)]) -> Option<Asked> {
    let mut texts = lines.iter().map(|(_, text)| *text);
    let first = texts.next()?;
    let more = texts.take_while(|text| text.starts_with("  "));
    let words: Vec<_> = [first].into_iter().chain(more).map(str::trim).collect();
    let text = words.join(" ");
    let (_, text) = text.split_once("**Task ")?;
    let (text, minutes) = text.strip_suffix(" minutes)")?.rsplit_once(" (")?;
    let (number, rest) = text.split_once("** — `")?;
    let (file, rest) = rest.split_once("`, `fn ")?;
    let (function, what) = rest.split_once("`:")?;
    Some(Asked {
        number: number.into(),
        minutes: minutes.parse().ok()?,
        file: file.into(),
        function: function.rsplit("::").next()?.into(),
        what: what.trim().into(),
    })
}

#[test]
fn a_task_has_its_place_its_minutes_and_a_text_of_several_lines() {
    let page = "The tasks:\n\n1. **Task 2.1** — `a.rs`, `fn A::run`: spawn\n   the child.\n   \
                (8 minutes)\n2. **Task 2.2** — `b.rs`, `fn reap`: reap\n\nMore.\n";
    let lines: Vec<_> = (1..).zip(page.lines()).collect();
    let first = Asked {
        number: "2.1".into(),
        minutes: 8,
        file: "a.rs".into(),
        function: "run".into(),
        what: "spawn the child.".into(),
    };
    assert_eq!(tasks(&lines), [(3, Some(first)), (6, None)]);
}
