//! A bundle, and the container that the runtime under test makes of it.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kiste_tests::{Fixture, Ran, eventually, host};
use serde_json::{Value, json};

use super::config;

/// A bundle of the test's own. When it is dropped, its containers are deleted, and
/// nothing may be left on the host.
pub struct Bundle {
    /// The content of config.json, which `create` and `run` write.
    pub config: Value,
    /// The command that starts the runtime: `setpriv --bounding-set=-sys_time`.
    pub starter: Vec<String>,
    calls: Cell<u32>,
    fixture: Fixture,
}

/// The id of the container, if the test does not choose another.
pub const ID: &str = "one";

impl Bundle {
    /// Makes a bundle with a copy of the root file system. None if this machine lacks
    /// something that every container needs.
    pub fn new() -> Option<Self> {
        let fixture = crate::fixture()?;
        fixture.rootfs();
        let config = config::usual(&format!("/{}", fixture.cgroup_parent()));
        Some(Bundle { config, starter: Vec::new(), calls: Cell::new(0), fixture })
    }

    /// Makes a bundle whose container runs a shell script.
    pub fn of_script(script: &str) -> Option<Self> {
        let mut bundle = Bundle::new()?;
        bundle.set_script(script);
        Some(bundle)
    }

    /// As [`Bundle::new`], for the step's own program only: `why` says in which way an
    /// older runtime differs.
    pub fn of_ours(_why: &str) -> Option<Self> {
        let bundle = Bundle::new()?;
        bundle.is_ours().then_some(bundle)
    }

    /// Returns whether the runtime under test is the step's own. If not, the skipped
    /// test is reported.
    pub fn is_ours(&self) -> bool {
        self.fixture.step().is_ours()
    }

    /// Makes a shell script the container's process.
    pub fn set_script(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["sh", "-c", script]);
    }

    /// Appends to an array of the configuration: `add("/mounts", json!({…}))`. The array
    /// is made if it does not exist.
    pub fn add(&mut self, pointer: &str, value: Value) {
        self.at(pointer).as_array_mut().expect("an array").push(value);
    }

    /// Appends a mount.
    pub fn add_mount(&mut self, to: &str, kind: &str, source: &str, options: &[&str]) {
        self.add(
            "/mounts",
            json!({ "destination": to, "type": kind, "source": source, "options": options }),
        );
    }

    /// Replaces the namespaces of this type, or adds one.
    pub fn set_namespace(&mut self, kind: &str, namespace: Value) {
        self.remove_namespace(kind);
        self.add("/linux/namespaces", namespace);
    }

    /// Removes the namespaces of this type.
    pub fn remove_namespace(&mut self, kind: &str) {
        let namespaces = self.at("/linux/namespaces").as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != kind);
    }

    /// Returns the value at a JSON pointer, an empty array if nothing is there.
    pub fn at(&mut self, pointer: &str) -> &mut Value {
        let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
        let parent = self.config.pointer_mut(parent).expect("the parent exists");
        if parent.get(key).is_none() && parent.is_object() {
            parent[key] = json!([]);
        }
        self.config.pointer_mut(pointer).expect("the value exists")
    }

    /// Returns the bundle's directory.
    pub fn dir(&self) -> &Path {
        self.fixture.dir()
    }

    /// Returns the container's root file system.
    pub fn rootfs(&self) -> &Path {
        self.fixture.rootfs()
    }

    /// Returns the directory of the runtime's state (`--root`).
    pub fn state_root(&self) -> PathBuf {
        self.fixture.run_dirs()
    }

    /// Returns the name of the container's cgroup.
    pub fn cgroup(&self) -> &str {
        self.fixture.cgroup_parent()
    }

    /// Copies a host program, with its libraries, to `/name` of the root file system.
    pub fn install(&self, program: &Path, name: &str) {
        self.fixture.install(program, name);
    }

    /// Returns the path of the runtime under test.
    pub fn exe(&self) -> &Path {
        self.fixture.exe()
    }

    /// Writes config.json.
    pub fn write(&self) {
        fs::write(self.dir().join("config.json"), self.config.to_string()).unwrap();
    }

    /// Asserts that the container runs as it is configured so far: what a test changes
    /// next is then the reason for any refusal.
    #[track_caller]
    pub fn assert_works(&self) {
        self.run().exits(0);
    }

    /// Creates the container and returns what `create` did. The container's stdout and
    /// stderr are files, which [`Bundle::output`] reads.
    pub fn create(&self) -> Ran {
        self.create_with(&[])
    }

    /// Creates the container with options of `create`.
    pub fn create_with(&self, options: &[&str]) -> Ran {
        self.write();
        let bundle = ["create", "--bundle", self.dir().to_str().unwrap()];
        self.call_into("container", &[&bundle[..], options, &[ID]].concat())
    }

    /// Creates the container, which must succeed.
    #[track_caller]
    pub fn created(&self) -> &Self {
        self.create().exits(0);
        self
    }

    /// Creates and starts the container, both of which must succeed.
    #[track_caller]
    pub fn started(&self) -> &Self {
        self.created();
        self.call(&["start", ID]).exits(0);
        self
    }

    /// Runs the container in the foreground until its end.
    pub fn run(&self) -> Ran {
        self.run_with(&[])
    }

    /// Runs the container in the foreground with options of `run`.
    pub fn run_with(&self, options: &[&str]) -> Ran {
        self.write();
        let bundle = ["run", "--bundle", self.dir().to_str().unwrap()];
        self.call(&[&bundle[..], options, &[ID]].concat())
    }

    /// Runs a shell script as the container's process, and returns its stdout.
    #[track_caller]
    pub fn stdout_of(&mut self, script: &str) -> String {
        self.set_script(script);
        let ran = self.run();
        ran.exits(0);
        ran.out.trim_end().into()
    }

    /// Runs a command in the running container.
    pub fn exec(&self, options: &[&str], command: &[&str]) -> Ran {
        self.call(&[&["exec"], options, &[ID], command].concat())
    }

    /// Runs the runtime with these arguments until its end.
    pub fn call(&self, arguments: &[&str]) -> Ran {
        let number = self.calls.get();
        self.calls.set(number + 1);
        self.call_into(&format!("call-{number}"), arguments)
    }

    /// Starts the runtime with these arguments and does not wait for its end. Its stdout
    /// and stderr are the files `NAME.out` and `NAME.err`.
    ///
    /// They are no pipes, since a container that outlives the call keeps them open.
    pub fn spawn(&self, name: &str, arguments: &[&str]) -> Child {
        let file = |ending| File::create(self.dir().join(format!("{name}.{ending}")));
        let root = self.state_root();
        let mut words: Vec<OsString> =
            self.starter.iter().map(OsString::from).collect();
        words.extend([self.exe().into(), "--root".into(), root.into()]);
        Command::new(&words[0])
            .args(&words[1..])
            .args(arguments)
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stdout(file("out").unwrap())
            .stderr(file("err").unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("start {words:?}: {error}"))
    }

    /// Reads what a call under this name has printed.
    pub fn printed(&self, name: &str, code: i32) -> Ran {
        let read = |ending| fs::read(self.dir().join(format!("{name}.{ending}")));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code, out: text(read("out").unwrap()), err: text(read("err").unwrap()) }
    }

    fn call_into(&self, name: &str, arguments: &[&str]) -> Ran {
        let mut child = self.spawn(name, arguments);
        let Some(status) = eventually(|| child.try_wait().unwrap()) else {
            host::kill_tree(child.id() as i32);
            let _ = child.wait();
            panic!("it hung: {arguments:?}; it printed: {:?}", self.printed(name, 0));
        };
        let killed = || 128 + status.signal().unwrap_or_default();
        self.printed(name, status.code().unwrap_or_else(killed))
    }

    /// Returns what the container that `create` made has written to its stdout.
    pub fn output(&self) -> String {
        self.printed("container", 0).out
    }

    /// Waits until the container that `create` made has written this text to its stdout.
    #[track_caller]
    pub fn wait_for_output(&self, text: &str) {
        let found = eventually(|| self.output().contains(text).then_some(()));
        assert!(
            found.is_some(),
            "expected {text:?}: {:?}",
            self.printed("container", 0)
        );
    }

    /// Returns the state of the container.
    #[track_caller]
    pub fn state(&self) -> Value {
        let ran = self.call(&["state", ID]);
        ran.exits(0);
        serde_json::from_str(&ran.out).expect("the state is JSON")
    }

    /// Returns the status in the state.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").into()
    }

    /// Returns the process id in the state.
    #[track_caller]
    pub fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().expect("a pid")
    }

    /// Waits until the container has this status.
    #[track_caller]
    pub fn wait_for(&self, status: &str) {
        let found = eventually(|| (self.status() == status).then_some(()));
        assert!(found.is_some(), "expected {status}: {}", self.state());
    }

    /// Waits for the end of the started container, and returns its output.
    #[track_caller]
    pub fn finish(&self) -> String {
        self.wait_for("stopped");
        self.output().trim_end().into()
    }

    /// Returns whether the runtime knows a container of this id.
    pub fn knows(&self, id: &str) -> bool {
        self.call(&["state", id]).code == 0
    }

    /// Asserts that a call failed with a message, and not by a panic.
    #[track_caller]
    pub fn assert_refused(&self, ran: &Ran) {
        assert_ne!(ran.code, 0, "it should be refused: {ran:?}");
        let is_message = !ran.err.trim().is_empty() && !ran.err.contains("panicked");
        assert!(is_message, "an error is explained on stderr: {ran:?}");
    }

    /// Asserts that the configuration is refused: `create` or, for what can only be seen
    /// then, `start` fails, and no container is left. Returns the failed call.
    #[track_caller]
    pub fn assert_config_refused(&self) -> Ran {
        let ran = self.create();
        if ran.code == 0 {
            let _ = self.call(&["delete", "--force", ID]);
        }
        self.assert_refused(&ran);
        self.assert_nothing_left();
        ran
    }

    /// Asserts that there is no container, no cgroup and no mount.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert!(!self.knows(ID), "a container is left");
        let clean = eventually(|| self.fixture.leaks().is_empty().then_some(()));
        assert!(clean.is_some(), "left: {:#?}", self.fixture.leaks());
    }

    /// Returns the ids of the containers that have state.
    pub fn ids(&self) -> Vec<String> {
        let entries = fs::read_dir(self.state_root()).into_iter().flatten();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        entries.map(|entry| name(entry.unwrap())).collect()
    }

    /// Deletes all containers.
    pub fn delete_all(&self) {
        for id in self.ids() {
            let _ = self.call(&["delete", "--force", &id]);
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.starter.clear();
        self.delete_all();
    }
}

/// Writes a file that anyone can execute.
pub fn write_script(path: impl AsRef<OsStr>, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = Path::new(path.as_ref());
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
