//! The book as readers have it: files of HTML, made by mdbook.

use std::fs;
use std::path::Path;
use std::process::Command;

use kiste_tests::{host, report_missing};
use tempfile::TempDir;

use super::browser::Browser;

/// Files that are no page of their own: all pages in one, the table of contents for
/// browsers without JavaScript, and the answer of a web server.
const NO_PAGES: [&str; 3] = ["print.html", "toc.html", "404.html"];

/// The built book.
pub struct Site {
    dir: TempDir,
}

impl Site {
    /// Builds the book, and opens a browser for it. None if one of both is missing.
    pub fn in_browser(workspace: &Path) -> Option<(Self, Browser)> {
        let site = Site::build(workspace)?;
        Some((site, Browser::start()?))
    }

    fn build(workspace: &Path) -> Option<Self> {
        if !host::has("mdbook") {
            let fix =
                "not found in PATH (cargo install mdbook --version 0.5.4 --locked)";
            report_missing("mdbook", fix);
            return None;
        }
        let dir = tempfile::Builder::new().prefix("kiste-test-").tempdir().unwrap();
        let mut build = Command::new("mdbook");
        build.arg("build").arg(workspace.join("book")).arg("-d").arg(dir.path());
        let output = build.output().expect("run mdbook");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mdbook: {stderr}");
        Some(Site { dir })
    }

    /// Returns the names of all pages: `01-uts.html`.
    pub fn pages(&self) -> Vec<String> {
        let files = fs::read_dir(self.dir.path()).expect("list the built book");
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut pages: Vec<_> = names
            .filter(|name| name.ends_with(".html") && !NO_PAGES.contains(&&name[..]))
            .collect();
        pages.sort();
        assert!(pages.len() > 20, "{pages:?}");
        pages
    }

    /// Returns the names of the chapters' pages.
    pub fn chapters(&self) -> Vec<String> {
        let mut pages = self.pages();
        pages.retain(|page| page.starts_with(|first: char| first.is_ascii_digit()));
        pages
    }

    /// Returns the path of a page: `01-uts.html`, or `01-uts.html#slides`.
    pub fn path(&self, page: &str) -> String {
        self.dir.path().join(page).display().to_string()
    }
}
