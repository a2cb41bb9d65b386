//! The place of a test on the host: a directory, a cgroup, and the sandbox in which the
//! engine runs.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use kiste_tests::{
    Fixture, Ran, Terminal, eventually, host, report_missing, require_tool, step,
    timeout,
};
use nix::unistd::geteuid;

use super::sandbox::Sandbox;

/// A test's directory, cgroup and sandbox. When it is dropped, nothing of them is left.
pub struct Place {
    /// None only while this is dropped.
    sandbox: Option<Sandbox>,
    daemons: RefCell<Vec<Child>>,
    fixture: Fixture,
    /// Words that start every program: `setpriv …`.
    pub starter: Vec<String>,
}

impl Place {
    /// Makes a place for engines that need these programs. None if one is missing.
    pub fn with(tools: &[&str]) -> Option<Self> {
        Place::prepared(tools, "")
    }

    /// Does the same, and runs a script of root in the sandbox first.
    pub fn prepared(tools: &[&str], script: &str) -> Option<Self> {
        if !geteuid().is_root() {
            report_missing("root", "the tests of engines are run by root");
            return None;
        }
        let shared = ["busybox", "nsenter", "unshare"];
        if !shared.iter().chain(tools).all(|tool| require_tool(tool)) {
            return None;
        }
        let fixture = Fixture::of(step!("10-runtime"), &[])?;
        let script = script.replace("$DIR", &fixture.dir().display().to_string());
        let sandbox = Some(Sandbox::start(&script));
        let daemons = RefCell::default();
        Some(Place { sandbox, daemons, fixture, starter: Vec::new() })
    }

    /// Returns the runtime under test.
    pub fn exe(&self) -> &Path {
        self.fixture.exe()
    }

    /// Returns the test's own directory.
    pub fn dir(&self) -> &Path {
        self.fixture.dir()
    }

    /// Returns a path in the test's directory.
    pub fn path(&self, name: &str) -> String {
        self.dir().join(name).display().to_string()
    }

    /// Writes a file in the test's directory, and returns its path.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::create_dir_all(self.dir().join(name).parent().unwrap()).unwrap();
        fs::write(self.dir().join(name), bytes).unwrap();
        self.path(name)
    }

    /// Returns the cgroup below which all containers of this test are: `/kiste-test-…`.
    pub fn cgroup(&self) -> String {
        format!("/{}", self.fixture.cgroup_parent())
    }

    /// Runs a program in the sandbox and waits for its end.
    pub fn call(&self, words: &[impl AsRef<OsStr>]) -> Ran {
        let (start, limit) = (Instant::now(), timeout());
        // timeout(1) kills the program itself: nsenter does not pass signals on.
        let seconds = limit.as_secs().to_string();
        let mut all: Vec<OsString> =
            ["timeout", "-s", "KILL", &seconds].map(OsString::from).into();
        all.extend(words.iter().map(|word| word.as_ref().to_owned()));
        let words = self.words(&all);
        let output = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .output()
            .expect("run nsenter, of util-linux");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(start.elapsed() < limit, "it hung: {words:?}\n{}{}", ran.out, ran.err);
        ran
    }

    /// Starts a program in the sandbox, on a terminal.
    pub fn at_terminal(&self, words: &[impl AsRef<OsStr>]) -> Terminal {
        Terminal::start_command(self.dir(), &self.words(words))
    }

    /// Starts a daemon in the sandbox, with this file as its stderr. The daemon ends
    /// with the sandbox.
    pub fn spawn(&self, words: &[String], log: &str) {
        let words = self.words(words);
        let log = fs::File::create(self.dir().join(log)).expect("make a log");
        let daemon = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.daemons.borrow_mut().push(daemon.expect("run nsenter, of util-linux"));
    }

    fn words(&self, words: &[impl AsRef<OsStr>]) -> Vec<OsString> {
        let sandbox = self.sandbox.as_ref().expect("the test still runs");
        let mut all = sandbox.enter(self.dir());
        all.extend(self.starter.iter().map(OsString::from));
        all.extend(words.iter().map(|word| word.as_ref().to_owned()));
        all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir().join("daemon.log"));
            eprintln!("the daemon's log:\n{}", log.unwrap_or_default());
        }
        drop(self.sandbox.take());
        for daemon in self.daemons.get_mut() {
            let _ = daemon.wait();
        }
        // A cgroup can be removed once the last process in it is dead.
        let name = self.fixture.cgroup_parent().to_owned();
        eventually(|| {
            let cgroups = host::cgroups_named(&name);
            cgroups.iter().for_each(|cgroup| remove_cgroups(&PathBuf::from(cgroup)));
            host::cgroups_named(&name).is_empty().then_some(())
        });
    }
}

/// Removes a cgroup and every cgroup below it that has no process.
fn remove_cgroups(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}
