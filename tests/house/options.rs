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
];

/// Returns the options that a step's own code names and that its `run` does not have.
/// The kit, and the files that start another program, are left out.
pub fn unknown(source: &Source, snapshots: &Path) -> Vec<String> {
    if source.step() == "00-kit" || source.code().contains("Command::new(") {
        return Vec::new();
    }
    let help = snapshots.join(format!("{}-run-help.snap", source.step()));
    let help = std::fs::read_to_string(help).expect("the recorded help");
    let known: BTreeSet<&str> = options(&help).chain(OTHERS.iter().copied()).collect();
    let code = source.code().lines().filter(|line| !line.trim().starts_with("//"));
    let named = code.flat_map(options).filter(|option| !known.contains(option));
    named.map(|option| format!("{}: {option}", source.path.display())).collect()
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
