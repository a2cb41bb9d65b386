//! Subordinate ids, which the administrator gives to a user: subuid(5), subgid(5).

use std::fs;
use std::io;

use anyhow::{Context, Result};
use nix::unistd::{User, geteuid};

/// The list of users and of the user ids that each of them may map.
pub const SUBUID: &str = "/etc/subuid";
/// The list of users and of the group ids that each of them may map.
pub const SUBGID: &str = "/etc/subgid";

/// A range of subordinate ids: the first id, and their number.
pub type SubidRange = (u32, u32);

/// The caller's name, or its number if it has no name.
pub fn caller() -> String {
    let name = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    name.unwrap_or_else(|| geteuid().to_string())
}

/// Reads the caller's subordinate user ids and group ids.
///
/// # Errors
/// When a file exists and cannot be read.
pub fn of_caller() -> Result<(Vec<SubidRange>, Vec<SubidRange>)> {
    let of =
        |file| read(file).map(|text| parse(&text, Some(&caller()), geteuid().as_raw()));
    Ok((of(SUBUID)?, of(SUBGID)?))
}

/// Reads the subordinate ids of all users, of both kinds.
///
/// # Errors
/// When a file exists and cannot be read.
pub fn of_all_users() -> Result<Vec<SubidRange>> {
    let texts = [read(SUBUID)?, read(SUBGID)?];
    Ok(texts.iter().flat_map(|text| entries(text)).map(|(_, range)| range).collect())
}

/// Reads a file. A missing one has no ranges.
fn read(file: &str) -> Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| format!("read {file}")),
    }
}

/// Finds the ranges of one user, by name or number.
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<SubidRange> {
    let uid = uid.to_string();
    let is_ours = |owner: &str, (_, count): SubidRange| {
        count > 0 && (Some(owner) == name || owner == uid)
    };
    let mut ranges: Vec<SubidRange> = entries(text)
        .filter(|(owner, range)| is_ours(owner, *range))
        .map(|(_, range)| range)
        .collect();
    ranges.dedup();
    ranges
}

/// Parses lines of `NAME-OR-UID:FIRST:COUNT`. A malformed line is skipped, as
/// newuidmap(1) does.
fn entries(text: &str) -> impl Iterator<Item = (&str, SubidRange)> {
    text.lines().filter_map(|line| {
        let (rest, count) = line.trim_end().rsplit_once(':')?;
        let (owner, first) = rest.rsplit_once(':')?;
        let (first, count): SubidRange = (first.parse().ok()?, count.parse().ok()?);
        first.checked_add(count).map(|_| (owner, (first, count)))
    })
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

    #[test]
    fn a_missing_file_has_no_ranges_and_one_that_cannot_be_read_is_an_error() {
        assert_eq!(read("/nonexistent/subuid").unwrap(), "");
        assert_eq!(read("/proc").unwrap_err().to_string(), "read /proc");
    }
}
