//! The source of a task's function: `// Task 2.4: …` stands above it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Task, Wrong};
use crate::{checkout, workspace};

/// The file of a step in which a task's function is.
pub struct Source {
    /// Relative to the root of the workspace.
    pub file: PathBuf,
    /// The text of the mark: `until there is none.`
    idea: String,
    /// The name of the function.
    pub function: String,
    text: String,
    /// The part that is the task's: what is between the function's braces, or as much of
    /// it as `// Task 2.4 begins.` and `// Task 2.4 ends.` enclose.
    body: Range<usize>,
}

/// The source files of all steps, read once.
pub struct Sources {
    /// The texts, by the paths relative to the workspace.
    texts: BTreeMap<PathBuf, String>,
}

impl Sources {
    /// Reads the steps of a workspace.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn below(workspace: &Path) -> Result<Self> {
        let steps = workspace.join("steps");
        let files = checkout::files_below(&steps)
            .with_context(|| steps.display().to_string())?;
        let mut texts = BTreeMap::new();
        for path in files.into_iter().filter(|it| it.extension() == Some("rs".as_ref()))
        {
            let text = fs::read_to_string(&path)
                .with_context(|| path.display().to_string())?;
            texts.insert(path.strip_prefix(workspace).unwrap_or(&path).into(), text);
        }
        Ok(Sources { texts })
    }

    /// Finds the function of a task.
    ///
    /// # Errors
    /// When no comment of the steps marks a function as the task's, or several do.
    pub fn find(&self, number: &str) -> Result<Source> {
        let mark = format!("// Task {number}:");
        let found: Vec<_> =
            self.texts.iter().filter(|(_, text)| text.contains(&mark)).collect();
        match found[..] {
            [(file, text)] => Source::parse(file.clone(), text.clone(), number),
            _ => {
                bail!("`{mark}` must be in one file, and is in {}", found.len())
            }
        }
    }

    /// Replaces the text of a file, here and not on disk.
    pub fn replace(&mut self, file: &Path, text: &str) {
        self.texts.insert(file.into(), text.into());
    }
}

impl Source {
    /// Finds the function of a task.
    ///
    /// # Errors
    /// As [`Sources::below`] and [`Sources::find`].
    pub fn of(task: &Task) -> Result<Self> {
        Source::below(&workspace(), &task.number)
    }

    /// Finds the function of a task below another directory than the workspace.
    ///
    /// # Errors
    /// As [`Source::of`].
    pub fn below(workspace: &Path, number: &str) -> Result<Self> {
        Sources::below(workspace)?.find(number)
    }

    fn parse(file: PathBuf, text: String, number: &str) -> Result<Self> {
        let mark = format!("// Task {number}:");
        let at = text.find(&mark).unwrap_or(text.len());
        let Some((function, mut body)) = function(&text, at) else {
            bail!("{}: no function below `{mark}`", file.display());
        };
        let idea = comment(&text[at..]).split_off(mark.len()).trim().to_owned();
        let line_of = |mark: String| {
            let at = body.start + text[body.clone()].find(&mark)?;
            let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let end =
                text[at..].find('\n').map_or(text.len(), |length| at + length + 1);
            Some(start..end)
        };
        let begin = line_of(format!("// Task {number} begins."));
        let end = line_of(format!("// Task {number} ends."));
        body = begin.map_or(body.start, |line| line.end)
            ..end.map_or(body.end, |line| line.start);
        if body.start > body.end {
            bail!("{}: task {number} ends before it begins", file.display());
        }
        Ok(Source { file, function, idea, text, body })
    }

    /// Returns whether the task is still to be done.
    pub fn is_to_do(&self) -> bool {
        self.code().any(|line| line.contains("todo!("))
    }

    /// Returns whether the task's lines only return, without doing anything.
    pub fn does_nothing(&self) -> bool {
        matches!(self.code().collect::<Vec<_>>()[..], [] | ["Ok(())"])
    }

    fn code(&self) -> impl Iterator<Item = &str> {
        let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
        self.body().lines().map(str::trim).filter(is_code)
    }

    /// Returns the lines that are the task's.
    pub fn body(&self) -> &str {
        &self.text[self.body.clone()]
    }

    /// Returns how many lines of code they are.
    pub fn lines_of_code(&self) -> usize {
        self.code().count()
    }

    /// Returns the number of the line in which the function's body begins.
    pub fn line(&self) -> usize {
        self.text[..self.body.start].lines().count() + 1
    }

    /// Names the place of the task: `steps/02-pid/src/init.rs:84, fn reap`.
    pub fn place(&self) -> String {
        format!("{}:{}, fn {}", self.file.display(), self.line(), self.function)
    }

    /// Returns the file with other lines in place of the task's.
    pub fn with_body(&self, body: &str) -> String {
        let Range { start, end } = self.body;
        [&self.text[..start], body, &self.text[end..]].concat()
    }

    /// Returns the file in which the task is still to be done.
    pub fn to_do(&self, number: &str) -> String {
        let first = self.body().lines().find(|line| !line.trim().is_empty());
        let first = first.unwrap_or("    ");
        let indent = &first[..first.len() - first.trim_start().len()];
        // Only the last expression of a function has no semicolon.
        let rest = self.text[self.body.end..].trim_start();
        let semicolon = if rest.starts_with('}') { "" } else { ";" };
        let message = format!("task {number}: {}", self.idea);
        // The message is a format string.
        let message = message.replace('{', "{{").replace('}', "}}");
        self.with_body(&format!("{indent}todo!({message:?}){semicolon}\n"))
    }

    /// Returns whether a wrong answer changes the task's own function.
    pub fn is_changed_by(&self, wrong: &Wrong) -> bool {
        self.text[self.body.clone()].contains(&wrong.from)
    }

    /// Returns the file with a wrong answer to the task.
    ///
    /// # Errors
    /// When the text that it replaces does not occur exactly once.
    pub fn with(&self, wrong: &Wrong) -> Result<String> {
        let Range { start, end } = self.body;
        let inside = &self.text[start..end];
        let (range, inside) = match inside.contains(&wrong.from) {
            true => (start..end, inside),
            false => (0..self.text.len(), &*self.text),
        };
        match inside.matches(&wrong.from).count() {
            1 => {
                let edited = inside.replace(&wrong.from, &wrong.to);
                Ok([&self.text[..range.start], &edited, &self.text[range.end..]]
                    .concat())
            }
            n => bail!("{}: {:?} occurs {n} times", self.file.display(), wrong.from),
        }
    }
}

/// Returns a comment of `//` lines as one line.
fn comment(text: &str) -> String {
    let is_comment = |line: &&str| line.starts_with("//") && !line.starts_with("///");
    let lines = text.lines().map(str::trim).take_while(is_comment);
    let lines: Vec<_> = lines.map(|line| line.trim_start_matches("// ")).collect();
    format!("// {}", lines.join(" "))
}

/// Returns the name and the body of the first function below a place, formatted by
/// rustfmt: it begins after the line that ends in `{`, and ends before a `}` with the
/// same indentation as `fn`.
fn function(text: &str, below: usize) -> Option<(String, Range<usize>)> {
    let mut end = below;
    let (mut found, mut start) = (None, None);
    for line in text[below..].split_inclusive('\n') {
        let begin = end;
        end += line.len();
        let code = line.trim();
        if code.starts_with("//") {
            continue;
        }
        if found.is_none()
            && let Some((_, name)) = code.split_once("fn ")
        {
            let name = name.split(|ch: char| !ch.is_alphanumeric() && ch != '_').next();
            found = Some((name?, &line[..line.len() - line.trim_start().len()]));
        }
        let Some((name, indent)) = found else { continue };
        match start {
            None if code.ends_with('{') => start = Some(end),
            Some(start) if line.trim_end() == format!("{indent}}}") => {
                return Some((name.into(), start..begin));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
impl A {
    // Task 2.4: until there is none.
    pub fn reap(
        self,
    ) -> Result<()> {
        loop {
            once()
        }
    }

    fn once() {}
}
";

    fn source() -> Source {
        Source::parse("a.rs".into(), TEXT.into(), "2.4").unwrap()
    }

    fn wrong(from: &str) -> Wrong {
        let (name, because) = (String::new(), String::new());
        let (from, to) = (from.into(), "twice".into());
        Wrong { name, because, fails: Vec::new(), output: None, from, to, times: 1 }
    }

    #[test]
    fn a_body_is_everything_between_the_braces() {
        let source = source();
        assert_eq!(source.body(), "        loop {\n            once()\n        }\n");
        assert_eq!((&*source.function, source.line()), ("reap", 6));
        assert_eq!(source.lines_of_code(), 3);
        assert!(!source.is_to_do() && !source.does_nothing());
        let text = source.with_body("        // todo!()\n        once()\n");
        assert!(!Source::parse("a.rs".into(), text, "2.4").unwrap().is_to_do());
        let text = source.with_body("        // nothing\n        Ok(())\n");
        assert!(Source::parse("a.rs".into(), text, "2.4").unwrap().does_nothing());
    }

    #[test]
    fn marks_in_the_body_enclose_a_part_of_it() {
        let text = TEXT.replace(
            "        loop {",
            "        before();\n        // Task 2.4 begins.\n        a();\n        \
             // Task 2.4 ends.\n        loop {",
        );
        let source = Source::parse("a.rs".into(), text, "2.4").unwrap();
        assert_eq!(source.body(), "        a();\n");
        assert!(source.to_do("2.4").contains(
            "// Task 2.4 begins.\n        todo!(\"task 2.4: until there is none.\");\n        // Task 2.4 ends.\n"
        ));
    }

    #[test]
    fn what_is_to_do_replaces_the_whole_body() {
        let text = source().to_do("2.4");
        assert!(text.contains("-> Result<()> {\n        todo!(\"task 2.4: until there is none.\")\n    }\n"));
        let again = Source::parse("a.rs".into(), text, "2.4").unwrap();
        assert!(again.is_to_do());
        assert_eq!(again.with_body(source().body()), TEXT);
    }

    #[test]
    fn a_wrong_answer_is_looked_for_in_the_function_and_then_in_the_file() {
        let edited = source().with(&wrong("once")).unwrap();
        assert!(edited.contains("twice()\n") && edited.contains("fn once"), "{edited}");
        let edited = source().with(&wrong("fn once")).unwrap();
        assert!(edited.contains("    twice() {}"), "{edited}");
        assert!(source().is_changed_by(&wrong("once")));
        assert!(!source().is_changed_by(&wrong("fn once")));
        assert!(source().with(&wrong("nothing")).is_err());
    }
}
