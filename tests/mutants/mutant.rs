//! A mutant: one small change of one file, made by the generator.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::build_dir::package;
use crate::selection::Step;

/// A small change.
#[derive(Deserialize)]
pub struct Mutant {
    /// `steps/03-mount/src/place.rs:45:9: replace == with != in Place::open`
    name: String,
    /// The file, relative to the root of the workspace.
    pub file: String,
    function: Option<Function>,
    span: Span,
    replacement: String,
    /// Its number among the mutants of the same file whose names differ only in the
    /// line.
    #[serde(skip)]
    nth: usize,
    /// The digest of the file when the mutant was listed.
    #[serde(skip)]
    pub digest: String,
}

#[derive(Deserialize)]
struct Function {
    function_name: String,
}

#[derive(Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// A position. Line and column count from 1, the column in characters.
#[derive(Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

/// Lists all mutants of a step's library. `sys` modules are left out, since a wrong
/// change there is undefined behaviour, and proves nothing. `main.rs` is left out,
/// since the mutants in `list` remove its lines.
pub fn of(step: &Step) -> Result<Vec<Mutant>> {
    let listed = Command::new("cargo")
        .args(["mutants", "--list", "--json"])
        .args(["-e", "**/sys.rs", "-e", "**/main.rs", "-p"])
        .arg(package(step.name))
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    if !listed.status.success() {
        bail!(
            "cargo mutants does not list any\nhint: cargo install cargo-mutants --locked"
        );
    }
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&listed.stdout)
        .context("read the list of cargo mutants")?;
    let mut seen = HashMap::new();
    for mutant in &mut mutants {
        let count = seen.entry(mutant.what().to_owned() + &mutant.file).or_insert(0);
        *count += 1;
        mutant.nth = *count;
        let digest = Sha256::digest(fs::read(&mutant.file)?);
        mutant.digest =
            digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    }
    Ok(mutants)
}

impl Mutant {
    /// Returns its name without the line number, which would change with every edit
    /// above it. The second and further mutants of the same name have a number.
    pub fn id(&self) -> String {
        let id = format!("{}: {}", self.file, self.what());
        if self.nth == 1 { id } else { format!("{id} #{}", self.nth) }
    }

    fn what(&self) -> &str {
        self.name.split_once(": ").map_or(&self.name, |(_, what)| what)
    }

    /// Returns the words in the names of its file and its function. A test of that file
    /// or function may have the same words in its name.
    pub fn words(&self) -> HashSet<String> {
        let file = self.file.split_once("/src/").map_or(&*self.file, |(_, file)| file);
        let function =
            self.function.as_ref().map_or("", |function| &function.function_name);
        words(file).chain(words(function)).collect()
    }

    /// Returns whether it is equivalent to the original: the flags that this code joins
    /// by `|` have no bit in common, so `^` gives the same.
    pub fn is_equivalent(&self) -> bool {
        self.what().starts_with("replace | with ^")
    }

    /// Returns the text of the file with the change.
    pub fn apply(&self, text: &str) -> Result<String> {
        let (start, end) = (self.span.start.offset(text), self.span.end.offset(text));
        let (Some(start), Some(end)) = (start, end) else {
            bail!("{self}: no such position in the file")
        };
        ensure!(start <= end, "{self}: it ends before it begins");
        Ok([&text[..start], &self.replacement, &text[end..]].concat())
    }
}

/// Returns the words of a name, such as `Ports::open_all`: port, open, all.
pub fn words(name: &str) -> impl Iterator<Item = String> {
    let words = name.split(|character: char| !character.is_ascii_alphabetic());
    let words = words.map(|word| word.to_lowercase().trim_end_matches('s').to_string());
    words.filter(|word| {
        word.len() > 2
            && !["mod", "impl", "for", "the", "and", "lib"].contains(&&**word)
    })
}

impl Position {
    fn offset(&self, text: &str) -> Option<usize> {
        let line = text.split_inclusive('\n').nth(self.line - 1)?;
        let begin = line.as_ptr() as usize - text.as_ptr() as usize;
        let columns = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        { columns }.nth(self.column - 1).map(|at| begin + at)
    }
}

impl Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
