//! Reads the narration of a run, and replaces what differs from run to run: names, numbers,
//! and the lines of the sources.

use std::fs;
use std::path::Path;

use kiste_book::trace::Call;
use serde_json::Value;

/// Names that the recordings have in place of those that differ from run to run: of the
/// container, its process, a temporary directory and a layer.
const ID: &str = "3f0b9c58d2e7";
const PID: &str = "901";
const TEMPORARY: &str = "b61d07a4c95e";
const LAYER: &str = "4abcf2…";

/// The beginnings of the names of calls that only ask the kernel something. How many
/// there are depends on the host.
const ASKING: [&str; 2] = ["RTM_GET", "NFT_MSG_GET"];

/// The calls whose result is a descriptor.
const OPENING: [&str; 8] =
    ["bind", "flock", "fsmount", "open", "openat", "openat2", "open_tree", "write"];

/// A text of the run, and the one in its place in the recording.
pub type Replaced = Vec<(String, String)>;

/// Reads the narrated calls, and replaces what differs from run to run.
pub fn calls(stderr: &str, replaced: &Replaced, workspace: &Path) -> Vec<Call> {
    let lines = stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut lines: Vec<_> = lines.filter(is_recorded).collect();
    lines.iter_mut().for_each(replace_numbers);
    replace_names(&mut lines, replaced);
    lines.into_iter().map(|line| with_code(line, workspace)).collect()
}

/// Returns a part of a call: `args`.
fn text<'a>(line: &'a Value, part: &str) -> &'a str {
    line[part].as_str().unwrap_or_else(|| panic!("no {part} in {line}"))
}

/// Whether the line is a call that every run makes. Other lines are messages.
fn is_recorded(line: &Value) -> bool {
    line.get("level").is_none()
        && !ASKING.iter().any(|name| text(line, "call").starts_with(name))
}

/// Replaces descriptors, what the host counts, and the directory of a program.
fn replace_numbers(line: &mut Value) {
    let (call, result) = (text(line, "call"), text(line, "result"));
    let is_descriptor =
        OPENING.contains(&call) && result.parse().is_ok_and(|it: u32| it > 2);
    if is_descriptor {
        line["result"] = "a descriptor".into();
    } else if result.starts_with("0 of ") {
        // The host tracks as many connections as it has.
        line["result"] = "0 of 0".into();
    } else if call == "execve"
        && let Some((_, name)) = text(line, "args").rsplit_once("bin/")
    {
        // The directory of a program differs between distributions.
        line["args"] = format!("/bin/{name}").into();
    }
}

/// Replaces the names that only this run has.
fn replace_names(lines: &mut [Value], replaced: &Replaced) {
    let pid = lines.iter().find(|line| text(line, "call") == "clone3");
    let pid = pid.map(|line| text(line, "result").to_string());
    let id = lines.iter().find_map(|line| random_id(text(line, "args")));
    for line in lines {
        for part in ["args", "result"] {
            let mut text = text(line, part).to_string();
            for (old, new) in replaced {
                text = text.replace(old, new);
            }
            if let Some(id) = &id {
                // The name of a link has room for 11 digits only.
                text = text.replace(id, ID).replace(&id[..11], &ID[..11]);
            }
            text = with_words(&text, |word| match word.len() {
                _ if Some(word) == pid.as_deref() => Some(PID),
                12 if word != ID && is_hex(word) => Some(TEMPORARY),
                64 if is_hex(word) => Some(LAYER),
                _ => None,
            });
            line[part] = text.into();
        }
    }
}

/// Replaces the number of the line by the statement that is there.
fn with_code(mut line: Value, workspace: &Path) -> Call {
    let at = text(&line, "at").to_string();
    let (file, number) = at.rsplit_once(':').expect("a place has a line");
    let text = fs::read_to_string(workspace.join(file)).unwrap();
    let code = kiste_book::statement(&text, number.parse().unwrap()).unwrap();
    line["at"] = file.into();
    Call { line: serde_json::from_value(line).unwrap(), code }
}

/// Finds a container's random id: a word of 12 hexadecimal digits.
fn random_id(text: &str) -> Option<String> {
    let mut words = text.split(|ch: char| !ch.is_ascii_alphanumeric());
    words.find(|word| word.len() == 12 && is_hex(word)).map(str::to_string)
}

fn is_hex(word: &str) -> bool {
    word.chars().all(|ch| ch.is_ascii_digit() || ('a'..='f').contains(&ch))
}

/// Replaces words, which consist of letters and digits.
fn with_words<'a>(text: &str, new: impl Fn(&str) -> Option<&'a str>) -> String {
    let is_end = |ch: char| !ch.is_ascii_alphanumeric();
    let words = text.split_inclusive(is_end).map(|part| {
        let word = part.trim_end_matches(is_end);
        let end = &part[word.len()..];
        format!("{}{end}", new(word).unwrap_or(word))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::{random_id, with_words};

    #[test]
    fn what_differs_from_run_to_run_is_found_as_a_whole_word() {
        assert_eq!(random_id("/run/00ff00ff00ff/ids").unwrap(), "00ff00ff00ff");
        assert_eq!(random_id("/run/00ff00ff00ff0"), None);
        let changed = |text| with_words(text, |word| (word == "12").then_some("901"));
        assert_eq!(changed("/proc/12/uid_map, 120 12"), "/proc/901/uid_map, 120 901");
        assert_eq!(changed("a = …"), "a = …");
    }
}
