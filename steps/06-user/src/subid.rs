//! The ids that the host lends to a user: subuid(5), subgid(5).

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

/// Where the administrator writes which ids outside a user may map.
pub const SUBUID: &str = "/etc/subuid";
/// The same for groups.
pub const SUBGID: &str = "/etc/subgid";

/// The ranges of `file` for this user, by name or number: the first id, and how many. None where
/// there is no such file.
///
/// # Errors
/// When it is there and cannot be read.
pub fn ranges(file: &str, name: Option<&str>, uid: u32) -> Result<Vec<(u32, u32)>> {
    match fs::read_to_string(Path::new(file)) {
        Ok(text) => Ok(parse(&text, name, uid)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read {file}")),
    }
}

/// `NAME-OR-UID:FIRST:COUNT` a line. What is malformed is nobody's, as newuidmap(1) has it.
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    let one = |line: &str| {
        let [owner, first, count] = line.split(':').collect::<Vec<_>>()[..] else { return None };
        let (first, count): (u32, u32) = (first.parse().ok()?, count.trim_end().parse().ok()?);
        let is_range = count > 0 && first.checked_add(count).is_some();
        (is_range && (Some(owner) == name || owner == uid)).then_some((first, count))
    };
    let mut ranges: Vec<(u32, u32)> = text.lines().filter_map(one).collect();
    ranges.dedup();
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "alice:100000:65536\n# a comment\nbob:165536:65536\n1000:300000:10\nalice:x:1\nalice:7\nalice:4294967295:9\nalice:1:0\n";
        assert_eq!(parse(text, Some("alice"), 1000), [(100_000, 65536), (300_000, 10)]);
        assert_eq!(parse(text, None, 1000), [(300_000, 10)]);
        assert_eq!(parse(text, Some("carol"), 1002), []);
    }
}
