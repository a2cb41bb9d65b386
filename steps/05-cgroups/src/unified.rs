//! Writes files of cgroup version 2 as they are: `linux.resources.unified` of an OCI
//! configuration.

use std::collections::BTreeMap;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;

use crate::directory::{Directory, unified};

/// Writes each value into the file of its name. The kernel takes one line for each
/// write(2), so a value of several lines is several writes.
///
/// # Errors
/// When a name is no plain name, there is no version 2, the controller of a file is not
/// available, or the kernel refuses a value.
pub(crate) fn write(
    directories: &[Directory],
    values: &BTreeMap<String, String>,
) -> Result<()> {
    for (file, value) in values {
        require_plain_name(file)?;
        let Some(cgroup) = unified(directories) else {
            let what = format!(
                "unified {file}: it is a file of cgroup version 2, and only version 1 is mounted"
            );
            return Err(Failure::new(what).hint("leave it out").into());
        };
        for line in value.lines() {
            cgroup
                .write("a file of version 2, as it is asked for", file, line)
                .hint_on(Errno::ENOENT, missing(cgroup, file))?;
        }
    }
    Ok(())
}

/// Refuses a name that could lead out of the cgroup.
fn require_plain_name(file: &str) -> Result<()> {
    let is_plain = !file.contains(['/', '\0']) && !matches!(file, "" | "." | "..");
    match is_plain && file.contains('.') {
        true => Ok(()),
        false => {
            let what = format!("unified {file:?}: not the name of a cgroup file");
            let hint = "a name is a controller and a word, without /: memory.high";
            Err(Failure::new(what).hint(hint).with_kind(FailureKind::Usage).into())
        }
    }
}

/// Returns the hint for a file that the cgroup does not have.
fn missing(cgroup: &Directory, file: &str) -> String {
    let controller = file.split('.').next().unwrap_or(file);
    let available = cgroup.read("cgroup.controllers").unwrap_or_default();
    match available.split_whitespace().any(|name| name == controller) {
        true => format!("the {controller} controller of this kernel has no {file}"),
        false => format!(
            "the {controller} controller is not available in this cgroup: `cat {}/cgroup.controllers`",
            cgroup.path().display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHierarchy;

    fn write_to_fake(file: &str, value: &str) -> Result<String, String> {
        let top = FakeHierarchy::new("unified");
        let path = top.make_cgroup("it", &[("memory.high", "")]);
        let cgroup = [Directory::existing(&top.unified(), path.clone())];
        let values = BTreeMap::from([(file.to_string(), value.to_string())]);
        write(&cgroup, &values).map_err(|error| error.to_string())?;
        Ok(std::fs::read_to_string(path.join("memory.high")).unwrap())
    }

    #[test]
    fn a_file_is_written_as_it_is_and_a_path_is_refused() {
        assert_eq!(write_to_fake("memory.high", "12"), Ok("12".into()));
        for file in ["../it/memory.high", "/memory.high", "", "..", "memory"] {
            let error = write_to_fake(file, "12").unwrap_err();
            assert!(error.contains("not the name of a cgroup file"), "{error}");
        }
        assert!(write_to_fake("memory.hi", "12").unwrap_err().contains("ENOENT"));
    }
}
