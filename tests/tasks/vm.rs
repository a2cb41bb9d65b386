//! The tasks that this machine cannot check. Their answers are built on this machine,
//! and tested in one boot of the virtual machine with cgroup version 2.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kiste_course::tasks::Task;
use kiste_tests::rootfs;

use crate::table::{Judgement, Row};
use crate::trial::{Answer, Trial};
use crate::working_copy::WorkingCopy;

/// Tests all answers to these tasks of a step.
pub fn test_all(copy: &WorkingCopy, step: &str, tasks: &[&Task]) -> Result<Vec<Row>> {
    let (dir, out) = (copy.dir().join("vm"), copy.dir().join("vm-out"));
    for dir in [&dir, &out] {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
    }
    let mut trials = Vec::new();
    for task in tasks {
        for answer in [Answer::Right].into_iter().chain(Answer::wrong_ones(task)) {
            let trial = Trial::build(copy, step, task, answer)?;
            copy_programs(copy, step, &trial, &dir.join(trials.len().to_string()))?;
            trials.push((*task, answer, trial));
        }
    }
    let status = Command::new("tests/vm/run")
        .args(["--", "bash", "tests/tasks/in-the-vm"])
        .args([&dir, &out])
        .arg(copy.dir())
        .arg(step)
        .env("KISTE_VM_OUT", &out)
        .env("KISTE_ROOTFS", rootfs::original())
        .env("KISTE_CHECK", &step[..2])
        .envs([("INSTA_UPDATE", "no"), ("RUST_BACKTRACE", "0")])
        .status()
        .context("start tests/vm/run")?;
    ensure!(status.success(), "tests/vm/run: {status}");
    let judged = trials.iter().enumerate().map(|(nth, (task, answer, trial))| {
        let output = fs::read_to_string(out.join(format!("{nth}.out")))?;
        let code = fs::read_to_string(out.join(format!("{nth}.code")))?;
        let judgement = match trial.judge(&output, code.trim().parse()?) {
            Ok(why) => Judgement::Good(format!("{why}, on cgroup v2")),
            Err(what) => Judgement::Bad(what, output),
        };
        Ok(Row::new(task, answer.name(), judgement))
    });
    judged.collect()
}

/// Copies the built programs, which the next build overwrites.
fn copy_programs(
    copy: &WorkingCopy,
    step: &str,
    trial: &Trial<'_>,
    dir: &Path,
) -> Result<()> {
    fs::create_dir_all(dir)?;
    let program = copy.dir().join("target/debug").join(step);
    fs::copy(&program, dir.join("program")).context("copy the program")?;
    fs::copy(&trial.built.test, dir.join("test")).context("copy the tests")?;
    let [_, test, rest @ ..] = &trial.words()[..] else { unreachable!() };
    let paths = format!("{}\n{test}\n", program.display());
    fs::write(dir.join("paths"), paths)?;
    Ok(fs::write(dir.join("words"), rest.join("\n") + "\n")?)
}
