//! The rule by which a container is alive or gone, for all code that collects garbage.
//!
//! A container is alive while a process holds the lock of its run directory, or while
//! its `state.json` names a process that runs. So a container that is created,
//! running or paused is never collected, whether or not its creator still runs. The
//! resources of a container also stay while its noted first process runs; `gc` kills
//! that process.

use std::path::Path;

use anyhow::Result;

use crate::first_process;
use crate::lock::{Locked, open_run_dir, try_lock_shared};
use crate::process_identity::{Liveness, ProcessIdentity};
use crate::state_file::liveness_by_state;

/// Tells whether the container of this run directory is alive.
///
/// `runtime` is the process that held the lock when it wrote its note. If that
/// process runs, the container is alive even if the directory is missing: a logout
/// removes a directory in `$XDG_RUNTIME_DIR`, and another mount namespace may not
/// show it.
///
/// # Errors
/// When the directory, its lock, its `state.json` or the process cannot be examined. A
/// caller that removes something must not take an error for [`Liveness::Gone`].
pub fn liveness(run_dir: &Path, runtime: Option<&ProcessIdentity>) -> Result<Liveness> {
    let Some(directory) = open_run_dir(run_dir)? else {
        return runtime.map_or(Ok(Liveness::Gone), ProcessIdentity::liveness);
    };
    match try_lock_shared(&directory, run_dir)? {
        Locked::ByOther => Ok(Liveness::Alive),
        // `gc` has just removed the directory, and a new container may have made it
        // again.
        Locked::Removed => liveness(run_dir, runtime),
        Locked::ByUs => match liveness_by_state(&directory, run_dir)? {
            // The container's directory may have been replaced by another, which
            // nobody locks.
            Liveness::Gone if runtime.is_some_and(ProcessIdentity::surely_runs) => {
                Ok(Liveness::Alive)
            }
            Liveness::Gone => first_process::liveness(&directory, run_dir),
            Liveness::Alive => Ok(Liveness::Alive),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::id::Id;
    use crate::run_dir::RunDir;
    use crate::state_file::STATE_FILE;

    /// Makes a run directory as a killed owner leaves it, with this state.
    fn make_run_dir(parent: &Path, state: Option<&str>) -> std::path::PathBuf {
        use std::os::unix::fs::DirBuilderExt;
        let path = parent.join(Id::random().unwrap().as_str());
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        if let Some(state) = state {
            fs::write(path.join(STATE_FILE), state).unwrap();
        }
        path
    }

    fn ourselves() -> ProcessIdentity {
        ProcessIdentity::of_process(std::process::id() as i32).unwrap()
    }

    fn json(state: &ProcessIdentity) -> String {
        serde_json::to_string(state).unwrap()
    }

    #[test]
    fn a_container_is_alive_while_its_lock_is_held_and_gone_once_it_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let run_dir = RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
        assert_eq!(liveness(run_dir.path(), None).unwrap(), Liveness::Alive);
        assert_eq!(
            liveness(run_dir.path(), None).unwrap(),
            Liveness::Alive,
            "asked again"
        );
        let path = run_dir.path().to_path_buf();
        drop(run_dir);
        assert_eq!(liveness(&path, None).unwrap(), Liveness::Gone, "not there");
        assert_eq!(
            liveness(&make_run_dir(scratch.path(), None), None).unwrap(),
            Liveness::Gone
        );
    }

    #[test]
    fn without_a_lock_a_container_is_alive_while_the_process_of_its_state_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let state = json(&ourselves()).replace('{', r#"{"id": "more", "#);
        let path = make_run_dir(scratch.path(), Some(&state));
        assert_eq!(liveness(&path, None).unwrap(), Liveness::Alive);
        assert_eq!(
            liveness(&path, None).unwrap(),
            Liveness::Alive,
            "asking leaves no lock"
        );
        assert!(RunDir::abandoned(scratch.path()).unwrap().is_empty());
        let other = RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
        assert!(other.abandoned_nearby().unwrap().is_empty());
        assert!(path.join(STATE_FILE).exists(), "nothing was removed");
    }

    #[test]
    fn without_its_directory_a_container_is_alive_while_its_runtime_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let ourselves = ourselves();
        let missing = scratch.path().join("missing");
        let replaced = make_run_dir(scratch.path(), None);
        let both = |runtime: &ProcessIdentity| {
            [&missing, &replaced].map(|path| liveness(path, Some(runtime)))
        };
        let assert_both = |expected: Liveness, runtime: &ProcessIdentity| {
            let found = both(runtime).map(Result::unwrap);
            assert_eq!(found, [expected, expected], "{runtime:?}");
        };
        assert_both(Liveness::Alive, &ourselves);
        let ended = ourselves.start_time + 1;
        assert_both(
            Liveness::Gone,
            &ProcessIdentity { start_time: ended, ..ourselves.clone() },
        );
        let boot = Some("another".into());
        assert_both(Liveness::Gone, &ProcessIdentity { boot, ..ourselves.clone() });

        let namespaces = Some([1, 1]);
        let [missing, replaced] = both(&ProcessIdentity { namespaces, ..ourselves });
        let error = format!("{:#}", missing.unwrap_err());
        assert!(error.contains("another PID or time namespace"), "{error}");
        assert_eq!(replaced.unwrap(), Liveness::Gone, "its lock is free");
    }

    #[test]
    fn a_container_is_gone_if_its_process_is_another_or_a_zombie_or_does_not_exist() {
        let scratch = tempfile::tempdir().unwrap();
        let assert_gone = |state: ProcessIdentity| {
            let path = make_run_dir(scratch.path(), Some(&json(&state)));
            assert_eq!(liveness(&path, None).unwrap(), Liveness::Gone, "{state:?}");
        };
        let ourselves = ourselves();
        assert_gone(ProcessIdentity {
            start_time: ourselves.start_time + 1,
            ..ourselves.clone()
        });

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let ended = ProcessIdentity::of_process(child.id() as i32).unwrap();
        drop(child.stdin.take());
        let options = rustix::process::WaitIdOptions::EXITED
            | rustix::process::WaitIdOptions::NOWAIT;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
        assert_gone(ended.clone()); // a zombie
        child.wait().unwrap();
        assert_gone(ended); // no process
        assert_eq!(RunDir::abandoned(scratch.path()).unwrap().len(), 3);
    }

    #[test]
    fn a_state_that_cannot_be_examined_is_an_error_and_nothing_is_collected() {
        let scratch = tempfile::tempdir().unwrap();
        for wrong in ["", "{}", "garbage", r#"{"pid": 0, "start_time": 1}"#] {
            let path = make_run_dir(scratch.path(), Some(wrong));
            let error = liveness(&path, None).unwrap_err();
            assert!(format!("{error:#}").contains("state.json"), "{error:#}");
        }
        let path = make_run_dir(scratch.path(), None);
        fs::create_dir(path.join(STATE_FILE)).unwrap();
        liveness(&path, None).unwrap_err();
        let all = RunDir::abandoned(scratch.path()).unwrap();
        assert!(all.len() == 5 && all.iter().all(Result::is_err), "{all:?}");
    }

    #[test]
    fn a_run_directory_that_cannot_be_examined_is_an_error() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        liveness(&file, None).unwrap_err();
        liveness(&file.join("below"), None).unwrap_err();
        let path = make_run_dir(scratch.path(), None);
        symlink(&path, scratch.path().join("link")).unwrap();
        liveness(&scratch.path().join("link"), None).unwrap_err();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        liveness(&path, None).unwrap_err();
    }
}
