//! Takes one feature out of a step, so that one sees what it prevents, and puts it back.
//! `tests/mutants/list` has the features: the tests and the chapter's proof must notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kiste_course::checkout;
use similar::TextDiff;

use crate::files;
use crate::workspace::Workspace;

/// The directory in which the source is kept as it was before, and after.
const BROKEN: &str = ".workshop/broken";

/// The last chapter of which the page `break.md` tells.
const LAST_CHAPTER: u32 = 8;

/// A feature that can be taken out: a line of `tests/mutants/list`.
struct Feature {
    step: String,
    name: String,
    file: PathBuf,
    /// Commands of sed(1).
    edit: String,
    /// The test that must fail then.
    test: String,
}

/// Whether a step is broken on purpose.
pub fn is_broken(workspace: &Workspace) -> bool {
    workspace.root().join(BROKEN).exists()
}

/// Refuses to copy a workspace in which a step is broken.
///
/// # Errors
/// When one is.
pub fn refuse_broken(workspace: &Workspace) -> Result<()> {
    ensure!(
        !is_broken(workspace),
        "a step is broken on purpose\nhint: `cargo workshop restore` puts it right"
    );
    Ok(())
}

/// Takes a feature out of the step of this chapter.
///
/// # Errors
/// When one is out already, when the chapter has none, or when the source has changed so
/// that the feature is not found. Nothing is changed then.
pub fn break_chapter(workspace: &Workspace, chapter: u32) -> Result<()> {
    let (root, kept) = (workspace.root(), workspace.root().join(BROKEN));
    refuse_broken(workspace)?;
    let feature = feature_of(root, chapter)?;
    let before = fs::read_to_string(root.join(&feature.file))
        .with_context(|| feature.file.display().to_string())?;
    let after = edit(&root.join(&feature.file), &feature.edit)?;
    ensure!(
        after != before,
        "{} does not have {} any more; is the task done?",
        feature.file.display(),
        feature.name
    );
    // Both are there at once, and whole: `restore` takes the one for the other.
    let new = root.join(BROKEN).with_added_extension("new");
    let _ = fs::remove_dir_all(&new);
    files::write(&new.join("before").join(&feature.file), &before)
        .and_then(|()| files::write(&new.join("after").join(&feature.file), &after))
        .inspect_err(|_| _ = fs::remove_dir_all(&new))?;
    fs::rename(&new, &kept).with_context(|| kept.display().to_string())?;
    files::replace(&root.join(&feature.file), &after)
        .inspect_err(|_| _ = fs::remove_dir_all(&kept))?;
    anstream::println!("{} is broken: without {}\n", feature.step, feature.name);
    anstream::println!(
        "{}",
        TextDiff::from_lines(&before, &after).unified_diff().context_radius(1)
    );
    let package = format!("step-{}", feature.step);
    let target = feature.step.replace('-', "_");
    anstream::println!(
        "see it: book/src/break.md, the section of chapter {chapter}; or by its test:"
    );
    anstream::println!("  cargo test -p {package} --test {target} {}", feature.test);
    anstream::println!("`cargo workshop restore` puts it back");
    Ok(())
}

/// Puts back what was taken out.
///
/// # Errors
/// When nothing is broken, or when the broken file has been changed since.
pub fn restore(workspace: &Workspace) -> Result<()> {
    let (root, kept) = (workspace.root(), workspace.root().join(BROKEN));
    let (before, after) = (kept.join("before"), kept.join("after"));
    ensure!(before.is_dir(), "nothing is broken");
    for path in checkout::files_below(&before)? {
        let file = path.strip_prefix(&before)?;
        let theirs =
            fs::read(root.join(file)).with_context(|| file.display().to_string())?;
        let is_whole = theirs == fs::read(&path)?;
        if !is_whole && fs::read(after.join(file))? != theirs {
            bail!(
                "{} has been changed since it was broken\n\
                 hint: what it was before is in {}; remove {BROKEN} when you have put it back",
                file.display(),
                path.display()
            );
        }
        if !is_whole {
            files::replace(&root.join(file), &fs::read_to_string(&path)?)?;
        }
        anstream::println!("{} is whole again", file.display());
    }
    fs::remove_dir_all(&kept).with_context(|| kept.display().to_string())
}

/// Finds the feature of a chapter: the one whose absence the chapter's own proof shows.
fn feature_of(root: &Path, chapter: u32) -> Result<Feature> {
    let path = root.join("tests/mutants/list");
    let list = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(chapter <= LAST_CHAPTER, "chapter {chapter} has nothing to break");
    let prefix = format!("{chapter:02}-");
    let lines = list.lines().filter(|line| line.starts_with(&prefix));
    let mut lines: Vec<Vec<_>> =
        lines.map(|line| line.split(" @ ").map(str::trim).collect()).collect();
    lines.sort_by_key(|columns| columns.len() < 7);
    match lines.first().map(Vec::as_slice) {
        Some([step, name, file, edit, test, ..]) => Ok(Feature {
            step: (*step).into(),
            name: (*name).into(),
            file: file.into(),
            edit: (*edit).into(),
            test: (*test).into(),
        }),
        _ => bail!("chapter {chapter} has nothing to break"),
    }
}

/// Returns a file as sed(1) has edited it.
fn edit(file: &Path, commands: &str) -> Result<String> {
    let output =
        Command::new("sed").arg(commands).arg(file).output().context("run sed")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn each_chapter_of_part_1_is_broken_and_restored() {
    use crate::starter::fill;

    let dir = tempfile::tempdir().unwrap();
    fill(&kiste_course::workspace(), dir.path(), &[]).unwrap();
    let workspace = Workspace::at(dir.path());
    let page = fs::read_to_string(dir.path().join("book/src/break.md")).unwrap();
    for chapter in 0..=LAST_CHAPTER {
        let name = feature_of(dir.path(), chapter).unwrap().name;
        let heading = format!("\n## Chapter {chapter}: without {name}\n");
        assert!(page.contains(&heading), "break.md lacks {heading}");
        let file = dir.path().join(feature_of(dir.path(), chapter).unwrap().file);
        let whole = fs::read_to_string(&file).unwrap();
        break_chapter(&workspace, chapter).unwrap();
        assert_ne!(fs::read_to_string(&file).unwrap(), whole);
        let again = break_chapter(&workspace, chapter).unwrap_err();
        assert!(again.to_string().contains("broken on purpose"));
        restore(&workspace).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), whole);
    }
    assert!(restore(&workspace).is_err(), "nothing is broken");
    // A `break` that was killed, or whose disk was full, has changed nothing.
    let half = dir.path().join(".workshop/broken.new/before/steps/01-uts/src/lib.rs");
    files::write(&half, "half of i").unwrap();
    assert!(restore(&workspace).is_err(), "nothing is broken");
    // A full disk, in place of the file that is to replace the source.
    let full = dir.path().join("steps/01-uts/src/lib.rs.new");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    assert!(break_chapter(&workspace, 1).is_err());
    assert!(restore(&workspace).is_err(), "nothing is broken");
    break_chapter(&workspace, 1).unwrap();
    fs::write(dir.path().join("steps/01-uts/src/lib.rs"), "mine").unwrap();
    let changed = restore(&workspace).unwrap_err().to_string();
    assert!(changed.contains("has been changed since"), "{changed}");
}
