//! Checks the numbered tasks: each task of a chapter is marked at its place in the
//! source.
//!
//! In the chapter: ``**Task 1.2** — `steps/01-uts/src/lib.rs`, `fn set_hostname`: … (8
//! minutes)``. The name of the function is on the first line.
//! In that file, directly above that function (attributes may stand between): `// Task
//! 1.2: …`. Above the function, the mark survives when a learner empties the function's
//! body.

use std::path::{Path, PathBuf};

use kiste_course::tasks::page::{self, Asked};
use kiste_course::tasks::{Chapter, Source, Task};

use super::markdown;
use super::pages::{Book, Page};

/// 1.2 is `(1, 2)`: the second task of chapter 1.
type Number = (u32, u32);

/// A task on a page.
struct PageTask {
    number: Number,
    line: usize,
    asked: Asked,
}

/// A `// Task` comment in a source file.
struct Mark {
    number: Number,
    file: PathBuf,
    line: usize,
    /// The function below the mark.
    function: Option<String>,
}

/// Checks that tasks and marks correspond one to one, and are numbered 1, 2, 3, … in
/// each chapter.
pub fn check(book: &Book) -> Vec<String> {
    let marks: Vec<_> =
        book.step_sources().iter().flat_map(|path| marks(book, path)).collect();
    let mut problems = Vec::new();
    let mut numbers_on_pages = Vec::new();
    for page in book.chapters() {
        match tasks(page) {
            Ok(tasks) => {
                problems.extend(misnumbered(page, &tasks));
                for task in &tasks {
                    problems.extend(
                        unmarked(task, &marks).map(|what| page.at(task.line, what)),
                    );
                }
                numbers_on_pages.extend(tasks.iter().map(|task| task.number));
            }
            Err(problem) => problems.push(problem),
        }
    }
    for Mark { number: (chapter, task), file, line, .. } in
        marks.iter().filter(|mark| !numbers_on_pages.contains(&mark.number))
    {
        let at = format!("{}:{line}", file.display());
        problems.push(format!(
            "{at}: chapter {chapter} does not ask for task {chapter}.{task}"
        ));
    }
    problems
}

fn misnumbered(page: &Page, tasks: &[PageTask]) -> Option<String> {
    let chapter = page.number()?;
    let (place, task) =
        (1..).zip(tasks).find(|(place, task)| task.number != (chapter, *place))?;
    Some(page.at(task.line, format!("this task should be number {chapter}.{place}")))
}

fn unmarked(task: &PageTask, marks: &[Mark]) -> Option<String> {
    let (chapter, number) = task.number;
    let marker = format!("`// Task {chapter}.{number}:`");
    let Asked { file, function, .. } = &task.asked;
    let file_name = file.display();
    let matching: Vec<_> =
        marks.iter().filter(|mark| mark.number == task.number).collect();
    let [mark] = matching[..] else {
        return Some(format!(
            "{marker} must be in the source once, and is there {} times",
            matching.len()
        ));
    };
    if mark.file != *file {
        return Some(format!(
            "{marker} is in {}, not in {file_name}",
            mark.file.display()
        ));
    }
    let is_above = mark.function.as_ref() == Some(function);
    (!is_above).then(|| format!("{marker} is not above `fn {function}` in {file_name}"))
}

/// Returns the tasks that a chapter asks for, in its order.
fn tasks(page: &Page) -> Result<Vec<PageTask>, String> {
    let (_, prose) = markdown::split(&page.text);
    let task = |(line, asked): (usize, Option<Asked>)| {
        let numbered = asked.and_then(|asked| Some((parse(&asked.number)?, asked)));
        let (number, asked) = numbered.ok_or_else(|| {
            page.at(
                line,
                "write a task as **Task 1.2** — `steps/…/file.rs`, `fn name`: … (8 minutes)",
            )
        })?;
        Ok(PageTask { number, line, asked })
    };
    page::tasks(&prose).into_iter().map(task).collect()
}

/// Returns the marks in a source file.
fn marks(book: &Book, path: &Path) -> Vec<Mark> {
    let source = book.read(path);
    let lines: Vec<_> = source.lines().collect();
    let mut marks = Vec::new();
    for (index, text) in lines.iter().enumerate() {
        let Some((_, rest)) = text.split_once("// Task ") else { continue };
        let Some(number) = rest.split_once(':').and_then(|(number, _)| parse(number))
        else {
            continue;
        };
        let mut code = lines[index..].iter().map(|line| line.trim());
        let first =
            code.find(|line| !line.starts_with("//") && !line.starts_with("#["));
        marks.push(Mark {
            number,
            file: path.to_path_buf(),
            line: index + 1,
            function: first.and_then(function),
        });
    }
    marks
}

/// Returns the name of the function that begins in this line.
fn function(line: &str) -> Option<String> {
    let (before, rest) = line.split_once("fn ")?;
    let begins = before.is_empty() || before.ends_with(' ');
    let name = rest.split(|ch: char| !ch.is_alphanumeric() && ch != '_').next()?;
    (begins && !before.contains("//") && !name.is_empty()).then(|| name.to_string())
}

fn parse(number: &str) -> Option<Number> {
    let (chapter, task) = number.split_once('.')?;
    Some((chapter.parse().ok()?, task.parse().ok()?))
}

/// Checks that the tables in `tests/tasks` have every task of Part I's chapters, each
/// with the minutes that the chapter says, and that the chapter shows the tools.
#[test]
fn the_tables_have_the_tasks_of_the_chapters() {
    for (page, step, table) in tables() {
        let on_page: Vec<_> = { tasks(&page).unwrap() }
            .iter()
            .map(|task| (task.asked.number.clone(), task.asked.minutes))
            .collect();
        let listed: Vec<_> =
            table.iter().map(|task| (task.number.clone(), task.minutes)).collect();
        assert_eq!(on_page, listed, "tests/tasks/{step}.toml");
        let shows_tools = page.text.contains(&format!("\n{{{{#tools {step}}}}}\n"));
        assert!(shows_tools, "{step}.md needs a line {{{{#tools {step}}}}}");
    }
}

/// Checks that each task can be done in one sitting, by a learner who knows no more than
/// the chapter and the task's tools and hints.
#[test]
fn every_task_is_small_and_has_hints_and_tools() {
    for task in tables().into_iter().flat_map(|(_, _, table)| table) {
        let number = &task.number;
        let source = Source::of(&task).unwrap();
        let lines = source.lines_of_code();
        assert!((3..=15).contains(&lines), "task {number}: {lines} lines of code");
        assert!(task.minutes >= 1, "task {number}: minutes");
        assert!((2..=3).contains(&task.hints.len()), "task {number}: 2 or 3 hints");
        assert!((3..=8).contains(&task.tools.len()), "task {number}: 3 to 8 tools");
        for tool in &task.tools {
            assert!(
                words(source.body()).any(|word| word == first_word(&tool.name)),
                "task {number}: the answer has no {}",
                first_word(&tool.name)
            );
        }
    }
}

/// Checks that each task has wrong answers that apply to our code, at least one of them
/// in the task's function.
#[test]
fn every_task_has_wrong_answers() {
    for (_, _, table) in tables() {
        for task in &table {
            let source = Source::of(task).unwrap();
            assert!(
                task.wrong.iter().any(|wrong| source.is_changed_by(wrong)),
                "no wrong answer to task {} in its own function",
                task.number
            );
            for wrong in &task.wrong {
                let edited = source.with(wrong);
                assert!(
                    edited.is_ok(),
                    "task {}, {}: {edited:?}",
                    task.number,
                    wrong.name
                );
            }
        }
    }
}

/// Returns the chapters with tasks, each with its step and its table.
fn tables() -> Vec<(Page, String, Vec<Task>)> {
    let book = Book::open(&kiste_course::workspace()).unwrap();
    let table = |page: &Page| {
        let step = page.path.file_stem().unwrap().to_str().unwrap().to_string();
        (page.clone(), step.clone(), Chapter::of(&step).tasks)
    };
    book.chapters_with_tasks().map(table).collect()
}

fn first_word(text: &str) -> &str {
    words(text).next().unwrap_or_default()
}

/// Returns the identifiers in a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|ch: char| !ch.is_alphanumeric() && ch != '_')
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const PAGE: &str = "book/src/01-uts.md";
    const FILE: &str = "steps/01-uts/src/lib.rs";
    const ASKED: &str = "1. **Task 1.1** — `steps/01-uts/src/lib.rs`, `fn set_hostname`: \
                         call\n   it. (8 minutes)\n";
    const MARKED: &str =
        "fn other() {}\n\n// Task 1.1: call it\n/// Docs.\npub fn set_hostname() {}\n";

    #[test]
    fn a_task_that_is_asked_for_and_marked_is_accepted() {
        accepts(check, &[(PAGE, ASKED), (FILE, MARKED)]);
        let long =
            "// Task 1.1: call it,\n// once.\n#[must_use]\nfn set_hostname() {}\n";
        accepts(check, &[(PAGE, ASKED), (FILE, long)]);
    }

    #[test]
    fn a_mark_in_the_body_is_found() {
        let source = "fn set_hostname() {\n    // Task 1.1: call it\n    call();\n}\n";
        refuses(
            check,
            &[(PAGE, ASKED), (FILE, source)],
            "is not above `fn set_hostname`",
        );
    }

    #[test]
    fn a_task_without_its_mark_is_found() {
        refuses(
            check,
            &[(PAGE, ASKED), (FILE, "")],
            "01-uts.md:1: `// Task 1.1:` must be in the source once",
        );
    }

    #[test]
    fn a_mark_without_its_task_is_found() {
        refuses(
            check,
            &[(PAGE, ""), (FILE, MARKED)],
            "lib.rs:3: chapter 1 does not ask",
        );
    }

    #[test]
    fn a_mark_at_another_function_is_found() {
        let source = MARKED.replace("set_hostname", "set_name");
        refuses(
            check,
            &[(PAGE, ASKED), (FILE, &source)],
            "is not above `fn set_hostname`",
        );
    }

    #[test]
    fn a_mark_in_another_file_is_found() {
        refuses(
            check,
            &[(PAGE, ASKED), ("steps/01-uts/src/sys.rs", MARKED)],
            "is in steps/01",
        );
    }

    #[test]
    fn a_gap_in_the_numbers_is_found() {
        let (page, source) =
            (ASKED.replace("1.1", "1.2"), MARKED.replace("1.1", "1.2"));
        refuses(check, &[(PAGE, &page), (FILE, &source)], "should be number 1.1");
    }

    #[test]
    fn a_task_without_its_function_or_its_minutes_is_found() {
        let without_minutes = ASKED.replace(" (8 minutes)", "");
        for asked in ["**Task 1.1** — call it (8 minutes)\n", &without_minutes] {
            refuses(check, &[(PAGE, asked)], "write a task as");
        }
    }
}
