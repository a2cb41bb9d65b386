//! A step's program, and what it can do here.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use crate::{by_hand, tasks};

/// A step's program.
#[derive(Clone, Debug)]
pub struct Step {
    name: &'static str,
    own: PathBuf,
    exe: PathBuf,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    verdict: String,
    found: String,
}

impl Step {
    /// `step!` calls this.
    pub fn new(name: &'static str, exe: &str) -> Self {
        tasks::note_test();
        let exe_or_other =
            std::env::var_os("KISTE_BIN").map_or(exe.into(), PathBuf::from);
        Step { name, own: exe.into(), exe: exe_or_other }
    }

    /// The program to run.
    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// Its name: `05-cgroups`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its number: 5.
    pub fn number(&self) -> u32 {
        self.name[..2].parse().expect("a step's name begins with its number")
    }

    /// Whether all of `needs` are there, by the names that `doctor` has for them. If
    /// not, that is told on stderr and in the log, and the test is to return; unless it
    /// must hold here.
    pub fn has(&self, needs: &[&str]) -> bool {
        let checks = self.doctor();
        let missing = |need: &&&str| {
            checks.iter().find(|check| check.name == **need && check.verdict != "ok")
        };
        for need in needs {
            assert!(
                checks.iter().any(|check| check.name == *need),
                "doctor knows no check {need:?}"
            );
        }
        let Some((need, check)) =
            needs.iter().find_map(|need| missing(&need).map(|check| (need, check)))
        else {
            return true;
        };
        lacks(need, &check.found);
        false
    }

    /// Whether it is the step's own program, and not another one that `KISTE_BIN`
    /// names. If not, what only ours promises (its words) is not tested, and that is
    /// told.
    pub fn is_ours(&self) -> bool {
        let ours = self.own == self.exe;
        if !ours {
            skip("", "only for the step's own program, and KISTE_BIN names another");
        }
        ours
    }

    /// What it says of this machine. It is asked once by all tests of a program.
    fn doctor(&self) -> Arc<Vec<Check>> {
        static ASKED: Mutex<BTreeMap<PathBuf, Arc<Vec<Check>>>> =
            Mutex::new(BTreeMap::new());
        let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        asked
            .entry(self.own.clone())
            .or_insert_with(|| Arc::new(self.ask_doctor()))
            .clone()
    }

    fn ask_doctor(&self) -> Vec<Check> {
        let output = Command::new(&self.own)
            .args(["doctor", "--format", "json"])
            .output()
            .expect("run doctor");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("the step's own code fails, so nothing can be tested; `doctor` prints no JSON, {error}, but: {said}")
        })
    }
}

/// What is told when it was not the kernel that refused: of a panic, and of a child
/// that ended without a word.
const OURS: [&str; 3] =
    ["a bug in Kiste", "not written yet", "the child died before it became"];

/// Whether a program of the host's that a test needs is there: `tool("strace")`. If
/// not, that is told as by [`Step::has`], unless `KISTE_REQUIRE` has its name.
pub fn tool(name: &str) -> bool {
    let found = crate::host::has(name);
    if !found {
        let package = crate::host::package_of(name);
        lacks(name, &format!("not found in PATH (the package {package})"));
    }
    found
}

/// Something that the running test needs is not there: the test is to return, unless it
/// must hold.
///
/// `doctor` tries things by the step's own functions. Where one of these panics, as a
/// task that is not solved does, or fails where the same works by hand, that is no word
/// about the machine: the test fails.
pub fn lacks(need: &str, found: &str) {
    let ours = OURS.iter().any(|words| found.contains(words))
        || by_hand::has(need) == Some(true);
    assert!(
        !ours,
        "the step's own code fails, so nothing can be tested; `doctor` has, for {need}: {found}"
    );
    let required = std::env::var("KISTE_REQUIRE").unwrap_or_default();
    let reason = format!("{need}: {found}");
    assert!(
        !required.split(',').any(|name| name == need),
        "KISTE_REQUIRE says {need} must hold; {reason}"
    );
    skip(need, &reason);
}

/// Says that the running test is skipped, and why, unless it may not be.
fn skip(need: &str, reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let binary = name.rsplit_once('-').map_or(name.as_str(), |(name, _hash)| name);
    tasks::refuse_to_skip(binary, test, need, reason);
    log_skip(binary, test, reason);
}

/// Writes that a test, or a part of it, was not run: to stderr, directly, since the
/// harness hides `eprintln!`; to the caller's log; and to that of this cargo run, which
/// its last test sums up (`.cargo/runner`).
pub fn log_skip(binary: &str, test: &str, reason: &str) {
    let line = format!("skipped: {binary} {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    for variable in ["KISTE_SKIP_LOG", "KISTE_SKIPPED"] {
        let Some(log) = std::env::var_os(variable) else { continue };
        // Without O_CREAT: in /tmp root may not open a user's file with it (proc(5),
        // protected_regular). The runner has made it.
        let append = OpenOptions::new().append(true).open(&log);
        let file = append.or_else(|_| File::create_new(&log));
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("write {variable}: {error}"));
    }
}
