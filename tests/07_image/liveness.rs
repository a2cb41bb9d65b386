//! Whether a container lives: its run directory says so, and nothing that a living
//! container uses is removed from the store.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use kiste_tests::host;
use serde_json::{Value, json};

use crate::shop::{Shop, everywhere, root, with_ranges};
use crate::tiny::tiny;

/// A container whose `run` was killed with -9: its files are still in the store, and
/// its run directory is there, unlocked.
struct Orphan {
    id: String,
    run_dir: PathBuf,
}

impl Orphan {
    fn of(shop: &Shop, image: &str) -> Self {
        let script = "touch /made; echo made; exec sleep 1000";
        let mut running = shop.start(image, &[], &["sh", "-c", script]);
        running.wait_for("made");
        let pid = running.pid;
        running.kill_runtime();
        host::assert_dies(pid);
        let ids = shop.in_store("containers");
        let [id] = &ids[..] else { panic!("{ids:?}") };
        Orphan { id: id.clone(), run_dir: shop.bench().run_dirs().join(id) }
    }

    /// Writes the state that a runtime leaves whose container runs on without it.
    fn set_state(&self, shop: &Shop, pid: u32, start_time: u64) {
        let state = json!({"pid": pid, "start_time": start_time}).to_string();
        let path = self.run_dir.join("state.json");
        fs::write(&path, state).unwrap();
        shop.give(&path);
    }

    fn note(&self, shop: &Shop) -> PathBuf {
        shop.store().join("containers").join(&self.id).join("container.json")
    }

    fn change_note(&self, shop: &Shop, change: impl FnOnce(&mut Value)) {
        let path = self.note(shop);
        let mut note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut note);
        fs::write(&path, note.to_string()).unwrap();
    }

    #[track_caller]
    fn is_kept(&self, shop: &Shop) {
        assert_eq!(shop.in_store("containers"), [self.id.as_str()]);
        assert_eq!(shop.in_store("layers").len(), 1);
        let upper = shop.store().join("containers").join(&self.id).join("upper");
        assert!(upper.join("made").exists());
    }
}

/// A process that stands for a container's first one. Dropped, it is killed.
struct StandIn(Child);

impl StandIn {
    fn start() -> Self {
        StandIn(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn start_time(&self) -> u64 {
        host::stat(self.0.id(), 22).parse().unwrap()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_container_that_its_state_says_is_alive_keeps_its_files_and_layers() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let orphan = Orphan::of(shop, "small:1");
        let process = StandIn::start();
        let (pid, start_time) = (process.0.id(), process.start_time());
        orphan.set_state(shop, pid, start_time);
        shop.gc().exits(0);
        orphan.is_kept(shop);
        // As for every living container, the name goes and the layers stay.
        shop.call(&["rmi", "small:1"]).exits(0);
        orphan.is_kept(shop);
        let ran = shop.call(&["diff", &orphan.id]);
        assert!(ran.exits(0).out.contains("A /made\n"), "{ran:?}");
        // Another process may have the same id one day.
        orphan.set_state(shop, pid, start_time + 1);
        shop.gc().exits(0);
        shop.holds_nothing("gc of a container that is gone");
    });
}

#[test]
fn a_run_does_not_remove_a_container_that_its_state_says_is_alive() {
    let Some(shop) = root() else { return };
    shop.import(tiny(), "small:1");
    let orphan = Orphan::of(&shop, "small:1");
    let process = StandIn::start();
    orphan.set_state(&shop, process.0.id(), process.start_time());
    shop.run("small:1", &[], &["true"]).exits(0);
    orphan.is_kept(&shop);
    drop(process);
    shop.run("small:1", &[], &["true"]).exits(0);
    assert_eq!(shop.in_store("containers"), [""; 0]);
}

/// After a reboot, /run is empty.
#[test]
fn a_container_without_a_run_directory_is_gone() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let orphan = Orphan::of(shop, "small:1");
        let aside = shop.dir().join("aside");
        fs::rename(&orphan.run_dir, &aside).unwrap();
        shop.call(&["rmi", "small:1"]).exits(0);
        shop.holds_nothing("rmi after a reboot");
        fs::rename(&aside, &orphan.run_dir).unwrap();
        shop.gc().exits(0); // its cgroup
    });
}

#[test]
fn a_container_lives_whichever_run_dir_option_gc_is_given() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let running = shop.start("small:1", &[], &["sleep", "1000"]);
        shop.call(&["rmi", "small:1"]).exits(0);
        let other = shop.dir().join("other-run-dir");
        shop.call(&["gc", "--run-dir", other.to_str().unwrap()]).exits(0);
        assert_eq!(shop.in_store("containers").len(), 1);
        assert_eq!(shop.in_store("layers").len(), 1);
        drop(running);
        shop.gc().exits(0);
    });
}

#[test]
fn a_container_whose_run_directory_cannot_be_examined_is_kept_with_a_warning() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let orphan = Orphan::of(shop, "small:1");
        let aside = shop.dir().join("aside");
        fs::rename(&orphan.run_dir, &aside).unwrap();
        fs::write(&orphan.run_dir, "a file").unwrap();
        let ran = shop.call(&["rmi", "small:1"]);
        ran.exits(0).complains("warning: ").complains(&orphan.id);
        orphan.is_kept(shop);
        fs::remove_file(&orphan.run_dir).unwrap();
        fs::rename(&aside, &orphan.run_dir).unwrap();
        shop.gc().exits(0);
        shop.holds_nothing("gc");
    });
}

#[test]
fn a_run_directory_that_only_root_may_enter_keeps_a_users_container() {
    let Some(shop) = with_ranges() else { return };
    shop.import(tiny(), "small:1");
    let orphan = Orphan::of(&shop, "small:1");
    let run_dirs = shop.bench().run_dirs();
    std::os::unix::fs::chown(&run_dirs, Some(0), Some(0)).unwrap();
    let ran = shop.call(&["rmi", "small:1"]);
    ran.exits(0).complains("warning: ").complains("EACCES");
    orphan.is_kept(&shop);
    shop.give(&run_dirs);
    shop.gc().exits(0);
    shop.holds_nothing("gc");
}

#[test]
fn a_note_of_an_older_version_keeps_the_container_and_says_what_to_do() {
    everywhere(|shop| {
        shop.import(tiny(), "small:1");
        let orphan = Orphan::of(shop, "small:1");
        let remove =
            |note: &mut Value| drop(note.as_object_mut().unwrap().remove("run_dir"));
        orphan.change_note(shop, remove);
        let ran = shop.gc();
        ran.exits(0).complains("warning: ").complains("hint: an older version");
        orphan.is_kept(shop);
        shop.run("small:1", &[], &["true"]).exits(0).complains(&orphan.id);
        orphan.is_kept(shop);
        let gone = shop.dir().join("gone").display().to_string();
        orphan.change_note(shop, |note| note["run_dir"] = json!(gone));
        shop.call(&["rmi", "small:1"]).exits(0);
        shop.holds_nothing("rmi");
    });
}

/// The layers that it uses are not known: all of them stay.
#[test]
fn a_note_that_cannot_be_read_ends_a_collection() {
    let Some(shop) = root() else { return };
    shop.import(tiny(), "small:1");
    let orphan = Orphan::of(&shop, "small:1");
    orphan.change_note(&shop, |note| *note = json!("damaged"));
    let ran = shop.call(&["rmi", "small:1"]);
    ran.exits(1).complains("container.json").complains("hint: ");
    orphan.is_kept(&shop);
    fs::remove_dir_all(shop.store().join("containers").join(&orphan.id)).unwrap();
    shop.gc().exits(0);
    shop.holds_nothing("gc");
}

/// A note is complete when its directory gets its name, and only a power failure can
/// lose its content afterwards.
#[test]
fn a_container_with_an_empty_note_is_of_before_a_crash_and_is_gone() {
    let Some(shop) = root() else { return };
    shop.import(tiny(), "small:1");
    let orphan = Orphan::of(&shop, "small:1");
    fs::write(orphan.note(&shop), "").unwrap();
    shop.call(&["rmi", "small:1"]).exits(0);
    assert_eq!(shop.in_store("containers"), [""; 0]);
    shop.gc().exits(0);
}
