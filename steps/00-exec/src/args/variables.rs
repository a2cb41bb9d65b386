//! The variables of the command: the values of `-e`, and the files of `--env-file`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;

use anyhow::Context;
use kit::Failure;

/// The largest file of variables. The kernel takes no environment that is much longer:
/// execve(2), "Limits on size of arguments and environment".
const LARGEST_FILE: u64 = 8 << 20;

/// The variables of a file.
#[derive(Clone, Debug)]
pub(super) struct EnvFile(pub(super) Vec<OsString>);

impl EnvFile {
    /// Reads a file as Docker does: a `K=V` or a `K` on each line. Quotation marks are
    /// part of the value. The file may be a pipe: `--env-file <(…)`.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        let mut text = String::new();
        let file = File::open(path).context("open");
        let read = file.and_then(|file| {
            file.take(LARGEST_FILE).read_to_string(&mut text).context("read")
        });
        read.map_err(|error| Failure::of(&error).to_string())?;
        EnvFile::parse(text.trim_start_matches('\u{feff}'))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| line.trim_start_matches([' ', '\t']));
        let mut variables = Vec::new();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, has_value) = match line.split_once('=') {
                Some((name, _)) => (name, true),
                None => (line, false),
            };
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(format!("the line {line:?} has no name of a variable"));
            }
            match std::env::var_os(name) {
                _ if has_value => variables.push(line.into()),
                Some(value) => variables.push(set(name, &value)),
                None => {}
            }
        }
        Ok(EnvFile(variables))
    }
}

/// Parses `K=V`; or `K`, which stands for the caller's value. If the caller has no such
/// variable, the command has none, either.
pub(super) fn variable(text: &str) -> Result<OsString, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err("a variable needs a name: K=V, or K to pass on the caller's".into());
    }
    Ok(match std::env::var_os(text) {
        Some(value) if !text.contains('=') => set(text, &value),
        _ => text.into(),
    })
}

/// Returns `NAME=VALUE`.
pub(super) fn set(name: &str, value: &OsStr) -> OsString {
    let mut entry = OsString::from(name);
    entry.push("=");
    entry.push(value);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of_caller() -> OsString {
        set("PATH", &std::env::var_os("PATH").unwrap())
    }

    #[test]
    fn a_variable_is_a_name_and_a_value_or_the_name_of_a_variable_of_the_caller() {
        for text in ["A=1", "A=x=y", "A=", "NO_SUCH_VARIABLE"] {
            assert_eq!(variable(text).unwrap(), text);
        }
        assert_eq!(variable("PATH").unwrap(), path_of_caller());
        for bad in ["", "=", "=x"] {
            assert!(variable(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_of_a_file_is_a_variable_and_its_value_is_taken_as_it_is() {
        let text =
            "# K=V\n\nA=\"1 # 2\" \r\n\t B=x=y\nC=\nPATH\nNO_SUCH_VARIABLE\n  #\n";
        let variables = EnvFile::parse(text).unwrap().0;
        let expected = ["A=\"1 # 2\" ", "B=x=y", "C="].map(OsString::from);
        assert_eq!(variables, [&expected[..], &[path_of_caller()]].concat());
        for bad in ["=x", "A B=1", "export A=1"] {
            let message = EnvFile::parse(bad).unwrap_err();
            assert!(message.contains(bad), "{bad:?}: {message}");
        }
    }
}
