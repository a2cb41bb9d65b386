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
    files_of(Path::new("."), paths)
}

fn files_of(root: &Path, paths: &[&str]) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    let output = git
        .current_dir(root)
        // Without -z, git quotes names that are not plain ASCII.
        .args(["ls-files", "-z", "-co", "--exclude-standard", "--"])
        .args(paths)
        .output()?;
    if !output.status.success() {
        return Err(Error::other("git does not list the files"));
    }
    let text = String::from_utf8(output.stdout).map_err(Error::other)?;
    Ok(text
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|file| root.join(file).is_file())
        .collect())
}

/// Lists all files of the workspace at `root`, relative to it: as [`files`] does, or
/// where there is no git, all but what the workspace's own programs make.
///
/// # Errors
/// When a directory cannot be read.
pub fn all_files(root: &Path) -> Result<Vec<PathBuf>> {
    if root.join(".git").exists()
        && let Ok(files) = files_of(root, &[])
    {
        return Ok(files);
    }
    let made = ["target", "rootfs", ".git", ".workshop", "book/book"];
    let mut files = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        match path.is_dir() {
            _ if made.iter().any(|made| name.starts_with(made)) => {}
            true => files.extend(files_below(&path)?),
            false => files.push(path),
        }
    }
    let relative = files.iter().map(|file| file.strip_prefix(root).unwrap_or(file));
    let kept = relative.filter(|file| made.iter().all(|made| !file.starts_with(made)));
    Ok(kept.map(PathBuf::from).collect())
}

/// Copies a file of the workspace into a copy of the workspace. A file that is the same
/// there keeps its modification time; otherwise cargo would build everything anew.
///
/// # Errors
/// When the file cannot be read or written.
pub fn refresh(file: &Path, copy: &Path) -> Result<()> {
    copy_changed(file, &copy.join(file))
}

/// Copies a file, unless the copy is the same, and makes the directory of the copy.
///
/// # Errors
/// When the file cannot be read or written.
pub fn copy_changed(file: &Path, target: &Path) -> Result<()> {
    let text = fs::read(file)?;
    if fs::read(target).ok().as_ref() != Some(&text) {
        fs::create_dir_all(target.parent().expect("a file is in a directory"))?;
        fs::write(target, text)?;
        // Scripts are executable.
        fs::set_permissions(target, fs::metadata(file)?.permissions())?;
    }
    Ok(())
}

/// Copies a tree: directories, files with their modes, and links. A child process does
/// it: while this process has a program open for writing, a child forked by another
/// thread has it open as well, and then execve fails with ETXTBSY.
///
/// # Errors
/// When the copy cannot be made, or cp(1) fails.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut cp = Command::new("cp");
    cp.args(["-RP", "--preserve=mode"]).arg(from.join(".")).arg(to);
    let status = cp.status()?;
    if !status.success() {
        return Err(Error::other(format!("cp fails: {status}")));
    }
    Ok(())
}

/// Replaces the text of a file, which is there at any time: before or after the change.
///
/// # Errors
/// When the file cannot be written.
pub fn replace(file: &Path, text: &str) -> Result<()> {
    let permissions = fs::metadata(file)?.permissions();
    let new = file.with_added_extension("new");
    let replaced = fs::write(&new, text)
        .and_then(|()| fs::set_permissions(&new, permissions))
        .and_then(|()| fs::rename(&new, file));
    replaced.inspect_err(|_| _ = fs::remove_file(&new))
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

#[test]
fn a_file_is_listed_whatever_its_name() {
    let dir = tempfile::tempdir().unwrap();
    // Without git, the directories are read.
    if crate::programs::has("git") {
        let git = Command::new("git").args(["init", "-q"]).arg(dir.path()).status();
        assert!(git.unwrap().success());
    }
    for name in ["plain", "übung.rs", "two\nlines"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    assert_eq!(all_files(dir.path()).unwrap().len(), 3);
}

#[test]
fn a_text_that_does_not_fit_leaves_the_file_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("main.rs");
    fs::write(&file, "whole").unwrap();
    // The device is always full, as a disk may be.
    std::os::unix::fs::symlink("/dev/full", dir.path().join("main.rs.new")).unwrap();
    assert!(replace(&file, "another").is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "whole");
    assert_eq!(files_below(dir.path()).unwrap(), [file]);
}
