//! The workspace in which the command runs: a learner's, or the complete one from which
//! learners' workspaces are made.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use kiste_course::checkout;
use kiste_course::tasks::{Source, Sources, Task};
use rustix::fs::{Mode, OFlags};
use similar::TextDiff;

use crate::selection::Selection;

/// The complete steps, in a learner's workspace.
pub const SOLUTION: &str = ".workshop/solution";

/// A workspace.
pub struct Workspace {
    root: PathBuf,
    called_from: PathBuf,
}

/// A workspace that was made by `start`.
pub struct Learner<'w> {
    root: &'w Path,
    solution: PathBuf,
}

impl Workspace {
    /// Opens the workspace of this program.
    ///
    /// # Errors
    /// When it has been moved away since it was built.
    pub fn open() -> Result<Self> {
        let (root, called_from) = (kiste_course::workspace(), std::env::current_dir()?);
        std::env::set_current_dir(&root).with_context(|| {
            format!("{}: the workspace of this program is gone", root.display())
        })?;
        Ok(Workspace { root, called_from })
    }

    /// Opens another workspace.
    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Workspace { root: root.into(), called_from: root.into() }
    }

    /// Returns its root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a path of the command line, which is relative to where the program was
    /// called, as an absolute one.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.called_from.join(path)
    }

    /// Makes a directory that is there at once and whole, or not at all, and returns its
    /// path. Other users may read it as they may read this workspace.
    ///
    /// # Errors
    /// When it exists and is not empty, or has no directory to be in; the errors of
    /// `fill`.
    pub fn make_directory(
        &self,
        dir: &Path,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let dir = self.called_from.join(dir);
        // A link is not replaced, whatever it leads to.
        let is_free = fs::symlink_metadata(&dir).map_or(true, |there| {
            let mut files = fs::read_dir(&dir).into_iter().flatten();
            there.is_dir() && files.next().is_none()
        });
        ensure!(is_free, "{} exists and is not an empty directory", dir.display());
        let parent = dir.parent().context("the root directory is no place for it")?;
        ensure!(parent.is_dir(), "{} is no directory", parent.display());
        let parent = fs::canonicalize(parent)?;
        let name = dir.file_name().with_context(|| dir.display().to_string())?;
        let name = format!(".{}.unfinished", name.display());
        let unfinished = Unfinished::create(parent.join(name))?;
        fill(&unfinished.path)?;
        fs::set_permissions(&unfinished.path, fs::metadata(&self.root)?.permissions())?;
        fs::rename(&unfinished.path, &dir)
            .with_context(|| dir.display().to_string())?;
        Ok(dir)
    }

    /// Whether it was made by `start`.
    pub fn is_learners(&self) -> bool {
        self.root.join(SOLUTION).is_dir()
    }

    /// Returns it as a learner's workspace.
    ///
    /// # Errors
    /// When it is the complete one.
    pub fn learner(&self) -> Result<Learner<'_>> {
        if !self.is_learners() {
            bail!(
                "{} is complete: there is nothing to fill in\n\
                 hint: `cargo workshop start DIR` makes a workspace of yours",
                self.root.display()
            );
        }
        Ok(Learner { root: &self.root, solution: self.root.join(SOLUTION) })
    }
}

/// A directory that is being made. Dropping it removes it, unless it was renamed. One
/// that a killed process has left is made anew.
struct Unfinished {
    path: PathBuf,
    _lock: File,
}

impl Unfinished {
    fn create(path: PathBuf) -> Result<Self> {
        if let Err(error) = fs::create_dir(&path)
            && error.kind() != ErrorKind::AlreadyExists
        {
            bail!(
                "{}: {error}\nhint: name a place where you may make a directory",
                path.display()
            );
        }
        // It is emptied, so it must be no link to another directory; and what another
        // user may change is no workspace.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let lock = rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty())
            .map(File::from)
            .with_context(|| format!("{} is in the way", path.display()))?;
        ensure!(
            lock.metadata()?.uid() == rustix::process::geteuid().as_raw(),
            "{} is another user's",
            path.display()
        );
        lock.try_lock().with_context(|| {
            format!("another process is making it: {}", path.display())
        })?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(Unfinished { path, _lock: lock })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Learner<'_> {
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
            self.write(&theirs.file, &theirs.with_body(ours.body()))?;
            anstream::println!("task {} is filled in: {}", task.number, place(&theirs));
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
                    .header(&format!("yours: {}", place(&theirs)), "ours")
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
                self.write(&theirs.file, &theirs.to_do(&tasks[0].number))?;
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
        let number = &task.number;
        let theirs = Source::below(self.root, number).map_err(|error| {
            let chapter = number.split('.').next().unwrap_or(number);
            anyhow!(
                "{error}\nhint: it marks the task; `cargo workshop reset {chapter}` \
                 restores the files of the chapter, and saves your answers"
            )
        })?;
        let ours =
            Source::below(&self.solution, number).map_err(|error| anyhow!(error))?;
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

    fn write(&self, file: &Path, text: &str) -> Result<()> {
        checkout::replace(&self.root.join(file), text)
            .with_context(|| file.display().to_string())
    }
}

/// Cuts the answers of these tasks out of a workspace's source.
///
/// # Errors
/// When a task is not found, or a file cannot be written.
pub fn cut(root: &Path, tasks: &[Task]) -> Result<()> {
    let mut sources = Sources::below(root).map_err(|error| anyhow!(error))?;
    for task in tasks {
        let source = sources.find(&task.number).map_err(|error| anyhow!(error))?;
        let text = source.to_do(&task.number);
        fs::write(root.join(&source.file), &text)
            .with_context(|| source.file.display().to_string())?;
        sources.replace(&source.file, &text);
    }
    Ok(())
}

/// Names the place of a task: `steps/02-pid/src/init.rs:84, fn reap`.
pub fn place(source: &Source) -> String {
    format!("{}:{}, fn {}", source.file.display(), source.line(), source.function)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;
    use crate::starter::{fill, tasks_from};

    fn source(root: &Path, task: &Task) -> Source {
        Source::below(root, &task.number).unwrap()
    }

    fn learner(root: &Path) -> Learner<'_> {
        Learner { root, solution: root.join(SOLUTION) }
    }

    #[test]
    fn every_task_is_cut_out_and_filled_in_again() {
        let (dir, complete) = (tempfile::tempdir().unwrap(), kiste_course::workspace());
        let (root, tasks) = (dir.path(), tasks_from(0).unwrap());
        fill(&complete, root, &tasks).unwrap();
        for task in &tasks {
            assert!(source(root, task).is_to_do(), "{}", task.number);
            learner(root).solve(&Selection::of(task)).unwrap();
        }
        for file in checkout::files_below(&complete.join("steps")).unwrap() {
            let file = file.strip_prefix(&complete).unwrap();
            let (ours, theirs) =
                (fs::read(complete.join(file)), fs::read(root.join(file)));
            assert!(ours.unwrap() == theirs.unwrap(), "{}", file.display());
        }
    }

    #[test]
    fn a_directory_that_cannot_be_filled_leaves_nothing_and_a_killed_one_is_made_anew()
    {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(dir.path());
        let new = Path::new("mine");
        let failed = workspace.make_directory(new, |dir| {
            fs::write(dir.join("half"), "")?;
            bail!("full")
        });
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        fs::create_dir(dir.path().join(".mine.unfinished")).unwrap();
        fs::write(dir.path().join(".mine.unfinished/half"), "").unwrap();
        let made = workspace.make_directory(new, |dir| {
            let again = workspace.make_directory(new, |_| Ok(())).unwrap_err();
            assert!(again.to_string().contains("another process"), "{again}");
            Ok(fs::write(dir.join("whole"), "")?)
        });
        assert_eq!(checkout::files_below(&made.unwrap()).unwrap().len(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let taken = workspace.make_directory(new, |_| Ok(())).unwrap_err();
        assert!(taken.to_string().ends_with("is not an empty directory"), "{taken}");
    }

    #[test]
    fn a_link_in_the_way_and_the_files_to_which_it_leads_stay() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(dir.path());
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("theirs")).unwrap();
        fs::write(path("theirs/letter"), "").unwrap();
        symlink(path("theirs"), path(".mine.unfinished")).unwrap();
        let make = |name: &str| {
            let made = workspace.make_directory(Path::new(name), |_| Ok(()));
            made.unwrap_err().to_string()
        };
        assert!(make("mine").ends_with(".mine.unfinished is in the way"));
        assert!(path("theirs/letter").exists());
        for (link, to) in [("full", "theirs"), ("dangling", "nowhere")] {
            symlink(path(to), path(link)).unwrap();
            assert!(make(link).ends_with("is not an empty directory"));
        }
        if rustix::process::geteuid().is_root() {
            fs::create_dir(path(".ours.unfinished")).unwrap();
            chown(path(".ours.unfinished"), Some(65534), None).unwrap();
            assert!(make("ours").ends_with("is another user's"));
        }
    }

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

    #[test]
    fn an_answer_is_saved_before_it_is_replaced() {
        let (dir, complete) = (tempfile::tempdir().unwrap(), kiste_course::workspace());
        let root = dir.path();
        fill(&complete, root, &tasks_from(2).unwrap()).unwrap();
        let (_, tasks) = "2.4".parse::<Selection>().unwrap().tasks().unwrap();
        let theirs = source(root, &tasks[0]);
        let path = root.join(&theirs.file);
        fs::write(&path, theirs.with_body("    mine()\n")).unwrap();
        learner(root).reset(&"2.4".parse().unwrap()).unwrap();
        assert!(source(root, &tasks[0]).is_to_do());
        fs::write(&path, "nothing\n").unwrap();
        let lost = learner(root).solve(&"2.4".parse().unwrap()).unwrap_err();
        assert!(lost.to_string().contains("cargo workshop reset 2"), "{lost}");
        learner(root).reset(&"2".parse().unwrap()).unwrap();
        assert!(source(root, &tasks[0]).is_to_do());
        let saved = |name: &str| {
            fs::read_to_string(root.join(".workshop/saved").join(name)).unwrap()
        };
        assert_eq!(saved("2.4.rs.1"), "    mine()\n");
        assert_eq!(saved("steps/02-pid/src/init.rs.1"), "nothing\n");
    }
}
