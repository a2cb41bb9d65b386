//! The options that the text of a step names: `--propagation` in a hint.

use std::collections::BTreeSet;
use std::path::Path;

use crate::source::Source;

/// Options of other programs, and of subcommands other than `run`.
const OTHERS: &[&str] = &[
    // usermod, tar, lsblk, systemd-run, rootfs-fetch.sh
    "--add-",
    "--add-subuids",
    "--add-subgids",
    "--format",
    "--sparse",
    "--sparse-version",
    "--paths",
    "--user",
    "--scope",
    "--from",
    // show
    "--arch",
    // network create
    "--mtu",
    "--ipv6",
    "--subnet",
    // 10-runtime create
    "--no-pivot",
];

/// Returns the options that a step's own code names and that its `run` does not have.
/// The kit, and the files that start another program, are left out.
pub fn unknown(source: &Source, snapshots: &Path) -> Vec<String> {
    if source.step() == "00-kit" || source.code().contains("Command::new(") {
        return Vec::new();
    }
    let help = recorded_help(source.step(), snapshots);
    let known: BTreeSet<&str> = options(&help).chain(OTHERS.iter().copied()).collect();
    let code = source.code().lines().filter(|line| !line.trim().starts_with("//"));
    let named = code.flat_map(options).filter(|option| !known.contains(option));
    named.map(|option| format!("{}: {option}", source.path.display())).collect()
}

/// Returns the help of `run`; in a step whose other verbs start processes, too, the help
/// of all verbs.
fn recorded_help(step: &str, snapshots: &Path) -> String {
    let files = std::fs::read_dir(snapshots).expect("the recorded help");
    let names = files.map(|file| file.expect("an entry").file_name());
    let is_of_step = |name: &String| match step {
        "10-runtime" => name.starts_with(step),
        _ => *name == format!("{step}-run-help.snap"),
    };
    let names = names.filter_map(|name| name.into_string().ok()).filter(is_of_step);
    let texts = names.map(|name| std::fs::read_to_string(snapshots.join(name)));
    let help: String = texts.map(|text| text.expect("the recorded help")).collect();
    assert!(!help.is_empty(), "no help of {step} is recorded");
    help
}

/// Returns every `--word` of a text.
fn options(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("--").filter_map(move |(start, _)| {
        let rest = &text[start + 2..];
        let is_word =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let begins_word = rest.starts_with(|c: char| c.is_ascii_lowercase());
        begins_word.then(|| &text[start..start + 2 + length])
    })
}

#[test]
fn an_option_is_found_in_a_text() {
    let text = "a -- b, `--one`: --two-3=4 -x --- --Three";
    assert_eq!(options(text).collect::<Vec<_>>(), ["--one", "--two-3"]);
}
