//! The files of the workspace, and copies of it in which code is changed and built.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lists the files of the workspace below these paths, or all files if no path is
/// given: the files that git tracks, and new files that it does not ignore.
///
/// # Errors
/// When git fails.
pub fn files(paths: &[&str]) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    let output = git
        .args(["ls-files", "-co", "--exclude-standard", "--"])
        .args(paths)
        .output()?;
    if !output.status.success() {
        return Err(Error::other("git does not list the files"));
    }
    let text = String::from_utf8(output.stdout).map_err(Error::other)?;
    Ok(text.lines().map(PathBuf::from).filter(|file| file.is_file()).collect())
}

/// Copies a file of the workspace into a copy of the workspace. A file that is the same
/// there keeps its modification time; otherwise cargo would build everything anew.
///
/// # Errors
/// When the file cannot be read or written.
pub fn refresh(file: &Path, copy: &Path) -> Result<()> {
    let (text, target) = (fs::read(file)?, copy.join(file));
    if fs::read(&target).ok().as_ref() != Some(&text) {
        fs::create_dir_all(target.parent().expect("a file is in a directory"))?;
        fs::write(&target, text)?;
        // Scripts are executable.
        fs::set_permissions(&target, fs::metadata(file)?.permissions())?;
    }
    Ok(())
}

/// Lists the files below a directory in the order of their names, without build output.
///
/// # Errors
/// When a directory cannot be read.
pub fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true if path.ends_with("target") => {}
            true => files.extend(files_below(&path)?),
            false => files.push(path),
        }
    }
    files.sort();
    Ok(files)
}
