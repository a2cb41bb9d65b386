//! The pages of the book, and the READMEs of the repository and of the steps.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use kiste_course::checkout::files_below;

/// The last chapter of Part I.
const LAST_WITH_TASKS: u32 = 8;

pub struct Book {
    /// The workspace, to which all paths of pages are relative.
    pub root: PathBuf,
    pub pages: Vec<Page>,
}

#[derive(Clone)]
pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

impl Book {
    /// Reads `book/src/**.md`, `README.md`, and the existing `steps/NN-name/README.md`.
    pub fn open(root: &Path) -> Result<Self> {
        let mut paths = files_below(&root.join("book/src")).context("list book/src")?;
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "md"));
        let steps = fs::read_dir(root.join("steps")).into_iter().flatten().flatten();
        let mut readmes: Vec<_> =
            steps.map(|step| step.path().join("README.md")).collect();
        readmes.sort();
        readmes.push(root.join("README.md"));
        paths.extend(readmes.into_iter().filter(|readme| readme.exists()));
        let pages =
            paths.iter().map(|path| Page::read(root, path)).collect::<Result<_>>()?;
        Ok(Book { root: root.to_path_buf(), pages })
    }

    pub fn page(&self, path: &Path) -> Option<&Page> {
        self.pages.iter().find(|page| page.path == path)
    }

    /// Returns the pages `NN-name.md`, which follow the chapters' template.
    pub fn chapters(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(|page| page.number().is_some())
    }

    /// Returns the chapters whose code the reader writes: Part I. Part II (chapters 9 and
    /// later) is for reading, since most of its work is to put the rooms of Part I
    /// together. So those chapters have no numbered tasks, and no check.
    pub fn chapters_with_tasks(&self) -> impl Iterator<Item = &Page> {
        self.chapters().filter(|page| page.has_tasks())
    }

    /// Returns the Rust sources of the steps, relative to the workspace.
    pub fn step_sources(&self) -> Vec<PathBuf> {
        let files = files_below(&self.root.join("steps")).unwrap_or_default();
        let sources =
            files.iter().filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
        sources
            .filter_map(|path| path.strip_prefix(&self.root).ok().map(PathBuf::from))
            .collect()
    }

    pub fn read(&self, path: &Path) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }
}

impl Page {
    fn read(root: &Path, path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("read {}", path.display()))?;
        Ok(Page { path: path.strip_prefix(root)?.to_path_buf(), text })
    }

    /// Formats a problem so that editors and terminals can jump to its line.
    pub fn at(&self, line: usize, problem: impl std::fmt::Display) -> String {
        format!("{}:{line}: {problem}", self.path.display())
    }

    /// Returns the chapter's number: 3 for `book/src/03-mount.md`.
    pub fn number(&self) -> Option<u32> {
        if !self.path.starts_with("book/src") {
            return None;
        }
        let (number, _) = self.path.file_name()?.to_str()?.split_once('-')?;
        (number.len() == 2).then(|| number.parse().ok()).flatten()
    }

    /// Returns whether it is a chapter of Part I, which asks for tasks.
    pub fn has_tasks(&self) -> bool {
        self.number().is_some_and(|number| number <= LAST_WITH_TASKS)
    }

    /// Resolves a relative link of this page to a path in the workspace.
    pub fn resolve(&self, target: &str) -> PathBuf {
        let mut path = self.path.parent().unwrap_or(Path::new("")).to_path_buf();
        for part in Path::new(target).components() {
            match part {
                Component::ParentDir if path.parent().is_some() => _ = path.pop(),
                Component::CurDir => {}
                other => path.push(other),
            }
        }
        path
    }
}

#[test]
fn a_path_is_resolved_from_its_page() {
    let page = Page { path: "book/src/01-uts.md".into(), text: String::new() };
    assert_eq!(page.resolve("../../steps/a.rs"), Path::new("steps/a.rs"));
    assert_eq!(page.resolve("./img/x.svg"), Path::new("book/src/img/x.svg"));
    assert_eq!(page.number(), Some(1));
}
