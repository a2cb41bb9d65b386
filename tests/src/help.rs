//! Compares a step's `--help` with the recorded text, and tries its examples.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::{Fixture, Ran, Step};

/// The rows of a screen, on which the output of `-h` must fit.
const ROWS: usize = 31;

/// Asserts that `--help` and `run --help` print the text in `tests/snapshots`. After an
/// intended change, run `INSTA_UPDATE=always KISTE_SUDO=never cargo test help_is` and
/// look at the diff. That does not need root.
///
/// Also asserts that both name the chapter by its title, and that `-h` is short.
#[track_caller]
pub fn assert_help_is_as_recorded(step: &Step) {
    if !step.is_ours() {
        return;
    }
    for (name, arguments) in
        [("help", &["--help"][..]), ("run-help", &["run", "--help"])]
    {
        let help = help(step, arguments);
        assert!(help.contains(&chapter(step)), "{:?}: {help}", chapter(step));
        assert_recorded(step, name, help);
    }
    for arguments in [&["-h"][..], &["run", "-h"]] {
        let short = help(step, arguments);
        assert!(short.lines().count() <= ROWS, "{short}");
    }
}

/// Asserts that the help of these verbs is the text in `tests/snapshots`.
#[track_caller]
pub fn assert_help_of_verbs_is_as_recorded(step: &Step, verbs: &[&str]) {
    if !step.is_ours() {
        return;
    }
    for verb in verbs {
        assert_recorded(step, &format!("{verb}-help"), help(step, &[verb, "--help"]));
    }
}

#[track_caller]
fn assert_recorded(step: &Step, name: &str, help: String) {
    let recorded = kiste_course::workspace().join("tests/snapshots");
    let name = format!("{}-{name}", step.name());
    insta::with_settings!({
        snapshot_path => &recorded, prepend_module_to_snapshot => false, omit_expression => true,
    }, { insta::assert_snapshot!(name, help) });
}

fn help(step: &Step, arguments: &[&str]) -> String {
    // clap wraps at the terminal's width, or at 100 columns.
    let ran = Ran::of(
        assert_cmd::Command::new(step.exe()).args(arguments).env_remove("COLUMNS"),
    );
    ran.exits(0).out.clone()
}

/// `Chapter 5, Limits of its own: book/src/05-cgroups.md`, with the title from the
/// page.
fn chapter(step: &Step) -> String {
    let path = format!("book/src/{}.md", step.name());
    let page = fs::read_to_string(kiste_course::workspace().join(&path)).unwrap();
    let title = page.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
    format!("Chapter {}: {path}", title.replacen(". ", ", ", 1))
}

/// Runs the examples of `--help` as they are written. A `cargo` earlier in PATH starts
/// the step's program, with the options that keep this test's containers apart.
/// `starter` runs it in another place, such as another network namespace.
#[track_caller]
pub fn assert_examples_work(fixture: &Fixture, starter: &[&str], options: &[&str]) {
    if !fixture.step().is_ours() {
        return;
    }
    let typed = format!("cargo run --bin {} -- ", fixture.step().name());
    let help = help(fixture.step(), &["--help"]);
    let examples: Vec<_> = help.lines().filter(|line| line.contains(&typed)).collect();
    assert!(examples.len() > 1, "{help}");

    // The examples use files relative to the workspace.
    assert_eq!(fixture.rootfs(), fixture.dir().join("rootfs"));
    fs::create_dir_all(fixture.dir().join("book")).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", make_cargo(fixture, options).display());
    for example in examples {
        let words = [starter, &["sh", "-c", example]].concat();
        let mut shell = assert_cmd::Command::new(words[0]);
        let ran = Ran::of(
            shell.args(&words[1..]).env("PATH", &path).current_dir(fixture.dir()),
        );
        assert_eq!(ran.code, 0, "{example}\n{}{}", ran.out, ran.err);
    }
}

/// Makes a directory with a `cargo` that is called as `cargo run --bin NAME --
/// SUBCOMMAND …`.
fn make_cargo(fixture: &Fixture, options: &[&str]) -> PathBuf {
    let words = fixture.arguments(options, &[]);
    let quoted = words.iter().map(|word| format!("'{}'", word.to_str().unwrap()));
    let own: Vec<_> = quoted.skip(1).collect();
    // ./rootfs is the default, and --image excludes --rootfs.
    let own = own.join(" ").replacen(
        &format!("'--rootfs' '{}'", fixture.rootfs().display()),
        "",
        1,
    );
    let text = format!(
        "#!/bin/sh\nshift 4; what=$1; shift\ncase $what in\n\
         run) exec '{program}' run {own} \"$@\" ;;\n\
         *) exec '{program}' $what --store '{store}' \"$@\" ;;\nesac\n",
        program = fixture.exe().display(),
        store = fixture.store().display(),
    );
    let bin = fixture.dir().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("cargo"), text).unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    bin
}
