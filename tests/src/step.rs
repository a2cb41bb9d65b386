//! A step's program, and what this machine lets it do.

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
    own_exe: PathBuf,
    exe: PathBuf,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    verdict: String,
    found: String,
}

impl Step {
    /// Creates a step; `step!` calls this.
    pub fn new(name: &'static str, exe: &str) -> Self {
        let exe_or_other =
            std::env::var_os("KISTE_BIN").map_or(exe.into(), PathBuf::from);
        Step { name, own_exe: exe.into(), exe: exe_or_other }
    }

    /// Returns the program to run.
    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// Returns its name: `05-cgroups`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns its number: 5.
    pub fn number(&self) -> u32 {
        self.name[..2].parse().expect("a step's name begins with its number")
    }

    /// Returns whether all of `needs` hold, by the names of `doctor`'s checks. If not,
    /// the reason is written to stderr and to the log, and the test is to return. A
    /// need that is required here fails the test instead.
    pub fn has(&self, needs: &[&str]) -> bool {
        if needs.is_empty() {
            return true;
        }
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
        report_missing(need, &check.found);
        false
    }

    /// Returns whether this is the step's own program, not another one that `KISTE_BIN`
    /// names. Another program is not tested for our own wording; the skipped test is
    /// reported.
    pub fn is_ours(&self) -> bool {
        let ours = self.own_exe == self.exe;
        if !ours {
            skip("", "only for the step's own program, and KISTE_BIN names another");
        }
        ours
    }

    /// Returns the checks of `doctor` on this machine. All tests of a program share one
    /// answer.
    fn doctor(&self) -> Arc<Vec<Check>> {
        static ANSWERS: Mutex<BTreeMap<PathBuf, Arc<Vec<Check>>>> =
            Mutex::new(BTreeMap::new());
        let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .entry(self.own_exe.clone())
            .or_insert_with(|| Arc::new(self.ask_doctor()))
            .clone()
    }

    fn ask_doctor(&self) -> Vec<Check> {
        let output = Command::new(&self.own_exe)
            .args(["doctor", "--format", "json"])
            .output()
            .expect("run doctor");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            panic!("the step's own code fails, so nothing can be tested; `doctor` prints no JSON ({error}); its stderr: {stderr}")
        })
    }
}

/// Words in a failure that the kernel has not caused: a panic, or a child that ended
/// without a message.
const OUR_FAILURES: [&str; 3] =
    ["a bug in Kiste", "not written yet", "the child died before it became"];

/// Returns whether the host has a program that the test needs:
/// `require_tool("strace")`. If not, that is reported as by [`Step::has`], unless
/// `KISTE_REQUIRE` has its name.
pub fn require_tool(name: &str) -> bool {
    let found = crate::host::has(name);
    if !found {
        let package = crate::host::package_of(name);
        report_missing(name, &format!("not found in PATH (the package {package})"));
    }
    found
}

/// Reports that the running test needs something that is missing, and is to return. If
/// `KISTE_REQUIRE` has it, the test fails.
///
/// `doctor` tries the kernel's features with the step's own functions. If one of these
/// panics, as an unsolved task does, or fails although the same works by hand, the
/// machine is not to blame: the test fails.
pub fn report_missing(need: &str, found: &str) {
    let ours = OUR_FAILURES.iter().any(|words| found.contains(words))
        || by_hand::has(need) == Some(true);
    assert!(
        !ours,
        "the step's own code fails, so nothing can be tested; `doctor` reports, for {need}: {found}"
    );
    let required = std::env::var("KISTE_REQUIRE").unwrap_or_default();
    let reason = format!("{need}: {found}");
    assert!(
        !required.split(',').any(|name| name == need),
        "KISTE_REQUIRE says {need} must hold; {reason}"
    );
    skip(need, &reason);
}

/// Reports that the running test is skipped, and why, unless it must not be skipped.
fn skip(need: &str, reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let binary = name.rsplit_once('-').map_or(name.as_str(), |(name, _hash)| name);
    tasks::refuse_to_skip(binary, test, need, reason);
    log_skip(binary, test, reason);
}

/// Writes that a test, or a part of it, was skipped: to stderr directly, since the test
/// harness hides `eprintln!`; to the caller's log; and to the log of this cargo run,
/// which its last test sums up (`.cargo/runner`).
pub fn log_skip(binary: &str, test: &str, reason: &str) {
    let line = format!("skipped: {binary} {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    for variable in ["KISTE_SKIP_LOG", "KISTE_SKIPPED"] {
        let Some(log) = std::env::var_os(variable) else { continue };
        // Without O_CREAT: in /tmp even root may not open another user's file with it
        // (proc(5), protected_regular). The runner has created the file.
        let append = OpenOptions::new().append(true).open(&log);
        let file = append.or_else(|_| File::create_new(&log));
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("write {variable}: {error}"));
    }
}
