//! The run directory of a container shows whether the container is alive. Nothing that
//! a living container uses is removed from the store.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use kiste_tests::{Running, host};
use serde_json::{Value, json};

use crate::minimal_layer::minimal_layer;
use crate::test_store::{TestStore, as_root_and_as_user, root, with_ranges};

/// A container in the store, and the run directory that it has or had.
struct Container {
    id: String,
    run_dir: PathBuf,
}

impl Container {
    /// Starts a container that makes a file and then becomes this program.
    fn start(store: &TestStore, image: &str, program: &str) -> (Running, Self) {
        let script = format!("touch /made; echo made; exec {program}");
        let mut running = store.start(image, &[], &["sh", "-c", &script]);
        running.wait_for("made");
        let ids = store.names_in("containers");
        let [id] = &ids[..] else { panic!("{ids:?}") };
        let run_dir = store.fixture().run_dirs().join(id);
        (running, Container { id: id.clone(), run_dir })
    }

    /// Makes a container whose `run` was killed with SIGKILL. Its files are still in
    /// the store, and its run directory is still there, but nobody holds the lock of it.
    fn orphan(store: &TestStore, image: &str) -> Self {
        let (running, container) = Container::start(store, image, "sleep 1000");
        let pid = running.pid;
        running.kill_runtime();
        host::assert_exits(pid);
        container
    }

    /// Writes a state file, as the runtime does for a container that outlives it.
    fn set_state(&self, store: &TestStore, pid: u32, start_time: u64) {
        let state = json!({"pid": pid, "start_time": start_time}).to_string();
        let path = self.run_dir.join("state.json");
        fs::write(&path, state).unwrap();
        store.chown_to_owner(&path);
    }

    fn note_path(&self, store: &TestStore) -> PathBuf {
        store.path().join("containers").join(&self.id).join("container.json")
    }

    fn change_note(&self, store: &TestStore, change: impl FnOnce(&mut Value)) {
        let path = self.note_path(store);
        let mut note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut note);
        fs::write(&path, note.to_string()).unwrap();
    }

    #[track_caller]
    fn assert_kept(&self, store: &TestStore) {
        assert_eq!(store.names_in("containers"), [self.id.as_str()]);
        assert_eq!(store.names_in("layers").len(), 1);
        let upper = store.path().join("containers").join(&self.id).join("upper");
        assert!(upper.join("made").exists());
    }
}

/// A process that stands in for a container's first process. Dropping it kills the
/// process.
struct StandIn(Child);

impl StandIn {
    fn start() -> Self {
        StandIn(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn start_time(&self) -> u64 {
        host::stat_field(self.0.id(), 22).parse().unwrap()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_container_whose_state_file_names_a_living_process_keeps_its_files_and_layers() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let orphan = Container::orphan(store, "small:1");
        let process = StandIn::start();
        let (pid, start_time) = (process.0.id(), process.start_time());
        orphan.set_state(store, pid, start_time);
        store.gc().exits(0);
        orphan.assert_kept(store);
        // rmi removes the name. The layers of a living container stay.
        store.call(&["rmi", "small:1"]).exits(0);
        orphan.assert_kept(store);
        let ran = store.call(&["diff", &orphan.id]);
        assert!(ran.exits(0).out.contains("A /made\n"), "{ran:?}");
        // With another start time, the pid belongs to another process by now.
        orphan.set_state(store, pid, start_time + 1);
        store.gc().exits(0);
        store.assert_empty("gc of a container that is gone");
    });
}

#[test]
fn a_run_does_not_remove_a_container_whose_state_file_names_a_living_process() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let orphan = Container::orphan(&store, "small:1");
    let process = StandIn::start();
    orphan.set_state(&store, process.0.id(), process.start_time());
    store.run("small:1", &[], &["true"]).exits(0);
    orphan.assert_kept(&store);
    drop(process);
    store.run("small:1", &[], &["true"]).exits(0);
    assert_eq!(store.names_in("containers"), [""; 0]);
}

/// A logout removes $XDG_RUNTIME_DIR, and another mount namespace may hide it.
#[test]
fn a_container_keeps_its_files_when_its_run_directory_is_lost_while_it_runs() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let (running, container) = Container::start(store, "small:1", "cat");
        // In the same directory, which would be removed if it were empty.
        let aside = container.run_dir.with_extension("aside");
        fs::rename(&container.run_dir, &aside).unwrap();
        store.gc().exits(0);
        container.assert_kept(store);
        store.run("small:1", &[], &["true"]).exits(0);
        container.assert_kept(store);
        fs::rename(&aside, &container.run_dir).unwrap();
        running.end();
    });
}

/// After a reboot, /run is empty.
#[test]
fn a_container_without_a_run_directory_is_removed() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let orphan = Container::orphan(store, "small:1");
        let aside = store.dir().join("aside");
        fs::rename(&orphan.run_dir, &aside).unwrap();
        store.call(&["rmi", "small:1"]).exits(0);
        store.assert_empty("rmi after a reboot");
        fs::rename(&aside, &orphan.run_dir).unwrap();
        store.gc().exits(0); // removes its cgroup
    });
}

#[test]
fn gc_with_another_run_dir_option_keeps_a_living_container() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let running = store.start("small:1", &[], &["sleep", "1000"]);
        store.call(&["rmi", "small:1"]).exits(0);
        let other = store.dir().join("other-run-dir");
        store.call(&["gc", "--run-dir", other.to_str().unwrap()]).exits(0);
        assert_eq!(store.names_in("containers").len(), 1);
        assert_eq!(store.names_in("layers").len(), 1);
        drop(running);
        store.gc().exits(0);
    });
}

#[test]
fn a_container_whose_run_directory_cannot_be_examined_is_kept_with_a_warning() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let orphan = Container::orphan(store, "small:1");
        let aside = store.dir().join("aside");
        fs::rename(&orphan.run_dir, &aside).unwrap();
        fs::write(&orphan.run_dir, "a file").unwrap();
        let ran = store.call(&["rmi", "small:1"]);
        ran.exits(0)
            .assert_stderr_contains("warning: ")
            .assert_stderr_contains(&orphan.id);
        orphan.assert_kept(store);
        fs::remove_file(&orphan.run_dir).unwrap();
        fs::rename(&aside, &orphan.run_dir).unwrap();
        store.gc().exits(0);
        store.assert_empty("gc");
    });
}

#[test]
fn a_users_container_is_kept_if_only_root_can_enter_its_run_directory() {
    let Some(store) = with_ranges() else { return };
    store.import(minimal_layer(), "small:1");
    let orphan = Container::orphan(&store, "small:1");
    let run_dirs = store.fixture().run_dirs();
    std::os::unix::fs::chown(&run_dirs, Some(0), Some(0)).unwrap();
    let ran = store.call(&["rmi", "small:1"]);
    ran.exits(0).assert_stderr_contains("warning: ").assert_stderr_contains("EACCES");
    orphan.assert_kept(&store);
    store.chown_to_owner(&run_dirs);
    store.gc().exits(0);
    store.assert_empty("gc");
}

#[test]
fn a_container_with_a_note_of_an_older_version_is_kept_with_a_hint() {
    as_root_and_as_user(|store| {
        store.import(minimal_layer(), "small:1");
        let orphan = Container::orphan(store, "small:1");
        let remove =
            |note: &mut Value| drop(note.as_object_mut().unwrap().remove("run_dir"));
        orphan.change_note(store, remove);
        let ran = store.gc();
        ran.exits(0)
            .assert_stderr_contains("warning: ")
            .assert_stderr_contains("hint: an older version");
        orphan.assert_kept(store);
        store
            .run("small:1", &[], &["true"])
            .exits(0)
            .assert_stderr_contains(&orphan.id);
        orphan.assert_kept(store);
        let gone = store.dir().join("gone").display().to_string();
        orphan.change_note(store, |note| note["run_dir"] = json!(gone));
        store.call(&["rmi", "small:1"]).exits(0);
        store.assert_empty("rmi");
    });
}

/// The note (`container.json`) says which layers the container uses. If it cannot be
/// read, all layers stay.
#[test]
fn a_note_that_cannot_be_read_stops_the_removal_of_layers() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let orphan = Container::orphan(&store, "small:1");
    orphan.change_note(&store, |note| *note = json!("damaged"));
    let ran = store.call(&["rmi", "small:1"]);
    ran.exits(1)
        .assert_stderr_contains("container.json")
        .assert_stderr_contains("hint: ");
    orphan.assert_kept(&store);
    fs::remove_dir_all(store.path().join("containers").join(&orphan.id)).unwrap();
    store.gc().exits(0);
    store.assert_empty("gc");
}

#[test]
fn no_command_waits_for_a_note_or_reads_2_gib_of_it() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let orphan = Container::orphan(&store, "small:1");
    let note = orphan.note_path(&store);
    let mkfifo = || nix::unistd::mkfifo(&note, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let sparse = || fs::File::create(&note).unwrap().set_len(2 << 30).unwrap();
    let link = || std::os::unix::fs::symlink("/dev/zero", &note).unwrap();
    for make in [&mkfifo as &dyn Fn(), &sparse, &link] {
        fs::remove_file(&note).unwrap();
        make();
        for ran in [
            store.gc(),
            store.call(&["tag", "small:1", "two:1"]),
            store.call(&["rmi", "two:1"]),
        ] {
            if ran.code != 0 {
                ran.exits(1).assert_stderr_contains("container.json");
            }
        }
        assert!(store.gc().code != 0, "nothing is removed");
        orphan.assert_kept(&store);
    }
    fs::remove_dir_all(store.path().join("containers").join(&orphan.id)).unwrap();
    store.gc().exits(0);
}

/// The runtime completes a note before its directory gets its name. Afterwards only a
/// power failure can empty the note, and no container survives that.
#[test]
fn a_container_with_an_empty_note_is_removed() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let orphan = Container::orphan(&store, "small:1");
    fs::write(orphan.note_path(&store), "").unwrap();
    store.call(&["rmi", "small:1"]).exits(0);
    assert_eq!(store.names_in("containers"), [""; 0]);
    store.gc().exits(0);
}
