//! Shows the tools of a chapter's tasks: `{{#tools 02-pid}}` on a line of its own
//! becomes a folded table for each task of `tests/tasks/02-pid.toml`.

use kiste_course::tasks::{Chapter, Task, Tool};

/// Returns the step whose tools this line shows: `02-pid`.
pub fn step(line: &str) -> Option<&str> {
    line.strip_prefix("{{#tools ")?.strip_suffix("}}")
}

/// Returns the lines that show the tools of a chapter's tasks.
pub fn shown(chapter: &Chapter) -> Vec<String> {
    chapter.tasks.iter().flat_map(rows).collect()
}

fn rows(task: &Task) -> Vec<String> {
    let summary = format!("Tools of task {}", task.number);
    let head = [
        format!("<details><summary>{summary}</summary>"),
        String::new(),
        "| Name | Effect or value |".into(),
        "|---|---|".into(),
    ];
    let row =
        |tool: &Tool| format!("| `{}` | {} |", cell(&tool.name), cell(&tool.does));
    let end = [String::new(), "</details>".into(), String::new()];
    head.into_iter().chain(task.tools.iter().map(row)).chain(end).collect()
}

/// In a table, `|` ends a cell, even between backticks.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::{shown, step};

    const CHAPTER: &str = "\
[[task]]
number = \"2.4\"
minutes = 8
tests = []
hints = []

[[task.tools]]
name = \"waitpid(None, A | B)\"
does = \"the next child; `Ok(None)` if there is none\"

[[task]]
number = \"2.5\"
minutes = 8
tests = []
hints = []
tools = []
";

    #[test]
    fn each_task_has_a_folded_table() {
        let shown = shown(&CHAPTER.parse().unwrap());
        assert_eq!(
            shown[..7],
            [
                "<details><summary>Tools of task 2.4</summary>",
                "",
                "| Name | Effect or value |",
                "|---|---|",
                "| `waitpid(None, A \\| B)` | the next child; `Ok(None)` if there is none |",
                "",
                "</details>",
            ]
        );
        assert_eq!(shown[8], "<details><summary>Tools of task 2.5</summary>");
    }

    #[test]
    fn only_a_line_of_its_own_is_a_directive() {
        assert_eq!(step("{{#tools 02-pid}}"), Some("02-pid"));
        assert_eq!(step("write {{#tools 02-pid}}"), None);
        assert_eq!(step("{{#include a.rs}}"), None);
    }
}
