//! A scenario's commands with one runtime, and how they ended.

use std::cell::RefCell;
use std::path::PathBuf;

use kiste_tests::{Ran, Terminal, host, report_missing};

use super::Place;

/// An OCI runtime that an engine drives.
pub struct Runtime {
    /// Its name in the configuration of an engine.
    pub name: &'static str,
    /// Its program.
    pub path: PathBuf,
}

/// The commands of an engine that uses one runtime.
pub struct Session<'a> {
    /// The place where the engine runs.
    pub place: &'a Place,
    /// The runtime that the engine uses.
    pub runtime: &'a Runtime,
    /// The engine's program and its options.
    engine: Vec<String>,
    said: RefCell<Vec<Said>>,
}

/// A command and its result.
#[derive(Debug, PartialEq)]
struct Said {
    command: String,
    code: i32,
    out: String,
}

impl Place {
    /// Returns our runtime, after runc, if that is installed.
    pub fn runtimes(&self) -> Vec<Runtime> {
        let mut runtimes = Vec::new();
        match host::find("runc") {
            Some(path) => runtimes.push(Runtime { name: "runc", path }),
            None => report_missing("runc", "not found in PATH, so nothing is compared"),
        }
        runtimes.push(Runtime { name: "kiste", path: self.exe().into() });
        runtimes
    }

    /// Runs a scenario with each runtime, and asserts that all commands end alike.
    /// `engine` returns the engine's program and its options.
    #[track_caller]
    pub fn compare(
        &self,
        engine: impl Fn(&Runtime) -> Vec<String>,
        scenario: impl Fn(&Session),
    ) {
        let mut expected: Option<Vec<Said>> = None;
        for runtime in &self.runtimes() {
            let said = RefCell::default();
            let session =
                Session { place: self, runtime, engine: engine(runtime), said };
            eprintln!("--- {}", runtime.name);
            scenario(&session);
            let said = session.said.into_inner();
            if let Some(expected) = expected.as_ref().filter(|it| !it.is_empty()) {
                for (runc, ours) in expected.iter().zip(&said) {
                    assert_eq!(ours, runc, "ours, and the same with runc");
                }
                assert_eq!(said.len(), expected.len(), "as many commands");
            }
            expected = Some(said);
        }
    }
}

impl Session<'_> {
    /// Runs a command of the engine. Its stdout and its exit code must be the same with
    /// every runtime.
    pub fn call(&self, words: &[&str]) -> Ran {
        let ran = self.call_apart(words);
        self.record(words, ran.code, &ran.out);
        ran
    }

    /// Runs a command of the engine that must fail, with the same exit code with every
    /// runtime. Docker prints the runtime's own words on stdout.
    #[track_caller]
    pub fn fails(&self, words: &[&str]) -> Ran {
        let ran = self.call_apart(words);
        assert_ne!(ran.code, 0, "{words:?} fails");
        self.record(words, ran.code, "");
        ran
    }

    fn record(&self, words: &[&str], code: i32, out: &str) {
        // The clients of daemons name the runtime.
        let path = self.runtime.path.to_str();
        let words = words
            .iter()
            .filter(|word| **word != self.runtime.name && Some(**word) != path);
        self.said.borrow_mut().push(Said {
            command: words.copied().collect::<Vec<_>>().join(" "),
            code,
            out: without_ids(out),
        });
    }

    /// Runs a command of the engine whose stdout tells of times, sizes or process ids.
    /// It is not compared.
    pub fn call_apart(&self, words: &[&str]) -> Ran {
        let ran = self.place.call(&self.words(words));
        // Only a failed test shows this.
        eprintln!("{} = {}\n{}{}", words.join(" "), ran.code, ran.out, ran.err);
        ran
    }

    /// Runs a command of the engine that must succeed and print this.
    #[track_caller]
    pub fn prints(&self, words: &[&str], text: &str) {
        self.call(words).assert_stdout(text);
    }

    /// Runs a command of the engine that must succeed.
    #[track_caller]
    pub fn succeeds(&self, words: &[&str]) -> Ran {
        let ran = self.call(words);
        ran.exits(0);
        ran
    }

    /// Starts a command of the engine on a terminal.
    pub fn at_terminal(&self, words: &[&str]) -> Terminal {
        self.place.at_terminal(&self.words(words))
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = self.engine.clone();
        all.extend(words.iter().map(|word| word.to_string()));
        all
    }
}

/// Replaces each container's id, of 12 or more hexadecimal digits.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        word.len() >= 12
            && word.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let words = text.split_inclusive(|it: char| !it.is_ascii_alphanumeric());
    let without = words.map(|word| {
        let name = word.trim_end_matches(|it: char| !it.is_ascii_alphanumeric());
        if is_id(name) { word.replace(name, "ID") } else { word.into() }
    });
    without.collect()
}

#[test]
fn ids_are_replaced_and_numbers_are_not() {
    assert_eq!(without_ids("/a/0123456789ab: 42\n"), "/a/ID: 42\n");
}
