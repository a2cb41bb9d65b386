//! Rules for the source text: which files read the command line and the environment,
//! which files use each other, and how a comment begins.

use std::path::{Path, PathBuf};

use kiste_course::checkout;

#[path = "house/comments.rs"]
mod comments;
#[path = "house/imports.rs"]
mod imports;
#[path = "house/options.rs"]
mod options;
#[path = "house/source.rs"]
mod source;

use imports::Imports;
use source::Source;

fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn sources_of_steps() -> Vec<Source> {
    let sources = source::of_all_steps(workspace_root());
    assert!(sources.len() > 100, "all steps are there");
    sources
}

/// Lists the files, other than those of the command line, whose tokens are forbidden.
fn files_outside_command_line(
    sources: &[Source],
    forbidden: impl Fn(&[&str]) -> bool,
) -> Vec<String> {
    let library_files = sources.iter().filter(|source| !source.is_command_line());
    library_files
        .filter(|source| forbidden(&source.tokens()))
        .map(|source| source.path.display().to_string())
        .collect()
}

fn uses_options(tokens: &[&str]) -> bool {
    // lib.rs says `pub use args::Args`, so that the next step can use `Args`.
    let is_reexport = |at: usize| {
        let end = tokens[..at].iter().rposition(|it| [";", "}"].contains(it));
        tokens[end.map_or(0, |it| it + 1)..at].starts_with(&["pub", "use"])
    };
    let is_option = |token: &str| token == "clap" || token.ends_with("Args");
    (0..tokens.len()).any(|at| is_option(tokens[at]) && !is_reexport(at))
}

fn reads_the_environment(tokens: &[&str]) -> bool {
    let reads = |name: &str| {
        name.starts_with("var") || ["set_var", "remove_var", "temp_dir"].contains(&name)
    };
    tokens.windows(3).any(|it| it[0] == "env" && it[1] == "::" && reads(it[2]))
}

#[test]
fn clap_and_args_are_used_in_args_cli_and_main_only() {
    let wrong = files_outside_command_line(&sources_of_steps(), uses_options);
    assert!(wrong.is_empty(), "clap or Args in:\n{}", wrong.join("\n"));
}

#[test]
fn the_environment_is_read_in_args_cli_and_main_only() {
    let wrong = files_outside_command_line(&sources_of_steps(), reads_the_environment);
    assert!(wrong.is_empty(), "the environment is read in:\n{}", wrong.join("\n"));
}

#[test]
fn a_hint_names_only_options_that_its_step_has() {
    let snapshots = workspace_root().join("tests/snapshots");
    let sources = sources_of_steps();
    let rooms = sources.iter().filter(|source| !source.is_command_line());
    let wrong: Vec<_> =
        rooms.flat_map(|room| options::unknown(room, &snapshots)).collect();
    assert!(wrong.is_empty(), "options of another step in:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_of_a_step_use_each_other_in_a_cycle() {
    let sources = sources_of_steps();
    let mut wrong = Vec::new();
    for step in sources.chunk_by(|a, b| a.step() == b.step()) {
        let cycles = Imports::of(step).cycles();
        wrong.extend(cycles.iter().map(|cycle| format!("{}: {cycle}", step[0].step())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn comments_begin_with_their_subject_or_their_verb() {
    let files = ["steps", "tests"]
        .map(|dir| checkout::files_below(&workspace_root().join(dir)));
    let mut wrong = Vec::new();
    for file in files.into_iter().flat_map(Result::unwrap) {
        let Some((text, mark)) = text_with_comments(&file) else { continue };
        let lines = comments::lines_begun_with_pronoun(&text, mark);
        wrong.extend(lines.iter().map(|line| format!("{}:{line}", file.display())));
    }
    assert!(wrong.is_empty(), "{} comments:\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns the text of a Rust file, a script or a list, and the mark that begins its
/// comments.
fn text_with_comments(file: &PathBuf) -> Option<(String, &'static str)> {
    let text = std::fs::read_to_string(file).ok()?;
    match file.extension().and_then(|it| it.to_str()) {
        Some("rs") => Some((text, "//")),
        Some("toml") => Some((text, "#")),
        None if text.starts_with('#') => Some((text, "#")),
        _ => None,
    }
}

#[test]
fn clap_and_the_environment_are_found_outside_the_command_line_files() {
    let source =
        |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let found = |path: &str, text: &str| {
        let sources = [source(path, text)];
        (
            !files_outside_command_line(&sources, uses_options).is_empty(),
            !files_outside_command_line(&sources, reads_the_environment).is_empty(),
        )
    };
    assert_eq!(found("05-x/src/a.rs", "fn f(args: &Args) {}"), (true, false));
    assert_eq!(found("05-x/src/a.rs", "use clap::Parser;"), (true, false));
    assert_eq!(found("05-x/src/a.rs", "std::env::var_os(\"HOME\")"), (false, true));
    assert_eq!(found("05-x/src/lib.rs", "pub use args::{Args, B};"), (false, false));
    for path in ["args.rs", "cli.rs", "cli/ps.rs", "main.rs"] {
        let path = format!("05-x/src/{path}");
        assert_eq!(found(&path, "use clap::Args; env::temp_dir()"), (false, false));
    }
}
