//! Subordinate ids, which the administrator gives to a user: subuid(5), subgid(5).

use std::fs;
use std::io;

use anyhow::{Context, Result};
use nix::unistd::{User, getegid, geteuid};

/// The list of users and of the user ids that each of them may map.
pub const SUBUID: &str = "/etc/subuid";
/// The list of users and of the group ids that each of them may map.
pub const SUBGID: &str = "/etc/subgid";

/// The number of ids that an ordinary system uses: 0 to 65535. `nobody` is 65534.
pub const FULL_RANGE: u32 = 1 << 16;

/// A range of subordinate ids: the first id, and their number.
pub type SubidRange = (u32, u32);

/// Reads the caller's subordinate user ids and group ids, each id once. Leaves out the
/// caller's own id, which is mapped separately, although some administrators list it.
///
/// # Errors
/// When a file exists and cannot be read.
pub fn of_caller() -> Result<(Vec<SubidRange>, Vec<SubidRange>)> {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let ranges_in = |file, own_id| {
        let text = read(file)?;
        Ok::<_, anyhow::Error>(without_own_and_duplicate_ids(
            &ranges_of_user(&text, name.as_deref(), uid.as_raw()),
            own_id,
        ))
    };
    Ok((ranges_in(SUBUID, uid.as_raw())?, ranges_in(SUBGID, getegid().as_raw())?))
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

/// Parses the lines of one user, who is listed by name or by number.
fn ranges_of_user(text: &str, name: Option<&str>, uid: u32) -> Vec<SubidRange> {
    let uid = uid.to_string();
    let is_of_user = |owner: &str, (_, count): SubidRange| {
        count > 0 && (Some(owner) == name || owner == uid)
    };
    entries(text)
        .filter(|(owner, range)| is_of_user(owner, *range))
        .map(|(_, range)| range)
        .collect()
}

/// Removes the caller's own id, and each id that an earlier range already contains. The
/// kernel refuses a map that contains an id twice.
fn without_own_and_duplicate_ids(
    ranges: &[SubidRange],
    own_id: u32,
) -> Vec<SubidRange> {
    let mut seen = vec![(own_id, 1)];
    let mut all: Vec<SubidRange> = Vec::new();
    for range in ranges {
        for (first, count) in subtract(*range, &seen) {
            match all.last_mut() {
                Some(last) if last.0 + last.1 == first => last.1 += count,
                _ => all.push((first, count)),
            }
        }
        seen.push(*range);
    }
    all
}

/// Returns the parts of a range that none of the other ranges has.
fn subtract(range: SubidRange, others: &[SubidRange]) -> Vec<SubidRange> {
    let mut parts = vec![(range.0, range.0 + range.1)];
    for &(first, count) in others {
        let end = first + count;
        let outside =
            |(from, to): (u32, u32)| [(from, to.min(first)), (from.max(end), to)];
        parts = parts
            .into_iter()
            .flat_map(outside)
            .filter(|(from, to)| from < to)
            .collect();
    }
    parts.into_iter().map(|(from, to)| (from, to - from)).collect()
}

/// The number of ids in these ranges.
pub fn count(ranges: &[SubidRange]) -> u64 {
    ranges.iter().map(|(_, count)| u64::from(*count)).sum()
}

/// Tells whether the ids from `start` to `start + size - 1` are outside all of the
/// ranges.
pub fn is_free(start: u32, size: u32, ranges: &[SubidRange]) -> bool {
    !ranges.iter().any(|(first, count)| start < first + count && *first < start + size)
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
        assert_eq!(
            ranges_of_user(text, Some("alice"), 1000),
            [(100_000, 65536), (300_000, 10)]
        );
        assert_eq!(ranges_of_user(text, None, 1000), [(300_000, 10)]);
        assert_eq!(ranges_of_user(text, Some("carol"), 1002), []);
    }

    #[test]
    fn duplicate_ids_and_the_callers_own_id_are_removed() {
        let own_id = 1000;
        for (ranges, expected) in [
            (&[(1000, 1), (5000, 10)][..], &[(5000, 10)][..]),
            (&[(5000, 10), (7000, 3), (5000, 10)], &[(5000, 10), (7000, 3)]),
            (&[(5000, 10), (5005, 10)], &[(5000, 15)]),
            (&[(5005, 10), (5000, 10)], &[(5005, 10), (5000, 5)]),
            (&[(5005, 2), (5000, 10)], &[(5005, 2), (5000, 5), (5007, 3)]),
            (&[(990, 20)], &[(990, 10), (1001, 9)]),
            (&[(5000, 10), (5010, 10)], &[(5000, 20)]),
            (
                &[(u32::MAX - 1, 1), (1, u32::MAX - 1)],
                &[(u32::MAX - 1, 1), (1, 999), (1001, u32::MAX - 1002)],
            ),
            (&[(1000, 1)], &[]),
        ] {
            assert_eq!(
                without_own_and_duplicate_ids(ranges, own_id),
                expected,
                "{ranges:?}"
            );
        }
    }

    #[test]
    fn a_missing_file_has_no_ranges_and_an_unreadable_file_is_an_error() {
        assert_eq!(read("/nonexistent/subuid").unwrap(), "");
        assert_eq!(read("/proc").unwrap_err().to_string(), "read /proc");
    }
}
