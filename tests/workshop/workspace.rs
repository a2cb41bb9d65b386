//! The workspace in which the command runs: a learner's, or the complete one from which
//! learners' workspaces are made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::learner::Learner;
use crate::unfinished::Unfinished;

/// The complete steps, in a learner's workspace.
pub const SOLUTION: &str = ".workshop/solution";

/// A workspace.
pub struct Workspace {
    root: PathBuf,
    called_from: PathBuf,
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
        Ok(Learner::at(&self.root))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use kiste_course::checkout;

    use super::*;

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
}
