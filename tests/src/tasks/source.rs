//! The source of a task's function: `// Task 2.4: …` stands above it.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use super::{Task, Wrong};
use crate::{checkout, rootfs};

/// The file of a step in which a task's function is.
pub struct Source {
    /// Relative to the root of the workspace.
    pub file: PathBuf,
    text: String,
    /// The range between the function's braces.
    body: Range<usize>,
}

impl Source {
    /// Finds the function of a task.
    ///
    /// # Errors
    /// When no comment of the step marks a function as the task's, or several do.
    pub fn of(task: &Task) -> Result<Self, String> {
        let mark = format!("// Task {}:", task.number);
        let workspace = rootfs::workspace();
        let mut found = Vec::new();
        let files = checkout::files_below(&workspace.join("steps")).unwrap();
        for path in files.into_iter().filter(|it| it.extension() == Some("rs".as_ref()))
        {
            let text = fs::read_to_string(&path).unwrap();
            if let Some(at) = text.find(&mark) {
                let body =
                    body(&text, at).ok_or(format!("no function below {mark}"))?;
                let file = path.strip_prefix(&workspace).unwrap().into();
                found.push(Source { file, text, body });
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            n => Err(format!("{mark} must be in one file, and is in {n}")),
        }
    }

    /// Returns whether the task is still to be done.
    pub fn is_to_do(&self) -> bool {
        self.text[self.body.clone()].contains("todo!(")
    }

    /// Returns the file in which the task is still to be done.
    pub fn to_do(&self, task: &Task) -> String {
        let Range { start, end } = self.body;
        let todo = format!("\n    todo!(\"task {}\")\n", task.number);
        [&self.text[..start], &todo, &self.text[end..]].concat()
    }

    /// Returns whether a wrong answer changes the task's own function.
    pub fn is_changed_by(&self, wrong: &Wrong) -> bool {
        self.text[self.body.clone()].contains(&wrong.from)
    }

    /// Returns the file with a wrong answer to the task.
    ///
    /// # Errors
    /// When the text that it replaces does not occur exactly once.
    pub fn with(&self, wrong: &Wrong) -> Result<String, String> {
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
            n => Err(format!(
                "{}: {:?} occurs {n} times",
                self.file.display(),
                wrong.from
            )),
        }
    }
}

/// Returns the body of the first function below a place, formatted by rustfmt: it
/// begins after the line that ends in `{`, and ends before a `}` with the same
/// indentation as `fn`.
fn body(text: &str, below: usize) -> Option<Range<usize>> {
    let mut end = below;
    let (mut indent, mut start) = (None, None);
    for line in text[below..].split_inclusive('\n') {
        let begin = end;
        end += line.len();
        let code = line.trim();
        if code.starts_with("//") {
            continue;
        }
        if indent.is_none() && code.contains("fn ") {
            indent = Some(&line[..line.len() - line.trim_start().len()]);
        }
        let Some(indent) = indent else { continue };
        match start {
            None if code.ends_with('{') => start = Some(end),
            Some(start) if line.trim_end() == format!("{indent}}}") => {
                return Some(start..begin);
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
        let body = body(TEXT, TEXT.find("// Task").unwrap()).unwrap();
        Source { file: "a.rs".into(), text: TEXT.into(), body }
    }

    fn wrong(from: &str) -> Wrong {
        let (name, because) = (String::new(), String::new());
        Wrong { name, because, from: from.into(), to: "twice".into(), times: 1 }
    }

    #[test]
    fn a_body_is_everything_between_the_braces() {
        let Source { body, .. } = source();
        assert_eq!(&TEXT[body], "        loop {\n            once()\n        }\n");
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
