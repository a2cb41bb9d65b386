//! A workspace that was made by `start`: the learner's answers in it, and ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use kiste_course::checkout;
use kiste_course::tasks::{Source, Task};
use similar::TextDiff;

use crate::files;
use crate::selection::Selection;
use crate::starter::cut;
use crate::workspace::SOLUTION;

/// A workspace that was made by `start`.
pub struct Learner<'w> {
    root: &'w Path,
    solution: PathBuf,
}

impl<'w> Learner<'w> {
    /// Opens the learner's workspace at this directory.
    pub fn at(root: &'w Path) -> Self {
        Learner { root, solution: root.join(SOLUTION) }
    }

    /// Fills in our answers.
    ///
    /// # Errors
    /// When a task is not found in the learner's source, or a file cannot be written.
    pub fn solve(&self, what: &Selection) -> Result<()> {
        let (_, tasks) = what.tasks()?;
        for task in &tasks {
            let (theirs, ours) = self.answers(task)?;
            if theirs.body() == ours.body() {
                anstream::println!("task {} has our answer already", task.number);
                continue;
            }
            self.save(task, &theirs)?;
            files::replace(
                &self.root.join(&theirs.file),
                &theirs.with_body(ours.body()),
            )?;
            anstream::println!("task {} is filled in: {}", task.number, theirs.place());
        }
        Ok(())
    }

    /// Prints the differences from the learner's answers to ours.
    ///
    /// # Errors
    /// When a task is not found in the learner's source.
    pub fn diff(&self, what: &Selection) -> Result<()> {
        let (_, tasks) = what.tasks()?;
        for task in &tasks {
            let (theirs, ours) = self.answers(task)?;
            let diff = TextDiff::from_lines(theirs.body(), ours.body());
            if theirs.body() == ours.body() {
                anstream::println!("task {}: your answer is ours", task.number);
                continue;
            }
            anstream::print!(
                "{}",
                diff.unified_diff()
                    .context_radius(3)
                    .header(&format!("yours: {}", theirs.place()), "ours")
            );
        }
        Ok(())
    }

    /// Puts the files of a chapter, or one task, back to the state in which all is to be
    /// done.
    ///
    /// # Errors
    /// As [`Learner::solve`].
    pub fn reset(&self, what: &Selection) -> Result<()> {
        let (step, tasks) = what.tasks()?;
        match what.is_task() {
            true => {
                let (theirs, _) = self.answers(&tasks[0])?;
                self.save(&tasks[0], &theirs)?;
                files::replace(
                    &self.root.join(&theirs.file),
                    &theirs.to_do(&tasks[0].number),
                )?;
            }
            false => self.reset_step(&step, &tasks)?,
        }
        let numbers: Vec<_> = tasks.iter().map(|task| &*task.number).collect();
        anstream::println!("to be done anew: {}", numbers.join(", "));
        Ok(())
    }

    /// Puts all files of a step back, and saves those that the learner has changed.
    fn reset_step(&self, step: &str, tasks: &[Task]) -> Result<()> {
        let starter = tempfile::tempdir()?;
        let step = Path::new("steps").join(step);
        let files = checkout::files_below(&self.solution.join(&step))?;
        let files = files.iter().map(|file| file.strip_prefix(&self.solution));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        for file in &files {
            let copy = starter.path().join(file);
            checkout::copy_changed(&self.solution.join(file), &copy)?;
        }
        cut(starter.path(), tasks)?;
        for file in files {
            let theirs = self.root.join(file);
            let is_changed = fs::read(&theirs).is_ok_and(|text| {
                fs::read(starter.path().join(file)).ok() != Some(text)
            });
            if is_changed {
                self.save_file(&theirs, &file.display().to_string())?;
            }
            checkout::copy_changed(&starter.path().join(file), &theirs)?;
        }
        Ok(())
    }

    /// Finds the learner's answer to a task, and ours.
    fn answers(&self, task: &Task) -> Result<(Source, Source)> {
        let theirs = answer_below(self.root, &task.number)?;
        let ours = Source::below(&self.solution, &task.number)?;
        Ok((theirs, ours))
    }

    /// Saves the learner's answer, unless there is none yet.
    fn save(&self, task: &Task, theirs: &Source) -> Result<()> {
        if theirs.is_to_do() {
            return Ok(());
        }
        let answer = tempfile::NamedTempFile::new()?;
        fs::write(answer.path(), theirs.body())?;
        self.save_file(answer.path(), &format!("{}.rs", task.number))
    }

    /// Saves a file as `.workshop/saved/NAME.1`, or the next number that is free.
    fn save_file(&self, file: &Path, name: &str) -> Result<()> {
        let names = (1..).map(|count| format!(".workshop/saved/{name}.{count}"));
        let is_free = |name: &String| !self.root.join(name).exists();
        let saved = names.into_iter().find(is_free).context("no free name")?;
        checkout::copy_changed(file, &self.root.join(&saved))
            .with_context(|| saved.clone())?;
        anstream::println!("yours is saved in {saved}");
        Ok(())
    }
}

/// Finds the learner's answer to a task.
///
/// # Errors
/// When its mark is gone: then the error says how to get it back.
pub fn answer_below(root: &Path, number: &str) -> Result<Source> {
    Source::below(root, number).map_err(|error| {
        let chapter = number.split('.').next().unwrap_or(number);
        anyhow!(
            "{error:#}\nhint: it marks the task; `cargo workshop reset {chapter}` \
             restores the files of the chapter, and saves your answers"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::starter::{fill, tasks_from};

    fn source(root: &Path, task: &Task) -> Source {
        Source::below(root, &task.number).unwrap()
    }

    #[test]
    fn every_task_is_cut_out_and_filled_in_again() {
        let (dir, complete) = (tempfile::tempdir().unwrap(), kiste_course::workspace());
        let (root, tasks) = (dir.path(), tasks_from(0).unwrap());
        fill(&complete, root, &tasks).unwrap();
        for task in &tasks {
            assert!(source(root, task).is_to_do(), "{}", task.number);
            Learner::at(root).solve(&Selection::of(task)).unwrap();
        }
        for file in checkout::files_below(&complete.join("steps")).unwrap() {
            let file = file.strip_prefix(&complete).unwrap();
            let (ours, theirs) =
                (fs::read(complete.join(file)), fs::read(root.join(file)));
            assert!(ours.unwrap() == theirs.unwrap(), "{}", file.display());
        }
    }

    #[test]
    fn an_answer_is_saved_before_it_is_replaced() {
        let (dir, complete) = (tempfile::tempdir().unwrap(), kiste_course::workspace());
        let root = dir.path();
        fill(&complete, root, &tasks_from(2).unwrap()).unwrap();
        let (_, tasks) = "2.4".parse::<Selection>().unwrap().tasks().unwrap();
        let theirs = source(root, &tasks[0]);
        let path = root.join(&theirs.file);
        fs::write(&path, theirs.with_body("    mine()\n")).unwrap();
        Learner::at(root).reset(&"2.4".parse().unwrap()).unwrap();
        assert!(source(root, &tasks[0]).is_to_do());
        fs::write(&path, "nothing\n").unwrap();
        let lost = Learner::at(root).solve(&"2.4".parse().unwrap()).unwrap_err();
        assert!(lost.to_string().contains("cargo workshop reset 2"), "{lost}");
        Learner::at(root).reset(&"2".parse().unwrap()).unwrap();
        assert!(source(root, &tasks[0]).is_to_do());
        let saved = |name: &str| {
            fs::read_to_string(root.join(".workshop/saved").join(name)).unwrap()
        };
        assert_eq!(saved("2.4.rs.1"), "    mine()\n");
        assert_eq!(saved("steps/02-pid/src/init.rs.1"), "nothing\n");
    }
}
