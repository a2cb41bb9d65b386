//! Makes a learner's workspace from the complete one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use kiste_course::checkout;
use kiste_course::tasks::{Chapter, Sources, Task};

use crate::breakage::refuse_broken;
use crate::workspace::{SOLUTION, Workspace};

/// Makes a workspace whose tasks, from chapter `from` on, are to be done.
///
/// # Errors
/// When the directory exists and is not empty, or cannot be made; when this workspace is
/// itself a learner's. Nothing is left then.
pub fn start(workspace: &Workspace, dir: &Path, from: u32) -> Result<()> {
    refuse_broken(workspace)?;
    if workspace.is_learners() {
        bail!(
            "{} is a learner's workspace itself\n\
             hint: call `cargo workshop start` where you have cloned the course; to begin a \
             chapter anew: `cargo workshop reset CHAPTER`",
            workspace.root().display()
        );
    }
    let tasks = tasks_from(from)?;
    let dir =
        workspace.make_directory(dir, |copy| fill(workspace.root(), copy, &tasks))?;

    anstream::println!("{} is ready: {} tasks", dir.display(), tasks.len());
    anstream::println!("next: cd {}; cargo workshop", dir.display());
    let target = workspace.root().join("target");
    if target.is_dir() {
        let (from, to) = (target.display(), dir.display());
        anstream::println!(
            "`cp -a {from} {to}` before that saves building the libraries again"
        );
    }
    Ok(())
}

/// Copies the workspace, and cuts the answers of these tasks out of the copy.
pub(crate) fn fill(workspace: &Path, copy: &Path, tasks: &[Task]) -> Result<()> {
    for file in checkout::all_files(workspace)? {
        let is_step = file.starts_with("steps");
        let copies = [Some(copy.to_path_buf()), is_step.then(|| copy.join(SOLUTION))];
        for copy in copies.into_iter().flatten() {
            checkout::copy_changed(&workspace.join(&file), &copy.join(&file))
                .with_context(|| file.display().to_string())?;
        }
    }
    if workspace.join("rootfs").is_dir() {
        checkout::copy_tree(&workspace.join("rootfs"), &copy.join("rootfs"))
            .context("rootfs")?;
    }
    cut(copy, tasks)?;
    // A function that is not written yet uses neither its arguments nor other functions.
    let manifest = copy.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).context("Cargo.toml")?;
    let (before, after) = text
        .split_once("[workspace.lints.rust]\n")
        .context("Cargo.toml has no lints")?;
    let text = format!("{before}[workspace.lints.rust]\nunused = \"allow\"\n{after}");
    fs::write(&manifest, text).context("Cargo.toml")
}

/// Cuts the answers of these tasks out of a workspace's source.
///
/// # Errors
/// When a task is not found, or a file cannot be written.
pub fn cut(root: &Path, tasks: &[Task]) -> Result<()> {
    let mut sources = Sources::below(root)?;
    for task in tasks {
        let source = sources.find(&task.number)?;
        let text = source.to_do(&task.number);
        fs::write(root.join(&source.file), &text)
            .with_context(|| source.file.display().to_string())?;
        sources.replace(&source.file, &text);
    }
    Ok(())
}

/// Returns the tasks of this chapter and of all later ones.
///
/// # Errors
/// When there are none.
pub(crate) fn tasks_from(chapter: u32) -> Result<Vec<Task>> {
    let steps = Chapter::steps();
    let is_selected =
        |step: &&String| step[..2].parse().is_ok_and(|it: u32| it >= chapter);
    let selected = steps.iter().filter(is_selected);
    let tasks: Vec<_> = selected.flat_map(|step| Chapter::of(step).tasks).collect();
    ensure!(!tasks.is_empty(), "chapter {chapter} has no tasks, nor has a later one");
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use kiste_course::tasks::Source;

    use super::*;

    #[test]
    fn the_chapters_before_the_first_are_complete() {
        let dir = tempfile::tempdir().unwrap();
        fill(&kiste_course::workspace(), dir.path(), &tasks_from(5).unwrap()).unwrap();
        let number = |number: &str| Source::below(dir.path(), number).unwrap();
        assert!(!number("4.4").is_to_do());
        assert!(number("5.1").is_to_do());
        let manifest = fs::read_to_string(dir.path().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("unused = \"allow\""));
    }
}
