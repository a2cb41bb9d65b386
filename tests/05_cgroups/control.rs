//! Uses the library to freeze, thaw, kill and remove cgroups of the real kernel.
//!
//! The test starts shells. Each shell runs its script once it is in the cgroup.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cgroups::{Cgroup, Limits, Placement};
use kiste_tests::{Fixture, eventually, host};
use kit::{Id, RunDir};

use crate::fixture;

/// The cgroup and the run directory of a container that was never started.
struct Unstarted {
    /// `None` after its removal.
    cgroup: Option<Cgroup>,
    _run_dir: RunDir,
}

fn placement(fixture: &Fixture, id: &Id) -> Placement {
    let parent = fixture.cgroup_parent().parse().unwrap();
    Placement { parent, id: id.clone(), session_bus: None }
}

fn create_container(fixture: &Fixture) -> Unstarted {
    let id = Id::random().unwrap();
    let run_dir = RunDir::create(&fixture.run_dirs(), &id).unwrap();
    let cgroup = Cgroup::create(&placement(fixture, &id), &Limits::default(), &run_dir);
    Unstarted { cgroup: Some(cgroup.unwrap()), _run_dir: run_dir }
}

impl Unstarted {
    fn cgroup(&self) -> &Cgroup {
        self.cgroup.as_ref().unwrap()
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.cgroup()
            .directories()
            .iter()
            .map(|directory| directory.path().to_path_buf())
            .collect()
    }

    /// Starts a shell in the cgroup.
    fn start(&self, script: &str) -> Shell {
        let mut shell = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for path in self.paths() {
            fs::write(path.join("cgroup.procs"), shell.id().to_string()).unwrap();
        }
        shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
        Shell(shell)
    }

    /// Returns the pids of the processes in the cgroup.
    fn processes(&self) -> BTreeSet<String> {
        let texts = self
            .paths()
            .into_iter()
            .map(|path| fs::read_to_string(path.join("cgroup.procs")).unwrap());
        texts
            .flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>())
            .collect()
    }

    /// Removes the cgroup, and asserts that nothing is left of it.
    fn remove(mut self) {
        let paths = self.paths();
        self.cgroup.take().unwrap().remove().unwrap();
        assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        // After a failed test it may be impossible to remove the cgroup, and a second
        // panic would abort all tests.
        if !std::thread::panicking() {
            return;
        }
        let Some(cgroup) = self.cgroup.take() else { return };
        let directories = cgroup.directories().iter();
        let paths: Vec<_> = directories.map(|it| it.path().to_path_buf()).collect();
        std::mem::forget(cgroup);
        eventually(|| {
            for path in paths.iter().filter(|path| path.exists()) {
                let _ = fs::write(path.join("freezer.state"), "THAWED");
                let processes = fs::read_to_string(path.join("cgroup.procs")).ok()?;
                processes.lines().for_each(|pid| host::kill_tree(pid.parse().unwrap()));
                fs::remove_dir(path).ok()?;
            }
            Some(())
        });
    }
}

struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file to which a process in the cgroup appends, until the file is removed.
struct Counter(PathBuf);

impl Counter {
    fn new(fixture: &Fixture) -> Self {
        let path = fixture.dir().join("counter");
        fs::write(&path, "").unwrap();
        Counter(path)
    }

    fn script(&self) -> String {
        let path = self.0.display();
        format!("while [ -e {path} ]; do echo >> {path}; done")
    }

    fn count(&self) -> u64 {
        fs::metadata(&self.0).unwrap().len()
    }

    fn assert_grows(&self) {
        let before = self.count();
        eventually(|| (self.count() > before).then_some(()))
            .expect("the process counts");
    }

    fn assert_stands_still(&self) {
        let before = self.count();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(self.count(), before);
    }
}

/// A tree of processes that fork and exit all the time, so that its pids change all the
/// time. A process whose script file is gone exits, so none is left even if a kill
/// fails.
struct ForkingTree(PathBuf);

impl ForkingTree {
    fn new(fixture: &Fixture) -> Self {
        let script = fixture.dir().join("fork.sh");
        let path = script.display();
        fs::write(&script, format!("[ -e {path} ] || exit\nsh {path} &\n")).unwrap();
        ForkingTree(script)
    }

    fn script(&self) -> String {
        let path = self.0.display();
        format!("for i in 1 2 3 4; do sh {path} & done; sleep 100")
    }
}

impl Drop for ForkingTree {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn frozen_processes_stand_still_and_run_again_when_they_are_thawed() {
    let Some(fixture) = fixture() else { return };
    let (container, counter) = (create_container(&fixture), Counter::new(&fixture));
    let _shell = container.start(&counter.script());
    counter.assert_grows();
    for _ in 0..3 {
        container.cgroup().freeze().unwrap();
        counter.assert_stands_still();
        container.cgroup().thaw().unwrap();
        counter.assert_grows();
    }
    container.cgroup().kill().unwrap();
    counter.assert_stands_still();
    container.remove();
}

#[test]
fn a_forking_tree_is_frozen_as_a_whole() {
    let Some(fixture) = fixture() else { return };
    let (container, tree) = (create_container(&fixture), ForkingTree::new(&fixture));
    let _shell = container.start(&tree.script());
    let before = container.processes();
    eventually(|| (container.processes() != before).then_some(())).expect("they fork");
    container.cgroup().freeze().unwrap();
    let frozen = container.processes();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(container.processes(), frozen);
    container.cgroup().thaw().unwrap();
    eventually(|| (container.processes() != frozen).then_some(()))
        .expect("they fork again");
    container.remove();
}

/// A program that signals one process after the other would never reach all of them.
#[test]
fn kill_reaches_a_tree_that_forks_faster_than_it_can_be_listed() {
    let Some(fixture) = fixture() else { return };
    let (container, tree) = (create_container(&fixture), ForkingTree::new(&fixture));
    let _shell = container.start(&tree.script());
    let before = container.processes();
    eventually(|| (container.processes() != before).then_some(())).expect("they fork");
    container.cgroup().kill().unwrap();
    assert_eq!(container.processes(), BTreeSet::new());
    container.remove();
}

#[test]
fn kill_reaches_frozen_processes() {
    let Some(fixture) = fixture() else { return };
    let (container, counter) = (create_container(&fixture), Counter::new(&fixture));
    let shell = container.start(&counter.script());
    counter.assert_grows();
    container.cgroup().freeze().unwrap();
    container.cgroup().kill().unwrap();
    assert_eq!(container.processes(), BTreeSet::new());
    host::assert_exits(shell.0.id());
    container.remove();
}

/// On a hybrid host `cgroup.kill` does not kill processes that version 1 has frozen.
#[test]
fn kill_reaches_processes_that_another_program_has_frozen() {
    let Some(fixture) = fixture() else { return };
    let (container, counter) = (create_container(&fixture), Counter::new(&fixture));
    let _shell = container.start(&counter.script());
    counter.assert_grows();
    freeze_from_outside(&container.paths());
    counter.assert_stands_still();
    container.cgroup().kill().unwrap();
    assert_eq!(container.processes(), BTreeSet::new());
    container.remove();
}

/// Freezes the cgroups by every means that the kernel has for them, and waits until
/// they are frozen.
pub fn freeze_from_outside(paths: &[PathBuf]) {
    for (file, text, state_file, state) in [
        ("cgroup.freeze", "1", "cgroup.events", "frozen 1"),
        ("freezer.state", "FROZEN", "freezer.state", "FROZEN"),
    ] {
        for path in paths.iter().filter(|path| path.join(file).exists()) {
            // The freezer of version 1 may need a second write: it has no event.
            let frozen = eventually(|| {
                fs::write(path.join(file), text).unwrap();
                let now = fs::read_to_string(path.join(state_file)).unwrap();
                now.contains(state).then_some(())
            });
            frozen.expect("the cgroup is frozen");
        }
    }
}

#[test]
fn kill_of_an_empty_cgroup_returns_at_once() {
    let Some(fixture) = fixture() else { return };
    let container = create_container(&fixture);
    container.cgroup().kill().unwrap();
    container.remove();
}

#[test]
fn remove_kills_the_processes_in_cgroups_below_and_removes_these_cgroups() {
    let Some(fixture) = fixture() else { return };
    let (container, counter) = (create_container(&fixture), Counter::new(&fixture));
    let shell = container.start(&counter.script());
    counter.assert_grows();
    for path in container.paths() {
        let inner = path.join("inner/most");
        fs::create_dir_all(&inner).unwrap();
        // A new cpuset of version 1 is empty, and refuses processes.
        for file in ["cpuset.cpus", "cpuset.mems"]
            .into_iter()
            .filter(|file| path.join(file).exists())
        {
            let above = fs::read_to_string(path.join(file)).unwrap();
            let _ = fs::write(path.join("inner").join(file), &above);
            let _ = fs::write(inner.join(file), &above);
        }
        fs::write(inner.join("cgroup.procs"), shell.0.id().to_string()).unwrap();
    }
    container.remove();
    host::assert_exits(shell.0.id());
}

#[test]
fn a_dropped_cgroup_is_killed_and_removed() {
    let Some(fixture) = fixture() else { return };
    let (container, counter) = (create_container(&fixture), Counter::new(&fixture));
    let shell = container.start(&counter.script());
    counter.assert_grows();
    let paths = container.paths();
    drop(container);
    host::assert_exits(shell.0.id());
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
}

/// The error has a hint, and the existing cgroup stays as it is.
#[test]
fn create_fails_if_a_cgroup_of_this_id_exists_and_keeps_that_cgroup() {
    let Some(fixture) = fixture() else { return };
    let neighbour = create_container(&fixture);
    let id = Id::random().unwrap();
    let run_dir = RunDir::create(&fixture.run_dirs(), &id).unwrap();
    // Only the last hierarchy has a cgroup of this id. The library has already made the
    // cgroups in the other hierarchies when it fails.
    let existing = neighbour.paths().pop().unwrap().with_file_name(id.as_str());
    fs::create_dir(&existing).unwrap();
    let refused =
        Cgroup::create(&placement(&fixture, &id), &Limits::default(), &run_dir)
            .unwrap_err();
    let error = kit::Failure::of(&refused);
    assert!(error.to_string().contains("EEXIST"), "{error}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("gc")), "{error:?}");
    assert!(existing.exists(), "the existing cgroup is not removed");
    fs::remove_dir(existing).unwrap();
    assert!(neighbour.paths().iter().all(|path| path.exists()));
    neighbour.remove();
}
