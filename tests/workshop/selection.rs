//! A task or a whole chapter, as it is named on the command line.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use kiste_course::tasks::{Chapter, Task};

/// `2.4`, or `2` and `02` for all tasks of chapter 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    chapter: u32,
    task: Option<u32>,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse()
                .map_err(|_| "expected a task or a chapter: 2.4 or 2".to_owned())
        };
        match text.split_once('.') {
            None => Ok(Selection { chapter: number(text)?, task: None }),
            Some((chapter, task)) => {
                Ok(Selection { chapter: number(chapter)?, task: Some(number(task)?) })
            }
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(formatter, "{}.{task}", self.chapter),
            None => write!(formatter, "{}", self.chapter),
        }
    }
}

impl Selection {
    /// Selects one task.
    pub fn of(task: &Task) -> Self {
        task.number.parse().expect("a task has a number")
    }

    /// Whether it is one task.
    pub fn is_task(&self) -> bool {
        self.task.is_some()
    }

    /// Returns the step and the selected tasks: `02-pid` and those of chapter 2.
    ///
    /// # Errors
    /// When there is no such chapter or task.
    pub fn tasks(&self) -> Result<(String, Vec<Task>)> {
        let prefix = format!("{:02}-", self.chapter);
        let steps = Chapter::steps();
        let step = steps.iter().find(|step| step.starts_with(&prefix));
        let step = step.with_context(|| {
            let last = steps.len() - 1;
            format!("chapter {} has no tasks: chapters 0 to {last} have", self.chapter)
        })?;
        let mut tasks = Chapter::of(step).tasks;
        let numbers: Vec<_> = tasks.iter().map(|task| task.number.clone()).collect();
        tasks.retain(|task| !self.is_task() || task.number == self.to_string());
        if tasks.is_empty() {
            bail!(
                "there is no task {self}: chapter {} has {}",
                self.chapter,
                numbers.join(", ")
            );
        }
        Ok((step.clone(), tasks))
    }
}

#[test]
fn a_task_and_a_chapter_are_selected_by_number() {
    let tasks = |text: &str| {
        let (step, tasks) = text.parse::<Selection>().unwrap().tasks().unwrap();
        (step, tasks.len(), tasks[0].number.clone())
    };
    assert_eq!(tasks("2.4"), ("02-pid".into(), 1, "2.4".into()));
    assert_eq!(tasks("02"), ("02-pid".into(), 4, "2.1".into()));
    for wrong in ["", "two", "2.", "2.4.1", "-1"] {
        assert!(wrong.parse::<Selection>().is_err(), "{wrong:?}");
    }
    let unknown = |text: &str| text.parse::<Selection>().unwrap().tasks().unwrap_err();
    assert!(unknown("2.9").to_string().ends_with("chapter 2 has 2.1, 2.2, 2.3, 2.4"));
    assert!(unknown("9").to_string().ends_with("chapters 0 to 8 have"));
}
