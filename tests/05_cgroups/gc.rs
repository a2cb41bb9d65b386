//! `gc` and the next run find and remove the cgroups that a `kill -9` of the runtime
//! has left behind.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use kiste_tests::{Fixture, Ran, Running, eventually, explain, host};
use kit::ProcessIdentity;

use crate::control::freeze_from_outside;
use crate::kernel;
use crate::{fixture, fixture_with};

pub fn gc(fixture: &Fixture) -> Ran {
    fixture.call(["gc", "--run-dir", fixture.run_dirs().to_str().unwrap()])
}

/// A container that a killed runtime has left behind.
pub struct LeftBehind {
    pub id: String,
    pub cgroups: Vec<PathBuf>,
    pub run_dir: PathBuf,
    pub pid: i32,
}

impl LeftBehind {
    /// Kills the runtime of a container with SIGKILL, and asserts that its cgroups and
    /// run directory are left.
    pub fn by_killing(fixture: &Fixture, running: Running) -> Self {
        let id = kernel::id(&running);
        let (cgroups, run_dir) =
            (kernel::directories(fixture, &id), fixture.run_dirs().join(&id));
        let left = LeftBehind { id, cgroups, run_dir, pid: running.pid };
        running.kill_runtime();
        assert!(
            !left.cgroups.is_empty() && left.cgroups.iter().all(|path| path.exists())
        );
        assert!(left.run_dir.exists());
        left
    }

    /// Writes the state of the container, as step 10 does.
    fn write_state(&self, state: ProcessIdentity) {
        let text = serde_json::to_string(&state).unwrap();
        fs::write(self.run_dir.join(kit::STATE_FILE), text).unwrap();
    }

    pub fn assert_gone(&self) {
        host::assert_exits(self.pid);
        assert!(!self.run_dir.exists(), "{}", self.run_dir.display());
        for cgroup in &self.cgroups {
            assert!(!cgroup.exists(), "{}", cgroup.display());
        }
    }
}

const SLEEP: [&str; 2] = ["sleep", "100"];

#[test]
fn gc_removes_what_a_killed_runtime_left_and_prints_the_containers_id() {
    let Some(fixture) = fixture() else { return };
    let left = LeftBehind::by_killing(&fixture, fixture.start(&["-m", "64m"], &SLEEP));
    host::assert_exits(left.pid); // by its parent-death signal
    let ran = gc(&fixture);
    ran.assert_stdout(&left.id);
    assert_eq!(ran.err, "");
    left.assert_gone();
    gc(&fixture).assert_stdout("");
}

#[test]
fn the_next_run_also_removes_what_a_killed_runtime_left_and_prints_nothing() {
    let Some(fixture) = fixture() else { return };
    let left = LeftBehind::by_killing(&fixture, fixture.start(&[], &SLEEP));
    let ran = fixture.run(&[], &["echo", "next"]);
    ran.assert_stdout("next");
    assert_eq!(ran.err, "");
    left.assert_gone();
}

#[test]
fn gc_of_a_missing_directory_finds_nothing() {
    let Some(fixture) = fixture() else { return };
    gc(&fixture).assert_stdout("");
    assert!(!fixture.run_dirs().exists());
}

#[test]
fn gc_touches_no_container_that_is_alive() {
    let Some(fixture) = fixture() else { return };
    let start = || fixture.start(&[], &["sh", "-c", "read line; exit 4"]);
    let (one, dead, other) = (start(), start(), start());
    let are_alive =
        |running: &[&Running]| running.iter().all(|it| host::is_alive(it.pid));
    // Each start runs `gc` first, which must leave the living containers alone.
    assert!(are_alive(&[&one, &dead, &other]), "gc has killed a living container");
    let left = LeftBehind::by_killing(&fixture, dead);
    gc(&fixture).assert_stdout(&left.id);
    left.assert_gone();
    assert!(are_alive(&[&one, &other]), "gc has killed a living container");
    for living in [&one, &other] {
        let id = kernel::id(living);
        assert_eq!(kernel::directories(&fixture, &id).len(), left.cgroups.len());
        assert!(fixture.run_dirs().join(id).exists());
    }
    one.end().exits(4);
    other.end().exits(4);
}

#[test]
fn gc_also_removes_cgroups_that_the_container_made_in_its_cgroup() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &SLEEP);
    for cgroup in kernel::directories(&fixture, &kernel::id(&running)) {
        fs::create_dir_all(cgroup.join("inner/most")).unwrap();
    }
    let left = LeftBehind::by_killing(&fixture, running);
    gc(&fixture).assert_stdout(&left.id);
    left.assert_gone();
}

/// A process can clear its parent-death signal (PR_SET_PDEATHSIG).
#[test]
fn gc_kills_a_container_that_has_outlived_its_runtime() {
    let Some(fixture) = fixture() else { return };
    let left = LeftBehind::by_killing(&fixture, start_survivor(&fixture));
    assert!(
        host::is_alive(left.pid),
        "the container must outlive its runtime, or there is nothing to test"
    );
    gc(&fixture).assert_stdout(&left.id);
    left.assert_gone();
}

#[test]
fn the_next_run_kills_a_container_that_has_outlived_its_runtime() {
    let Some(fixture) = fixture() else { return };
    let left = LeftBehind::by_killing(&fixture, start_survivor(&fixture));
    assert!(
        host::is_alive(left.pid),
        "the container must outlive its runtime, or there is nothing to test"
    );
    fixture.run(&[], &["true"]).exits(0);
    left.assert_gone();
}

/// The container is in the state that `create` of step 10 leaves: `create` exits while
/// the container runs on.
#[test]
fn a_container_without_a_creator_is_kept_while_its_state_names_a_running_process() {
    let fixture = fixture().filter(|fixture| fixture.step().is_ours());
    let Some(fixture) = fixture else { return };
    let left = LeftBehind::by_killing(&fixture, start_survivor(&fixture));
    let state = ProcessIdentity::of_process(left.pid).unwrap();
    left.write_state(state.clone());
    gc(&fixture).assert_stdout("");
    fixture.run(&[], &["true"]).exits(0);
    assert!(host::is_alive(left.pid), "a living container was killed");
    assert!(left.run_dir.exists() && left.cgroups.iter().all(|path| path.exists()));

    // Now the state names another process, which has taken over the pid.
    left.write_state(ProcessIdentity {
        start_time: state.start_time + 1,
        ..state.clone()
    });
    gc(&fixture).assert_stdout(&left.id);
    left.assert_gone();
}

#[test]
fn the_next_run_removes_a_container_whose_state_names_another_process() {
    let fixture = fixture().filter(|fixture| fixture.step().is_ours());
    let Some(fixture) = fixture else { return };
    let left = LeftBehind::by_killing(&fixture, start_survivor(&fixture));
    let state = ProcessIdentity::of_process(left.pid).unwrap();
    left.write_state(ProcessIdentity {
        start_time: state.start_time + 1,
        ..state.clone()
    });
    let ran = fixture.run(&[], &["true"]);
    ran.exits(0);
    assert_eq!(ran.err, "");
    left.assert_gone();
}

/// After the write to cgroup.kill, the run waits until the cgroup is empty. Without the
/// wait it would still find processes, and signal them one by one.
#[test]
fn a_container_that_has_outlived_its_runtime_is_killed_by_one_write() {
    let fixture =
        fixture_with(&["cgroup-kill"]).filter(|fixture| fixture.step().is_ours());
    let Some(fixture) = fixture else { return };
    // The processes have a low priority, and are so many that some still exist when
    // the write returns.
    let hundred_processes =
        "i=0; while [ $i -lt 100 ]; do nice -n 19 sleep 100 & i=$((i+1)); done";
    let left = LeftBehind::by_killing(
        &fixture,
        start_survivor_after(&fixture, hundred_processes),
    );
    let mut cgroups = left.cgroups.iter();
    let cgroup = cgroups.find(|cgroup| cgroup.join("cgroup.kill").exists()).unwrap();
    let ran = fixture.run(&["--explain=json"], &["true"]);
    let calls = explain::calls_of("parent", ran.exits(0));
    left.assert_gone();
    let mut lines = ran.err.lines();
    let removed = lines.find(|line| line.contains("rmdir")).unwrap();
    assert!(
        removed.contains(cgroup.to_str().unwrap()),
        "another cgroup was removed first: {removed}"
    );
    let calls_before_rmdir = calls.split(|call| call == "rmdir").next().unwrap();
    let calls_before_rmdir: Vec<_> =
        calls_before_rmdir.iter().filter(|call| *call != "poll").collect();
    assert_eq!(
        calls_before_rmdir,
        ["mkdir", "flock", "write"],
        "the calls before the first rmdir, without poll"
    );
}

/// Starts a container whose PID 1 has cleared its PDEATHSIG, and has a child in another
/// session. The script uses the host's setpriv(1), so the container has the host's
/// programs as volumes.
fn start_survivor(fixture: &Fixture) -> Running {
    start_survivor_after(fixture, "setsid sleep 100 &")
}

/// Does the same, but PID 1 first runs the line `first` of shell.
fn start_survivor_after(fixture: &Fixture, first: &str) -> Running {
    let host_dirs = ["/usr", "/bin", "/lib", "/lib64"]
        .into_iter()
        .filter(|dir| Path::new(dir).exists());
    let volumes: Vec<_> = host_dirs.map(|dir| format!("-v={dir}:{dir}:ro")).collect();
    let options: Vec<_> = volumes.iter().map(String::as_str).collect();
    let survive =
        "exec setpriv --pdeathsig clear sh -c 'echo > /survives; exec sleep 100'";
    let script = format!("exec </dev/null >/dev/null 2>&1\n{first}\n{survive}");
    let running = fixture.start(&options, &["sh", "-c", &script]);
    let marker = fixture.rootfs().join("survives");
    eventually(|| marker.exists().then_some(())).expect("PID 1 clears its PDEATHSIG");
    running
}

/// On version 1 SIGKILL has no effect until the process is thawed.
#[test]
fn gc_removes_a_container_that_was_frozen_when_its_runtime_died() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &SLEEP);
    freeze_from_outside(&kernel::directories(&fixture, &kernel::id(&running)));
    let left = LeftBehind::by_killing(&fixture, running);
    gc(&fixture).assert_stdout(&left.id);
    left.assert_gone();
}

/// Root in the container can mount the freezer itself. Without version 2, `gc` has to
/// thaw each cgroup before SIGKILL has an effect.
#[test]
fn gc_removes_a_container_that_has_frozen_one_of_its_processes() {
    let Some(fixture) = fixture_with(&["cgroup-v1"]) else { return };
    let script = "mkdir /freezer; mount -t cgroup -o freezer none /freezer; cd /freezer; mkdir inner; \
                  sleep 100 </dev/null >/dev/null 2>&1 & echo $! > inner/cgroup.procs; \
                  until grep FROZEN inner/freezer.state; do echo FROZEN > inner/freezer.state; done; read line";
    let mut running = fixture.start_under(&WITHOUT_V2, &[], &["sh", "-c", script]);
    running.wait_for("FROZEN");
    let left = LeftBehind::by_killing(&fixture, running);
    let run_dirs = fixture.run_dirs();
    fixture
        .call_under(&WITHOUT_V2, ["gc", "--run-dir", run_dirs.to_str().unwrap()])
        .assert_stdout(&left.id);
    left.assert_gone();
}

/// A command line that runs a program in a mount namespace with only version 1.
const WITHOUT_V2: [&str; 7] = [
    "unshare",
    "--mount",
    "--propagation=private",
    "sh",
    "-c",
    "while read -r _ place type _; do [ $type != cgroup2 ] || umount $place; done </proc/mounts; exec \"$@\"",
    "sh",
];

/// The id of a container whose runtime has died.
const DEAD: &str = "0123456789ab";

/// Notes the parent and the container's own cgroup in each hierarchy, as a runtime does
/// before it makes them. Returns their paths.
fn note_cgroups(fixture: &Fixture) -> Vec<PathBuf> {
    let parents = host::cgroup_mounts()
        .into_iter()
        .map(|mount| mount.join(fixture.cgroup_parent()));
    let noted: Vec<_> =
        parents.flat_map(|parent| [parent.clone(), parent.join(DEAD)]).collect();
    let note: String =
        noted.iter().map(|path| format!("{}\n", path.display())).collect();
    let run_dir = fixture.run_dirs().join(DEAD);
    fs::create_dir_all(&run_dir).unwrap();
    fs::write(run_dir.join("cgroups"), note).unwrap();
    noted
}

/// The runtime notes its cgroups before it makes them, so `gc` finds them even if the
/// runtime died in between.
#[test]
fn gc_finds_every_cgroup_of_a_runtime_that_died_while_it_made_them() {
    let fixture = fixture().filter(|fixture| fixture.step().is_ours());
    let Some(fixture) = fixture else { return };
    // As if a runtime had died after it made two cgroups in the first hierarchy: the
    // parent, with the sticky bit, and the container's own.
    let noted = note_cgroups(&fixture);
    fs::DirBuilder::new().mode(0o1755).create(&noted[0]).unwrap();
    fs::create_dir(&noted[1]).unwrap();
    gc(&fixture).assert_stdout(DEAD);
    assert!(noted.iter().all(|path| !path.exists()), "{noted:?}");
    assert!(!fixture.run_dirs().join(DEAD).exists());
}

/// The runtime noted a parent that was missing, and died. Meanwhile the administrator
/// has made a cgroup of that name.
#[test]
fn gc_keeps_a_parent_that_the_administrator_has_made() {
    let Some(fixture) = fixture() else { return };
    let parent = note_cgroups(&fixture).swap_remove(0);
    fs::create_dir(&parent).unwrap();
    gc(&fixture).assert_stdout(DEAD);
    assert!(parent.exists(), "gc has removed it");
    fixture.run(&[], &["true"]).exits(0);
    assert!(parent.exists(), "gc has marked it, and the last container has removed it");
    fs::remove_dir(&parent).unwrap();
}
