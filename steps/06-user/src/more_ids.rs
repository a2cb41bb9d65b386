//! The hint that tells a user how to get more subordinate ids: a command that works on
//! this host, with a range that no user has.

use nix::unistd::{User, geteuid};

use crate::helpers::Helpers;
use crate::subid::{self, FULL_RANGE, SUBGID, SUBUID, SubidRange};

/// The ids from which useradd(8) takes subordinate ones: login.defs(5), SUB_UID_MIN and
/// SUB_UID_MAX.
const SUBORDINATE_IDS: std::ops::Range<u32> = 100_000..600_100_000;

/// Returns the hint that tells the caller how to get the subordinate ids that images
/// may use.
pub fn how_to_get_ids(helpers: &Helpers) -> String {
    let (uids, gids) = subid::of_caller().unwrap_or_default();
    let is_short =
        |ranges: &[SubidRange]| subid::count(ranges) < u64::from(FULL_RANGE) - 1;
    let short = match (is_short(&uids), is_short(&gids)) {
        // Both files list enough ids for most images, but too few for this one.
        (false, false) if helpers.missing().is_none() => (true, true),
        short => short,
    };
    let name = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let taken = subid::of_all_users().ok();
    let range = taken.and_then(|taken| free_range(&taken));
    let install = helpers.missing().map(|_| "install the package uidmap".to_string());
    let add = (short != (false, false)).then(|| match (range, &name) {
        (Some(first), Some(name)) => with_usermod(short, first, name),
        (Some(first), None) => without_a_name(short, first),
        (None, _) => format!("root can give you ids in {}: subuid(5)", files(short)),
    });
    let parts: Vec<_> = install.into_iter().chain(add).collect();
    format!("for more, {}", parts.join(", and "))
}

/// The first id of a range of 65536 that no user has.
fn free_range(taken: &[SubidRange]) -> Option<u32> {
    SUBORDINATE_IDS
        .step_by(FULL_RANGE as usize)
        .take_while(|first| first + FULL_RANGE <= SUBORDINATE_IDS.end)
        .find(|first| subid::is_free(*first, FULL_RANGE, taken))
}

fn with_usermod((uids, gids): (bool, bool), first: u32, name: &str) -> String {
    let last = first + FULL_RANGE - 1;
    let option = |wanted: bool, option: &str| match wanted {
        true => format!("--add-{option} {first}-{last} "),
        false => String::new(),
    };
    let (uids, gids) = (option(uids, "subuids"), option(gids, "subgids"));
    format!("as root: usermod {uids}{gids}{name}")
}

/// usermod(8) refuses a user whom /etc/passwd does not list.
fn without_a_name(short: (bool, bool), first: u32) -> String {
    let line = format!("{}:{first}:{FULL_RANGE}", geteuid());
    format!("as root: add the line {line} to {}", files(short))
}

fn files(short: (bool, bool)) -> String {
    match short {
        (true, false) => SUBUID.into(),
        (false, true) => SUBGID.into(),
        _ => format!("{SUBUID} and {SUBGID}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proposed_range_belongs_to_no_user() {
        assert_eq!(free_range(&[]), Some(100_000));
        assert_eq!(free_range(&[(100_000, 65_536)]), Some(165_536));
        assert_eq!(free_range(&[(165_535, 2), (300_000, 1)]), Some(231_072));
        assert_eq!(free_range(&[(0, u32::MAX)]), None);
    }

    #[test]
    fn the_command_adds_only_the_kind_of_ids_that_is_missing() {
        let both = with_usermod((true, true), 100_000, "alice");
        assert_eq!(
            both,
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 alice"
        );
        let gids = with_usermod((false, true), 100_000, "alice");
        assert_eq!(gids, "as root: usermod --add-subgids 100000-165535 alice");
        assert!(without_a_name((true, false), 7).ends_with(":7:65536 to /etc/subuid"));
    }
}
