//! A trial: an answer to a task, its build, and the judgement of the chapter's check.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kiste_course::tasks::{Outcome, Source, Task, Wrong};

use crate::sandbox::Sandbox;
use crate::table::Judgement;
use crate::working_copy::{Built, WorkingCopy};

/// An answer to a task.
#[derive(Clone, Copy)]
pub enum Answer<'t> {
    /// Our own answer.
    Right,
    /// `todo!("task 2.4")`
    ToDo,
    /// An answer that looks right.
    Wrong(&'t Wrong),
}

impl<'t> Answer<'t> {
    /// Returns the answers that the check must refuse.
    pub fn wrong_ones(task: &'t Task) -> Vec<Self> {
        [Answer::ToDo].into_iter().chain(task.wrong.iter().map(Answer::Wrong)).collect()
    }

    pub fn name(self) -> &'t str {
        match self {
            Answer::Right => "right",
            Answer::ToDo => "todo!()",
            Answer::Wrong(wrong) => &wrong.name,
        }
    }

    /// Returns how many times the check must refuse the answer.
    fn times(self) -> u32 {
        match self {
            Answer::Right | Answer::ToDo => 1,
            Answer::Wrong(wrong) => wrong.times,
        }
    }
}

/// A built answer.
pub struct Trial<'t> {
    task: &'t Task,
    answer: Answer<'t>,
    step: String,
    runner: PathBuf,
    pub built: Built,
}

impl<'t> Trial<'t> {
    pub fn build(
        copy: &WorkingCopy,
        step: &str,
        task: &'t Task,
        answer: Answer<'t>,
    ) -> Result<Self> {
        copy.restore()?;
        let source = Source::of(task)?;
        let text = match answer {
            Answer::Right => None,
            Answer::ToDo => Some(source.to_do(&task.number)),
            Answer::Wrong(wrong) => {
                let edited = source.with(wrong);
                let name = &wrong.name;
                Some(edited.with_context(|| format!("{step}.toml, {name}"))?)
            }
        };
        text.map_or(Ok(()), |text| copy.change(&source.file, &text))?;
        let built = copy.build(step)?;
        let runner = copy.top().join(".cargo/runner");
        Ok(Trial { task, answer, step: step.into(), runner, built })
    }

    /// Returns the command line: cargo's runner, called as cargo calls it.
    pub fn words(&self) -> Vec<String> {
        let programs = [&self.runner, &self.built.test];
        let mut words: Vec<_> = programs.map(|path| path.display().to_string()).into();
        words.push("--exact".into());
        words.extend(self.task.tests.iter().cloned());
        words
    }

    /// Runs the check as many times as the answer requires.
    pub fn run(&self, sandbox: &Sandbox) -> Result<Judgement> {
        let mut summary = String::new();
        for time in 1..=self.answer.times() {
            let ran = sandbox.run(&self.step, &self.words())?;
            match self.judge(&ran.output, ran.code) {
                Ok(why) => summary = format!("{why}, {:.1} s", ran.seconds),
                Err(what) => {
                    return Ok(Judgement::Bad(
                        format!("{what} (time {time})"),
                        ran.output,
                    ));
                }
            }
            if let Some(left) = ran.left {
                return Ok(Judgement::Bad(
                    format!("processes are left: {left}"),
                    ran.output,
                ));
            }
        }
        let times = match self.answer.times() {
            1 => String::new(),
            times => format!(", {times} times"),
        };
        Ok(Judgement::Good(format!(
            "{summary}{times} (built in {:.1} s)",
            self.built.seconds
        )))
    }

    /// Returns an error unless the check accepted our answer, or refused a wrong answer
    /// for the right reason.
    pub fn judge(&self, output: &str, code: i32) -> Result<String, String> {
        let message = format!("not written yet: task {}", self.task.number);
        let outcome = Outcome::read(output);
        let has_failed = |test: &&String| outcome.message_of(test).is_some();
        let failed: Vec<_> = self.task.tests.iter().filter(has_failed).collect();
        let count = format!("{} of {} tests fail", failed.len(), self.task.tests.len());
        match self.answer {
            Answer::Right => match (code, failed.is_empty()) {
                (0, true) => Ok(format!("{} tests pass", self.task.tests.len())),
                _ => Err("the check fails".into()),
            },
            _ if code == 0 => Err("the check passes".into()),
            _ if failed.is_empty() => {
                Err(format!("no test of the task fails, exit code {code}"))
            }
            Answer::ToDo if !output.contains(&message) => {
                Err(format!("the output does not contain {message:?}"))
            }
            Answer::ToDo => Ok(count),
            Answer::Wrong(_) if output.contains("not written yet") => {
                Err("the output says that it is not written yet".into())
            }
            Answer::Wrong(wrong) => {
                let known = outcome.known_mistakes(self.task);
                let known: Vec<_> = known.iter().map(|known| &*known.name).collect();
                match known == [&*wrong.name] {
                    true => Ok(count),
                    false => Err(format!("these fail: {failed:?}; as in {known:?}")),
                }
            }
        }
    }
}
