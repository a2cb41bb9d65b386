//! Prints the tasks: which are green, and what is next.

use std::fs;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};
use kiste_course::tasks::{Chapter, Source, Sources, Task};

use crate::files;
use crate::page;
use crate::results::{self, Results};
use crate::selection::Selection;
use crate::workspace::Workspace;

const BOLD: Style = Style::new().bold();

/// The state of a task, as far as it is known without a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    ToDo,
    Written,
    Green,
    ChangedSinceGreen,
}

impl State {
    /// Finds the state of a task. `digest` is that of the step's source.
    fn of(task: &Task, sources: &Sources, results: &Results, digest: &str) -> Self {
        let is_to_do = sources.find(&task.number).is_ok_and(|source| source.is_to_do());
        match results.green_for(&task.number) {
            _ if is_to_do => State::ToDo,
            Some(green) if green == digest => State::Green,
            Some(_) => State::ChangedSinceGreen,
            None => State::Written,
        }
    }

    fn mark(self) -> (&'static str, Style) {
        match self {
            State::ToDo => ("·", Style::new()),
            State::Written => ("?", AnsiColor::Yellow.on_default()),
            State::Green => ("✓", AnsiColor::Green.on_default()),
            State::ChangedSinceGreen => ("~", AnsiColor::Yellow.on_default()),
        }
    }
}

/// The tasks of a step with their states.
struct Tasks {
    step: String,
    tasks: Vec<(Task, State)>,
}

/// Returns the tasks of each step with their states.
fn states(workspace: &Workspace) -> Result<Vec<Tasks>> {
    let results = Results::read(workspace.root());
    let sources = Sources::below(workspace.root())?;
    let of_step = |step: String| {
        let digest = results::digest(workspace.root(), &step)?;
        let tasks = Chapter::of(&step).tasks.into_iter().map(|task| {
            let state = State::of(&task, &sources, &results, &digest);
            (task, state)
        });
        let tasks = tasks.collect();
        Ok(Tasks { step, tasks })
    };
    Chapter::steps().into_iter().map(of_step).collect()
}

/// Prints all tasks with their states, and the next one.
///
/// # Errors
/// When the source or a page cannot be read.
pub fn print(workspace: &Workspace) -> Result<()> {
    let steps = states(workspace)?;
    let mut seen = Vec::new();
    for Tasks { step, tasks } in &steps {
        let mut marks = String::new();
        for (task, state) in tasks {
            let (mark, style) = state.mark();
            marks += &format!("  {style}{mark} {}{style:#}", task.number);
            seen.push(*state);
        }
        anstream::println!("{step:16}{marks}");
    }
    let legend = [
        (State::Green, "✓ green"),
        (State::ChangedSinceGreen, "~ changed since it was green"),
        (State::Written, "? written, not green yet"),
        (State::ToDo, "· to do"),
    ];
    let legend = legend.iter().filter(|(state, _)| seen.contains(state));
    let legend: Vec<_> = legend.map(|(_, text)| *text).collect();
    anstream::println!("{}\n", legend.join(", "));
    if !workspace.is_learners() {
        anstream::println!(
            "This workspace is complete. `cargo workshop start DIR` makes one in which the \
             tasks are to be done;\n`cargo workshop start DIR --from 5` begins with chapter 5."
        );
        return Ok(());
    }
    let Some((step, task)) = first_not_green(&steps) else {
        anstream::println!("All tasks are green.");
        return Ok(());
    };
    anstream::print!("next: ");
    print_task(workspace, step, task)?;
    anstream::println!(
        "\ncargo workshop check --watch    checks it again whenever you save"
    );
    Ok(())
}

/// Returns the first task that is not green.
///
/// # Errors
/// When the source cannot be read.
pub fn next(workspace: &Workspace) -> Result<Option<Selection>> {
    let steps = states(workspace)?;
    Ok(first_not_green(&steps).map(|(_, task)| Selection::of(task)))
}

fn first_not_green(steps: &[Tasks]) -> Option<(&str, &Task)> {
    steps.iter().find_map(|Tasks { step, tasks }| {
        let (task, _) = tasks.iter().find(|(_, state)| *state != State::Green)?;
        Some((&**step, task))
    })
}

/// Prints a task with its tools, and one more of its hints each time.
///
/// # Errors
/// When there is no such task, or a file cannot be read or written.
pub fn hint(workspace: &Workspace, what: &Selection) -> Result<()> {
    let (step, tasks) = what.tasks()?;
    let [task] = &tasks[..] else {
        bail!("a hint is for one task, as {what}.1");
    };
    print_task(workspace, &step, task)?;
    anstream::println!();
    for tool in &task.tools {
        anstream::println!("  {BOLD}{}{BOLD:#}: {}", tool.name, tool.does);
    }
    let path = workspace.root().join(".workshop").join(format!("hints-{what}"));
    let given = fs::read_to_string(&path).ok().and_then(|text| text.parse().ok());
    let given = (given.unwrap_or(0) + 1).min(task.hints.len());
    for (index, hint) in task.hints.iter().take(given).enumerate() {
        anstream::println!("\nhint {} of {}: {hint}", index + 1, task.hints.len());
    }
    if given == task.hints.len() {
        anstream::println!(
            "\n`cargo workshop solve {what}` fills in our answer; yours is saved"
        );
    }
    files::write(&path, &given.to_string())
}

fn print_task(workspace: &Workspace, step: &str, task: &Task) -> Result<()> {
    let number = &task.number;
    anstream::println!("{BOLD}task {number}{BOLD:#} (about {} minutes)", task.minutes);
    anstream::println!("  {}", page::statement(workspace.root(), step, number)?);
    if let Ok(source) = Source::below(workspace.root(), number) {
        anstream::println!("  in {}", source.place());
    }
    anstream::println!("  the page: {}", page::section(step));
    Ok(())
}
