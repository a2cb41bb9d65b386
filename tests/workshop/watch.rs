//! Checks again whenever a file changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use kiste_course::checkout;

use crate::check::Check;
use crate::selection::Selection;
use crate::workspace::Workspace;
use crate::{overview, report, results};

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
    let program = program.map(|path| workspace.path(path));
    let next = || Ok(what.cloned().or(overview::next(workspace)?));
    repeat(workspace, program.as_deref(), next, |selected| {
        anstream::println!("\nchecking {selected}");
        let checked = Check::new(workspace, selected, program.as_deref())?.run()?;
        let is_green = report::print(workspace, &checked)?;
        results::note(workspace.root(), &checked)?;
        // A selection is checked again, even if it is green; otherwise the next is.
        let goes_on = is_green && what.is_none();
        if !goes_on {
            anstream::println!("waiting for a change; Ctrl-C ends");
        }
        Ok(goes_on)
    })
}

/// Checks what is next until nothing is. Unless a check says to go on, it waits for a
/// change of the files since the check began.
fn repeat(
    workspace: &Workspace,
    program: Option<&Path>,
    next: impl Fn() -> Result<Option<Selection>>,
    check: impl Fn(&Selection) -> Result<bool>,
) -> Result<()> {
    loop {
        let before = times(workspace, program)?;
        let Some(selected) = next()? else {
            anstream::println!("all tasks are green");
            return Ok(());
        };
        if check(&selected)? {
            continue;
        }
        while times(workspace, program)? == before {
            sleep(PERIOD);
        }
    }
}

/// Returns when each file of the steps, and the program, was changed.
fn times(
    workspace: &Workspace,
    program: Option<&Path>,
) -> Result<BTreeMap<PathBuf, SystemTime>> {
    let mut files = checkout::files_below(&workspace.root().join("steps"))?;
    files.extend(program.map(Path::to_path_buf));
    // An editor replaces a file by a new one, which for a moment is not there.
    let time =
        |file: PathBuf| Some((file.clone(), file.metadata().ok()?.modified().ok()?));
    Ok(files.into_iter().filter_map(time).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc;
    use std::time::Instant;
    use std::{fs, thread};

    use super::*;

    /// Counts the checks when the first is red, and `change` is done during it. The
    /// second is green, and nothing is next.
    fn checks(goes_on: bool, change: fn(&Path)) -> u32 {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(count_checks(goes_on, change)));
        receiver.recv_timeout(Duration::from_secs(30)).expect("a second check")
    }

    fn count_checks(goes_on: bool, change: fn(&Path)) -> u32 {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("steps/02-pid")).unwrap();
        fs::write(dir.path().join("steps/02-pid/init.rs"), "").unwrap();
        let (workspace, count) = (Workspace::at(dir.path()), Cell::new(0));
        let program = dir.path().join("mine");
        let next = || Ok((count.get() < 2).then(|| "2.4".parse().unwrap()));
        let check = |_: &Selection| {
            count.set(count.get() + 1);
            if count.get() == 1 {
                change(dir.path());
            }
            Ok(goes_on || count.get() > 1)
        };
        repeat(&workspace, Some(&program), next, check).unwrap();
        count.get()
    }

    #[test]
    fn a_red_task_is_checked_again_when_a_file_is_changed_added_or_removed() {
        let changes: [fn(&Path); 4] = [
            |dir| fs::write(dir.join("steps/02-pid/init.rs"), "mine").unwrap(),
            |dir| fs::remove_file(dir.join("steps/02-pid/init.rs")).unwrap(),
            |dir| fs::write(dir.join("steps/a"), "").unwrap(),
            |dir| fs::write(dir.join("mine"), "").unwrap(),
        ];
        for change in changes {
            assert_eq!(checks(false, change), 2);
        }
    }

    #[test]
    fn a_green_task_leads_to_the_next_without_a_change() {
        assert_eq!(checks(true, |_| {}), 2);
    }

    #[test]
    fn a_red_task_is_not_checked_again_before_a_change() {
        let late = |dir: &Path| {
            let file = dir.join("steps/02-pid/init.rs");
            thread::spawn(move || {
                sleep(3 * PERIOD);
                fs::write(file, "mine").unwrap();
            });
        };
        let start = Instant::now();
        assert_eq!(checks(false, late), 2);
        assert!(start.elapsed() > 2 * PERIOD);
    }
}
