//! The ids of a user namespace that exists, and that a process is to join.

use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, read_kernel_file};

use crate::account::Account;
use crate::id_map::{IdMap, IdRange};
use crate::namespace::{Ids, Setgroups, Writer};

impl Ids {
    /// Returns the ids of the user namespace of this process.
    ///
    /// # Errors
    /// When the process has ended, or its maps cannot be read.
    pub fn of_process(pid: i32) -> Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let read = |name: &str| {
            let path = process.join(name);
            read_kernel_file(&path).with_context(|| format!("read {}", path.display()))
        };
        let (uids, gids) = (parse(&read("uid_map")?)?, parse(&read("gid_map")?)?);
        let setgroups = match read("setgroups")?.trim() {
            "deny" => Setgroups::Denied,
            _ => Setgroups::Allowed,
        };
        let first_user = Account::of_id(0, 0);
        Ok(Ids::new(first_user, uids, gids, Writer::Nobody(setgroups)))
    }
}

/// Parses a map as the kernel shows it.
fn parse(text: &str) -> Result<IdMap> {
    let range = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().flat_map(str::parse).collect();
        match numbers[..] {
            [inside, outside, size] => IdRange::new(inside, outside, size).ok(),
            _ => None,
        }
    };
    let ranges = text.lines().map(range).collect::<Option<Vec<_>>>();
    ranges
        .and_then(|ranges| IdMap::new(ranges).ok())
        .ok_or_else(|| Failure::new(format_args!("{text:?}: no map of ids")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_namespace_that_exists_are_those_of_its_maps() {
        let ids = Ids::of_process(std::process::id() as i32).unwrap();
        assert!(ids.namespace().is_empty(), "no new namespace");
        assert!(ids.has_gid(0));
        let map = parse("         0     100000         10\n").unwrap();
        assert!(map.has(9) && !map.has(10));
        assert!(parse("").is_err() && parse("0 1").is_err());
    }
}
