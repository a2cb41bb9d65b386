//! The user and groups of a process: credentials(7).

use std::os::fd::BorrowedFd;

use anyhow::Result;
use exec::Channel;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::account::{Account, User};
use crate::namespace::Ids;
use crate::sys;

impl Ids {
    /// In the child, once the maps are written: becomes the namespace's first user,
    /// without the caller's groups and keys. Before, the child has no id inside.
    ///
    /// # Errors
    /// The kernel's, from one of the calls that it takes.
    pub fn enter(&self, parent: &Channel) -> Result<()> {
        kit::call(
            "a new keyring: the caller's keys stay outside",
            "keyctl",
            "JOIN_SESSION_KEYRING",
            sys::join_new_session_keyring,
        )
        .hint_on(
            Errno::EDQUOT,
            "as many keys as /proc/sys/kernel/keys allows: each container takes one",
        )?;
        self.become_account(self.first(), parent)
    }

    /// Finds the account that the command runs as: `user`, by the files of the root
    /// file system, or else the namespace's first user. The groups in which /etc/group
    /// lists the user are the image's choice; those that are not mapped are left out.
    ///
    /// # Errors
    /// When the root file system has no such name, or the namespace no such id.
    pub fn account(
        &self,
        root: BorrowedFd<'_>,
        user: Option<&User>,
    ) -> Result<Account> {
        let Some(user) = user else { return Ok(self.first().clone()) };
        let mut account = Account::find(root, user)?;
        account.groups.retain(|gid| self.has_gid(*gid));
        self.refuse_unmapped(&account)?;
        Ok(account)
    }

    /// In the child, last: becomes the user that the command runs as.
    ///
    /// # Errors
    /// When the namespace does not have its user, its group or one of its supplementary
    /// groups, all of which the caller asked for. The kernel's, from one of the calls
    /// that it takes.
    pub fn become_user(&self, account: &Account, parent: &Channel) -> Result<()> {
        if account == self.first() {
            return Ok(());
        }
        self.refuse_unmapped(account)?;
        own_terminal(account)?;
        self.become_account(account, parent)
    }

    fn refuse_unmapped(&self, account: &Account) -> Result<()> {
        let Some(unmapped) = self.unmapped(account) else { return Ok(()) };
        let failure = Failure::new(format_args!(
            "{unmapped} is not mapped into this user namespace"
        ));
        let failure = failure.kind(FailureKind::Refused);
        Err(failure.hint(format_args!("the maps are: {}", self.shown())).into())
    }

    // ANCHOR: become
    // Task 6.3: the groups first: a process that is no longer root may not change them.
    fn become_account(&self, account: &Account, parent: &Channel) -> Result<()> {
        // Without newgidmap the caller's own groups stay: setgroups(2) is denied.
        if self.may_set_groups() {
            let groups = groups(account);
            kit::call(
                "its own groups, and none of the caller's",
                "setgroups",
                shown(&groups),
                || setgroups(&groups),
            )?;
        }
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        kit::call("become this group", "setresgid", gid, || setresgid(gid, gid, gid))?;
        kit::call("become this user", "setresuid", uid, || setresuid(uid, uid, uid))?;
        exec::die_with_parent(parent) // prctl(2): the change of ids has cleared it
    }
    // ANCHOR_END: become
}

/// All groups of an account. The primary one is among them: otherwise a set-group-ID
/// program would drop it, and could open a file that denies access to that group
/// (CVE-2022-36109).
fn groups(account: &Account) -> Vec<Gid> {
    let others = account.groups.iter().copied().filter(|gid| *gid != account.gid);
    std::iter::once(account.gid).chain(others).map(Gid::from_raw).collect()
}

/// Shows groups for people; an image may list any number.
fn shown(groups: &[Gid]) -> String {
    let numbers: Vec<_> = groups.iter().map(|gid| gid.as_raw()).collect();
    if numbers.len() <= 32 {
        format!("{numbers:?}")
    } else {
        format!("{} of them", numbers.len())
    }
}

/// Makes the account the owner of the container's terminal, which it could not open by
/// name otherwise.
fn own_terminal(account: &Account) -> Result<()> {
    let streams =
        [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let terminal = streams.into_iter().find(|stream| rustix::termios::isatty(stream));
    terminal.map_or(Ok(()), |terminal| {
        kit::call("so that it may open its terminal", "fchown", account.uid, || {
            rustix::fs::fchown(
                terminal,
                Some(rustix::fs::Uid::from_raw(account.uid)),
                None,
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Helpers;
    use crate::id_map::IdMap;

    #[test]
    fn a_user_or_group_that_a_value_asks_for_and_that_is_not_mapped_is_refused() {
        let map = || IdMap::new(vec!["0:100000:10".parse().unwrap()]).unwrap();
        let ids = Ids::mapped(map(), map(), &Helpers::find("".as_ref()));
        let account = Account { groups: vec![5, 9], ..Account::of_id(1, 2) };
        ids.refuse_unmapped(&account).unwrap();
        for (account, named) in [
            (Account { uid: 10, ..account.clone() }, "uid 10 is not mapped"),
            (Account { gid: 10, ..account.clone() }, "gid 10 is not mapped"),
            (Account { groups: vec![5, 44], ..account }, "group 44 is not mapped"),
        ] {
            let error = ids.refuse_unmapped(&account).unwrap_err();
            assert!(error.to_string().starts_with(named), "{error}");
            let kind = error.downcast_ref::<Failure>().unwrap().failure_kind();
            assert_eq!(kind, FailureKind::Refused);
            Ids::of_host().refuse_unmapped(&account).unwrap();
        }
    }
}
