//! The results of the trials, one line for each.

use kiste_course::tasks::Task;

/// The result of a trial.
pub enum Judgement {
    /// The check judged the answer rightly.
    Good(String),
    /// The check judged the answer wrongly: the problem, and the output.
    Bad(String, String),
    /// The answer was not tested: this machine lacks something that it needs.
    Unknown,
}

impl Judgement {
    pub fn is_bad(&self) -> bool {
        matches!(self, Judgement::Bad(..))
    }

    /// Returns the worse one of two.
    pub fn worse(self, other: Self) -> Self {
        if self.is_bad() { self } else { other }
    }
}

/// An answer to a task, and its result.
pub struct Row {
    task: String,
    needs: String,
    answer: String,
    pub judgement: Judgement,
}

impl Row {
    pub fn new(task: &Task, answer: &str, judgement: Judgement) -> Self {
        let needs = task.needs.clone().unwrap_or_default();
        Row { task: task.number.clone(), needs, answer: answer.into(), judgement }
    }

    /// Prints the row at once, since all of them take minutes.
    pub fn print(&self, verbose: bool) {
        let Row { task, answer, needs, .. } = self;
        match &self.judgement {
            Judgement::Good(what) => println!("ok   {task}  {answer:40}  {what}"),
            Judgement::Bad(what, output) => {
                println!("BAD  {task}  {answer:40}  {what}");
                let lines: Vec<_> = output.lines().collect();
                let max = if verbose { lines.len() } else { 40 };
                for line in &lines[lines.len().saturating_sub(max)..] {
                    println!("     | {line}");
                }
            }
            Judgement::Unknown => {
                println!("--   {task}  {answer:40}  needs {needs}: --vm")
            }
        }
    }
}
