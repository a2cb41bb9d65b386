//! The tasks of the book's chapters: the tests that check each, and wrong answers that
//! these tests must detect. They are listed in `tests/tasks/NN-name.toml`.

mod outcome;
pub mod page;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::Deserialize;

pub use outcome::{Outcome, sentence};
pub use source::{Source, Sources};

use crate::workspace;

/// The tasks of a chapter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// The tasks, in the chapter's order.
    #[serde(rename = "task")]
    pub tasks: Vec<Task>,
}

/// A task of a chapter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its number in the chapter: `2.4`.
    pub number: String,
    /// The tests that check it, as `--list` prints them.
    pub tests: Vec<String>,
    /// How long it takes a learner who has read the chapter up to it.
    pub minutes: u32,
    /// The functions and values that the answer is made of.
    pub tools: Vec<Tool>,
    /// Hints, of which each says more than the one before: at most three.
    pub hints: Vec<String>,
    /// The check of `doctor` without which these tests cannot run: `cgroup-v2`.
    pub needs: Option<String>,
    /// Answers that look right.
    #[serde(default)]
    pub wrong: Vec<Wrong>,
}

/// Something that the answer to a task uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// How it is written: `child.forward(&received)`.
    pub name: String,
    /// Its effect or value.
    pub does: String,
}

/// An answer that looks right, as an edit of the right one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// Its name.
    pub name: String,
    /// The reason why it is wrong: the sentence that helps a learner who has it.
    pub because: String,
    /// The tests that fail by it: all tests of the task, if none is named.
    #[serde(default)]
    pub fails: Vec<String>,
    /// A text in the output of these tests, where another wrong answer fails the same.
    pub output: Option<String>,
    /// A text that stands once in the task's function, or else once in its file.
    pub from: String,
    /// The text that stands there in the wrong answer.
    pub to: String,
    /// How many runs must detect it, where a single run might not.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Wrong {
    /// Returns the tests of its task that fail by it.
    pub fn failing<'t>(&'t self, task: &'t Task) -> &'t [String] {
        if self.fails.is_empty() { &task.tests } else { &self.fails }
    }
}

impl FromStr for Chapter {
    type Err = anyhow::Error;

    fn from_str(table: &str) -> Result<Self> {
        Ok(toml::from_str(table)?)
    }
}

impl Chapter {
    /// Returns the tasks of a step: `02-pid`.
    pub fn of(step: &str) -> Self {
        Chapter::below(&workspace(), step).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Returns the tasks of a step in another workspace.
    ///
    /// # Errors
    /// When its table cannot be read.
    pub fn below(workspace: &Path, step: &str) -> Result<Self> {
        let path = workspace.join(format!("tests/tasks/{step}.toml"));
        let text = fs::read_to_string(&path).map_err(anyhow::Error::from);
        text.and_then(|text| text.parse()).with_context(|| path.display().to_string())
    }

    /// Returns the steps that have tasks, in order: `["00-exec", "01-uts", …]`.
    pub fn steps() -> Vec<String> {
        let files = fs::read_dir(workspace().join("tests/tasks")).unwrap();
        let paths = files.map(|file| PathBuf::from(file.unwrap().file_name()));
        let tables =
            paths.filter(|path| path.extension().is_some_and(|it| it == "toml"));
        let mut steps: Vec<_> =
            tables.map(|path| path.with_extension("").display().to_string()).collect();
        steps.sort();
        steps
    }
}
