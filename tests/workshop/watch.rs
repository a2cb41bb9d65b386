//! Checks again whenever a file changes.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use kiste_tests::checkout;

use crate::check::Check;
use crate::selection::Selection;
use crate::workspace::Workspace;
use crate::{overview, report};

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_millis(300);

/// Checks a selection, or always the next task, until the caller presses Ctrl-C or all
/// is green.
///
/// # Errors
/// As [`Check::run`].
pub fn watch(
    workspace: &Workspace,
    what: Option<&Selection>,
    program: Option<&Path>,
) -> Result<()> {
    loop {
        let before = newest(workspace, program)?;
        let Some(selected) = what.cloned().or(overview::next(workspace)?) else {
            anstream::println!("all tasks are green");
            return Ok(());
        };
        anstream::println!("\nchecking {selected}");
        let checked = Check::new(workspace, &selected, program)?.run()?;
        if report::print(workspace, &checked)? && what.is_none() {
            continue; // with the next task
        }
        anstream::println!("waiting for a change; Ctrl-C ends");
        while newest(workspace, program)? == before {
            sleep(PERIOD);
        }
    }
}

/// Returns when the newest file of the steps, or the program, was changed, and how many
/// files there are.
fn newest(
    workspace: &Workspace,
    program: Option<&Path>,
) -> Result<(SystemTime, usize)> {
    let mut files = checkout::files_below(&workspace.root().join("steps"))?;
    files.extend(program.map(Path::to_path_buf));
    // An editor replaces a file by a new one, which for a moment is not there.
    let times = files.iter().filter_map(|file| file.metadata().ok()?.modified().ok());
    Ok((times.max().unwrap_or(SystemTime::UNIX_EPOCH), files.len()))
}
