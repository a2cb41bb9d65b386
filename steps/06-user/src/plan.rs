//! Which ids a container gets: what was asked for, and what the host lends to the
//! caller.

use anyhow::Result;
use kit::{Failure, Id, program};
use nix::unistd::{getegid, geteuid};

use crate::account::Account;
use crate::args::Mode;
use crate::helper;
use crate::ids::Map;
use crate::namespace::{Ids, Writer};
use crate::subid::{self, Lent, SUBGID, SUBUID};

/// The ids of a whole system: 0 to 65535, the last of which is `nobody`'s.
pub(crate) const ENOUGH: u32 = 1 << 16;

/// By the ranges that were typed.
pub(crate) fn by_maps(uids: Map, gids: Map) -> Result<Ids> {
    let own = |map: &Map, id: u32| matches!(map.ranges(), [only] if only.size == 1 && only.outside == id);
    let alone = own(&uids, geteuid().as_raw()) && own(&gids, getegid().as_raw());
    let writer = match (geteuid().is_root(), alone) {
        (true, _) => Writer::Root,
        (false, true) => Writer::OwnId,
        (false, false) => Writer::Helpers,
    };
    let first = |map: &Map| map.ranges()[0].inside;
    let first = match (uids.has(0), gids.has(0)) {
        (true, true) => Account::of_id(0, 0),
        _ => Account::of_id(first(&uids), first(&gids)),
    };
    Ok(Ids::new(first, uids, gids, writer))
}

/// By `--userns`.
pub(crate) fn by_mode(mode: Option<Mode>, id: &Id) -> Result<Ids> {
    let is_root = geteuid().is_root();
    let usual = if is_root { Mode::Host } else { Mode::Auto };
    match (mode.unwrap_or(usual), is_root) {
        (Mode::Host, true) => Ok(Ids::of_host()),
        (Mode::Host, false) => {
            let failure = Failure::new(
                "--userns host: without a user namespace of its own this needs root",
            );
            Err(failure.hint("leave it out, or use sudo").into())
        }
        (Mode::Auto, true) => nobody_special(id),
        (Mode::Auto, false) => lent(Account::of_id(0, 0)),
        (Mode::KeepId, false) => {
            lent(Account::of_id(geteuid().as_raw(), getegid().as_raw()))
        }
        (Mode::KeepId, true) => {
            let failure = Failure::new("--userns keep-id: your own id is root's");
            Err(failure
                .hint("start it as another user, or choose --userns auto")
                .into())
        }
    }
}

/// The same, and says so where that is the own id alone.
fn lent(first: Account) -> Result<Ids> {
    let (ids, alone) = of_caller(first)?;
    if let Some(why) = alone {
        program::say(format_args!(
            "note: only your own id is mapped into the container: {why}"
        ));
        program::say(format_args!("hint: {}", helper::mend(&subid::caller())));
    }
    Ok(ids)
}

/// A caller without root: its own id, and what /etc/subuid and /etc/subgid lend to it;
/// or why nothing.
pub(crate) fn of_caller(first: Account) -> Result<(Ids, Option<String>)> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let (uids, gids) = subid::lent_to_us()?;
    let alone = why_alone(&uids, &gids);
    let ids = match alone {
        None => {
            let (uids, gids) = (
                Map::around(first.uid, uid, &uids),
                Map::around(first.gid, gid, &gids),
            );
            Ids::new(first, uids, gids, Writer::Helpers)
        }
        Some(_) => {
            let (uids, gids) =
                (Map::single(first.uid, uid), Map::single(first.gid, gid));
            Ids::new(first, uids, gids, Writer::OwnId)
        }
    };
    Ok((ids, alone))
}

/// Why the caller's own id is all that can be mapped.
pub(crate) fn why_alone(uids: &[Lent], gids: &[Lent]) -> Option<String> {
    match (helper::missing(), uids.is_empty(), gids.is_empty()) {
        (Some(name), ..) => Some(format!("there is no {name} here")),
        (None, true, _) => Some(format!("{SUBUID} lends you no ids")),
        (None, _, true) => Some(format!("{SUBGID} lends you no ids")),
        _ => None,
    }
}

/// The ids that systemd sets aside for containers: <https://systemd.io/UIDS-GIDS>.
const CONTAINERS: std::ops::Range<u32> = 524_288..1_879_048_192;

/// Root as the caller: a range of ids that nobody else has, chosen by the container's
/// id.
fn nobody_special(id: &Id) -> Result<Ids> {
    let taken = subid::lent_to_anybody()?;
    let blocks = (CONTAINERS.end - CONTAINERS.start) / ENOUGH;
    let wanted =
        u64::from_str_radix(id.as_str(), 16).unwrap_or_default() % u64::from(blocks);
    let starts =
        (0..blocks).map(|n| CONTAINERS.start + (wanted as u32 + n) % blocks * ENOUGH);
    let is_free = |start: &u32| {
        !taken
            .iter()
            .any(|(first, count)| *start < first + count && *first < start + ENOUGH)
    };
    let start = starts.into_iter().find(is_free);
    let Some(outside) = start else {
        return Err(Failure::new(format_args!(
            "{SUBUID} and {SUBGID} leave no 65536 ids for a container"
        ))
        .into());
    };
    let map = Map::new(vec![crate::ids::Range { inside: 0, outside, size: ENOUGH }])
        .map_err(Failure::new)?;
    Ok(Ids::new(Account::of_id(0, 0), map.clone(), map, Writer::Root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_gets_the_block_of_ids_that_the_containers_id_chooses_if_nobody_has_it() {
        let (first, end, size) = (524_288, 1_879_048_192, 65_536);
        let lent = subid::lent_to_anybody().unwrap();
        for _ in 0..20 {
            let id = Id::random().unwrap();
            let number = u64::from_str_radix(id.as_str(), 16).unwrap();
            let outside = first + number % ((end - first) / size) * size;
            let is_lent = |lent: &Lent| {
                u64::from(lent.0) < outside + size
                    && outside < u64::from(lent.0) + u64::from(lent.1)
            };
            let expected = format!("uids 0 {outside} {size}; gids 0 {outside} {size}");
            let is_free = !lent.iter().any(is_lent);
            assert_eq!(
                nobody_special(&id).unwrap().shown() == expected,
                is_free,
                "{id}"
            );
        }
    }
}
