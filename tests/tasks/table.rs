//! What the trials have shown, a line each.

use kiste_tests::tasks::Task;

/// What came of an answer.
pub enum Cell {
    /// The check said what it should.
    Good(String),
    /// It did not.
    Bad(String, String),
    /// It was not tried: this machine lacks what it needs.
    Unknown,
}

impl Cell {
    pub fn is_bad(&self) -> bool {
        matches!(self, Cell::Bad(..))
    }
}

/// An answer to a task, and what came of it.
pub struct Row {
    task: String,
    needs: String,
    answer: String,
    pub cell: Cell,
}

impl Row {
    pub fn new(task: &Task, answer: &str, cell: Cell) -> Self {
        let needs = task.needs.clone().unwrap_or_default();
        Row { task: task.number.clone(), needs, answer: answer.into(), cell }
    }

    /// Printed at once, since all of them take minutes.
    pub fn print(&self, verbose: bool) {
        let Row { task, answer, needs, .. } = self;
        match &self.cell {
            Cell::Good(what) => println!("ok   {task}  {answer:40}  {what}"),
            Cell::Bad(what, output) => {
                println!("BAD  {task}  {answer:40}  {what}");
                let lines: Vec<_> = output.lines().collect();
                let most = if verbose { lines.len() } else { 40 };
                for line in &lines[lines.len().saturating_sub(most)..] {
                    println!("     | {line}");
                }
            }
            Cell::Unknown => println!("--   {task}  {answer:40}  needs {needs}: --vm"),
        }
    }
}
