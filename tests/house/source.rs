//! The source files of the steps, and the tokens of their code.

use std::path::{Path, PathBuf};

use kiste_course::checkout;

/// A file of a step's `src`.
pub struct Source {
    /// Relative to `steps`: `05-cgroups/src/cli/ps.rs`.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Returns the step: `05-cgroups`.
    pub fn step(&self) -> &str {
        self.path.iter().next().unwrap().to_str().unwrap()
    }

    /// Returns the module: `cli::ps`; empty for `lib.rs`.
    pub fn module(&self) -> String {
        let parts: Vec<_> =
            self.path.iter().skip(2).flat_map(|part| part.to_str()).collect();
        match parts.join("::").trim_end_matches(".rs") {
            "lib" => String::new(),
            module => module.into(),
        }
    }

    /// Returns whether this file may read options and the environment.
    pub fn is_command_line(&self) -> bool {
        let module = self.module();
        ["args", "cli", "main"].contains(&module.as_str())
            || module.starts_with("args::")
            || module.starts_with("cli::")
    }

    /// Returns the files of unit tests that this file declares: `#[cfg(test)] mod b;`.
    fn test_files(&self) -> Vec<PathBuf> {
        let lines = self.text.lines().zip(self.text.lines().skip(1));
        let names = lines
            .filter(|(cfg, _)| *cfg == "#[cfg(test)]")
            .filter_map(|(_, line)| line.rsplit_once("mod ")?.1.strip_suffix(';'));
        names.map(|name| self.path.with_file_name(format!("{name}.rs"))).collect()
    }

    /// Returns the words and signs of the program: without comments, strings and unit
    /// tests.
    pub fn tokens(&self) -> Vec<&str> {
        tokens(self.code())
    }

    /// Returns the text without unit tests.
    pub fn code(&self) -> &str {
        without_unit_tests(&self.text)
    }
}

/// Returns every Rust file of every step, except files of unit tests.
pub fn of_all_steps(workspace_root: &Path) -> Vec<Source> {
    let steps = workspace_root.join("steps");
    let mut files = Vec::new();
    for step in std::fs::read_dir(&steps).unwrap() {
        let src = step.unwrap().path().join("src");
        files.extend(checkout::files_below(&src).unwrap());
    }
    files.sort();
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|it| it == "rs");
    let sources = files.into_iter().filter(is_rust).map(|path| Source {
        text: std::fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(&steps).unwrap().into(),
    });
    without_test_files(sources.collect())
}

/// Removes `b.rs` if a file of its directory says `#[cfg(test)] mod b;`.
fn without_test_files(mut sources: Vec<Source>) -> Vec<Source> {
    let test_files: Vec<PathBuf> =
        sources.iter().flat_map(Source::test_files).collect();
    sources.retain(|source| !test_files.contains(&source.path));
    sources
}

fn without_unit_tests(text: &str) -> &str {
    let is_module = |rest: &str| {
        rest.lines().nth(1).is_some_and(|line| line.trim_end().ends_with("mod tests {"))
    };
    let start = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    let tests = start.into_iter().find(|at| is_module(&text[*at..]));
    &text[..tests.unwrap_or(text.len())]
}

/// Splits Rust code into words, `::` and single signs; drops comments and literals.
fn tokens(mut text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    while let Some(first) = text.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = text.len() - text.trim_start_matches(is_word).len();
        let (length, is_token) = match first {
            _ if text.starts_with("//") => {
                (text.find('\n').unwrap_or(text.len()), false)
            }
            _ if text.starts_with("::") => (2, true),
            _ if text.starts_with("r#\"") => (end_of("\"#", text, 3), false),
            '"' => (end_of_string(text), false),
            '\'' => (length_of_character(text), false),
            _ if word > 0 => (word, true),
            _ => (first.len_utf8(), !first.is_whitespace()),
        };
        if is_token {
            tokens.push(&text[..length]);
        }
        text = &text[length..];
    }
    tokens
}

/// Returns the length of `text` up to the first `end` at or after `start`, inclusive.
fn end_of(end: &str, text: &str, start: usize) -> usize {
    text[start..].find(end).map_or(text.len(), |at| start + at + end.len())
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// Returns the length of a character such as `'"'` or `'\''`, or 1 for the quote of a
/// lifetime such as `'a`.
fn length_of_character(text: &str) -> usize {
    if text.starts_with("'\\") {
        return end_of("'", text, 3);
    }
    match text.char_indices().nth(2) {
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}

#[test]
fn comments_strings_and_unit_tests_are_no_code() {
    let text = "let a = \"clap \\\" clap\"; // clap\nlet b: &'a str = f('\"', '\\'', r#\"c\"d\"#);\n\
                #[cfg(test)]\nmod tests {\n    use clap;\n}\n";
    let source = Source { path: "05-x/src/cli/ps.rs".into(), text: text.into() };
    let code = source.tokens().join(" ");
    assert_eq!(code, "let a = ; let b : & a str = f ( , , ) ;");
    assert_eq!(
        (source.step(), source.module().as_str(), source.is_command_line()),
        ("05-x", "cli::ps", true)
    );
}

#[test]
fn a_file_of_unit_tests_is_left_out() {
    let source = |name: &str, text: &str| Source {
        path: format!("05-x/src/{name}.rs").into(),
        text: text.into(),
    };
    let lib = source("lib", "mod a;\n#[cfg(test)]\nmod b;\nmod c;\n");
    let left = without_test_files(vec![lib, source("b", ""), source("c", "")]);
    assert_eq!(left.iter().map(Source::module).collect::<Vec<_>>(), ["", "c"]);
}
