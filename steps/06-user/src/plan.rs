//! The ids that a container gets: the choice of the caller, and the subordinate ids
//! that the host gives the caller.

use anyhow::Result;
use kit::{Failure, FailureKind, Id};
use nix::unistd::{getegid, geteuid};

use crate::account::Account;
use crate::free_ids;
use crate::helpers::Helpers;
use crate::id_map::IdMap;
use crate::more_ids::how_to_get_ids;
use crate::namespace::{Ids, Writer};
use crate::subid::{self, SUBGID, SUBUID, SubidRange};

/// The choice of a user namespace and of its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Userns {
    /// [`Userns::Host`] for root, and [`Userns::Auto`] for another caller.
    Default,
    /// No user namespace.
    Host,
    /// The caller has the same id inside as outside.
    KeepId,
    /// Root inside is the caller outside; or, started by root, an id that no user of
    /// the host has.
    Auto,
    /// The maps that the caller gives.
    Maps {
        /// The map of user ids.
        uids: IdMap,
        /// The map of group ids.
        gids: IdMap,
    },
}

impl Userns {
    /// Finds the ids of the container with this id.
    ///
    /// # Errors
    /// When the caller may not have them, with the reason and a hint.
    pub fn ids(self, id: &Id, helpers: &Helpers) -> Result<Ids> {
        match (self, geteuid().is_root()) {
            (Userns::Maps { uids, gids }, _) => Ok(Ids::mapped(uids, gids, helpers)),
            (Userns::Host | Userns::Default, true) => Ok(Ids::of_host()),
            (Userns::Host, false) => {
                let failure = Failure::new(
                    "--userns host: without a user namespace of its own this needs root",
                );
                let failure = failure.with_kind(FailureKind::Refused);
                Err(failure.hint("leave it out, or use sudo").into())
            }
            (Userns::Auto, true) => free_ids::of_no_user(id),
            (Userns::Auto | Userns::Default, false) => {
                with_notice(Account::of_id(0, 0), helpers)
            }
            (Userns::KeepId, false) => {
                let own = Account::of_id(geteuid().as_raw(), getegid().as_raw());
                with_notice(own, helpers)
            }
            (Userns::KeepId, true) => {
                let failure = Failure::new("--userns keep-id: your own id is root's");
                Err(failure
                    .with_kind(FailureKind::Usage)
                    .hint("start it as another user, or choose --userns auto")
                    .into())
            }
        }
    }
}

impl Ids {
    /// Makes ids from these maps. The namespace's first user is root if both maps have
    /// the id 0, or else the first id of each map.
    pub fn mapped(uids: IdMap, gids: IdMap, helpers: &Helpers) -> Self {
        let is_only = |map: &IdMap, id: u32| matches!(map.ranges(), [only] if only.size == 1 && only.outside == id);
        let is_own =
            is_only(&uids, geteuid().as_raw()) && is_only(&gids, getegid().as_raw());
        let writer = match (geteuid().is_root(), is_own) {
            (true, _) => Writer::Root,
            (false, true) => Writer::OwnId,
            (false, false) => Writer::Helpers(helpers.clone()),
        };
        let first_inside =
            |map: &IdMap| map.ranges().first().map_or(0, |range| range.inside);
        let first_user = match (uids.has(0), gids.has(0)) {
            (true, true) => Account::of_id(0, 0),
            _ => Account::of_id(first_inside(&uids), first_inside(&gids)),
        };
        Ids::new(first_user, uids, gids, writer)
    }
}

/// As [`of_caller`], and prints a notice when only the caller's own id can be mapped.
fn with_notice(first_user: Account, helpers: &Helpers) -> Result<Ids> {
    let (ids, reason) = of_caller(first_user, helpers)?;
    if let Some(reason) = reason {
        kit::notice(format_args!(
            "note: only your own id is mapped into the container: {reason}"
        ));
        kit::notice(format_args!("hint: {}", how_to_get_ids(helpers)));
    }
    Ok(ids)
}

/// Finds the ids of a caller who is not root: the caller's own id, and the subordinate
/// ids in /etc/subuid and /etc/subgid. If the subordinate ids cannot be mapped, the
/// reason is returned, too.
pub(crate) fn of_caller(
    first_user: Account,
    helpers: &Helpers,
) -> Result<(Ids, Option<String>)> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let (uids, gids) = subid::of_caller()?;
    let reason = why_own_id_only(helpers, &uids, &gids);
    let ids = match reason {
        None => {
            let (uids, gids) = (
                IdMap::around(first_user.uid, uid, &uids),
                IdMap::around(first_user.gid, gid, &gids),
            );
            Ids::new(first_user, uids, gids, Writer::Helpers(helpers.clone()))
        }
        Some(_) => {
            let (uids, gids) = (
                IdMap::single(first_user.uid, uid),
                IdMap::single(first_user.gid, gid),
            );
            Ids::new(first_user, uids, gids, Writer::OwnId)
        }
    };
    Ok((ids, reason))
}

/// The reason why only the caller's own id can be mapped, if that is so.
pub(crate) fn why_own_id_only(
    helpers: &Helpers,
    uids: &[SubidRange],
    gids: &[SubidRange],
) -> Option<String> {
    match (helpers.missing(), uids.is_empty(), gids.is_empty()) {
        (Some(name), ..) => Some(format!("{name} is not installed")),
        (None, true, _) => Some(format!("{SUBUID} has no ids for you")),
        (None, _, true) => Some(format!("{SUBGID} has no ids for you")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_from_maps_without_options() {
        let map = |text: &str| IdMap::new(vec![text.parse().unwrap()]).unwrap();
        let helpers = Helpers::find("".as_ref());
        let ids = Ids::mapped(map("0:100000:10"), map("5:100000:10"), &helpers);
        assert_eq!(ids.shown(), "uids 0 100000 10; gids 5 100000 10");
        assert_eq!(*ids.first_user(), Account::of_id(0, 5), "each map's first id");
    }
}
