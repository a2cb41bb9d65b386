//! The ids that the host lends to a user: subuid(5), subgid(5).

use std::fs;
use std::io;

use anyhow::{Context, Result};
use nix::unistd::{User, geteuid};

/// Where the administrator writes which ids outside a user may map.
pub const SUBUID: &str = "/etc/subuid";
/// The same for groups.
pub const SUBGID: &str = "/etc/subgid";

/// A range of ids: the first, and how many.
pub type Lent = (u32, u32);

/// What the host calls us; our number where it has no name for us.
pub fn caller() -> String {
    let name = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    name.unwrap_or_else(|| geteuid().to_string())
}

/// The ids that are lent to us: users', and groups'.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn lent_to_us() -> Result<(Vec<Lent>, Vec<Lent>)> {
    let of =
        |file| read(file).map(|text| parse(&text, Some(&caller()), geteuid().as_raw()));
    Ok((of(SUBUID)?, of(SUBGID)?))
}

/// The ids of either kind that are lent to anybody.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn lent_to_anybody() -> Result<Vec<Lent>> {
    let texts = [read(SUBUID)?, read(SUBGID)?];
    Ok(texts.iter().flat_map(|text| entries(text)).map(|(_, range)| range).collect())
}

/// A file that is not there lends nothing.
fn read(file: &str) -> Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| format!("read {file}")),
    }
}

/// Those of one user, by name or number.
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<Lent> {
    let uid = uid.to_string();
    let is_ours = |owner: &str, (_, count): Lent| {
        count > 0 && (Some(owner) == name || owner == uid)
    };
    let mut ranges: Vec<Lent> = entries(text)
        .filter(|(owner, range)| is_ours(owner, *range))
        .map(|(_, range)| range)
        .collect();
    ranges.dedup();
    ranges
}

/// `NAME-OR-UID:FIRST:COUNT` a line. What is malformed is nobody's, as newuidmap(1) has
/// it.
fn entries(text: &str) -> impl Iterator<Item = (&str, Lent)> {
    text.lines().filter_map(|line| {
        let (rest, count) = line.trim_end().rsplit_once(':')?;
        let (owner, first) = rest.rsplit_once(':')?;
        let (first, count): Lent = (first.parse().ok()?, count.parse().ok()?);
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
    fn a_file_that_is_not_there_lends_nothing_and_one_that_cannot_be_read_is_an_error()
    {
        assert_eq!(read("/nonexistent/subuid").unwrap(), "");
        assert_eq!(read("/proc").unwrap_err().to_string(), "read /proc");
    }
}
