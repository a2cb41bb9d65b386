//! The user and groups of a process: credentials(7).

use std::os::fd::BorrowedFd;

use anyhow::Result;
use exec::Channel;
use kit::{Failure, FailureKind};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::account::{Account, User};
use crate::keyring::Keyring;
use crate::namespace::Ids;

impl Ids {
    /// In the child, once the maps are written: becomes the namespace's first user, and
    /// gives up the caller's groups and keys. Before this call, the child's own ids may
    /// have no id inside.
    ///
    /// # Errors
    /// The kernel's error, from one of the calls.
    pub fn enter(&self, parent: &Channel) -> Result<()> {
        self.enter_with(Keyring::New, parent)
    }

    /// Becomes the namespace's first user as [`Ids::enter`] does, with this keyring.
    ///
    /// # Errors
    /// As [`Ids::enter`].
    pub fn enter_with(&self, keyring: Keyring, parent: &Channel) -> Result<()> {
        keyring.join()?;
        self.become_account(self.first_user(), parent)
    }

    /// Finds the account that the command runs as. `user` is looked up in the root file
    /// system; without it, the account is the namespace's first user. /etc/group of the
    /// image may list the user in groups that are not mapped: these are left out.
    ///
    /// # Errors
    /// When the root file system does not have the name, or the id is not mapped.
    pub fn account(
        &self,
        root: BorrowedFd<'_>,
        user: Option<&User>,
    ) -> Result<Account> {
        let Some(user) = user else { return Ok(self.first_user().clone()) };
        let mut account = Account::find(root, user)?;
        account.groups.retain(|gid| self.has_gid(*gid));
        self.refuse_unmapped(&account)?;
        Ok(account)
    }

    /// In the child, last: becomes the user that the command runs as.
    ///
    /// # Errors
    /// When the account's uid, its gid or one of its supplementary groups is not
    /// mapped. The kernel's error, from one of the calls.
    pub fn become_user(&self, account: &Account, parent: &Channel) -> Result<()> {
        if account == self.first_user() {
            return Ok(());
        }
        self.refuse_unmapped(account)?;
        chown_terminal(account)?;
        self.become_account(account, parent)
    }

    fn refuse_unmapped(&self, account: &Account) -> Result<()> {
        let Some(unmapped) = self.unmapped(account) else { return Ok(()) };
        let failure = Failure::new(format_args!(
            "{unmapped} is not mapped into this user namespace"
        ));
        let failure = failure.with_kind(FailureKind::Refused);
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
                list_for_people(&groups),
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

/// Formats groups for people. Of a long list, only the length is shown.
fn list_for_people(groups: &[Gid]) -> String {
    let numbers: Vec<_> = groups.iter().map(|gid| gid.as_raw()).collect();
    if numbers.len() <= 32 {
        format!("{numbers:?}")
    } else {
        format!("{} of them", numbers.len())
    }
}

/// Makes the account the owner of its terminal. Otherwise it could not open the terminal
/// by name.
///
/// Without a terminal of the container's own, that is the one of the caller. runc gives it
/// away as well, by `create` and `run --detach`. It stays as it is if its owner cannot be
/// changed: in a user namespace, a terminal of the host may belong to nobody.
fn chown_terminal(account: &Account) -> Result<()> {
    let streams =
        [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let terminal = streams.into_iter().find(|stream| rustix::termios::isatty(stream));
    let Some(terminal) = terminal else { return Ok(()) };
    let changed =
        kit::call("so that it may open its terminal", "fchown", account.uid, || {
            let uid = rustix::fs::Uid::from_raw(account.uid);
            rustix::fs::fchown(terminal, Some(uid), None)
        });
    match changed {
        Err(error)
            if matches!(
                kit::errno(&error),
                Some(Errno::EPERM | Errno::EINVAL | Errno::EROFS)
            ) =>
        {
            Ok(())
        }
        changed => changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Helpers;
    use crate::id_map::IdMap;

    #[test]
    fn an_account_with_an_unmapped_user_or_group_is_refused() {
        let map = || IdMap::new(vec!["0:100000:10".parse().unwrap()]).unwrap();
        let ids = Ids::mapped(map(), map(), &Helpers::find("".as_ref()));
        let account = Account { groups: vec![5, 9], ..Account::of_id(1, 2) };
        ids.refuse_unmapped(&account).unwrap();
        for (account, message) in [
            (Account { uid: 10, ..account.clone() }, "uid 10 is not mapped"),
            (Account { gid: 10, ..account.clone() }, "gid 10 is not mapped"),
            (Account { groups: vec![5, 44], ..account }, "group 44 is not mapped"),
        ] {
            let error = ids.refuse_unmapped(&account).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
            let kind = error.downcast_ref::<Failure>().unwrap().kind();
            assert_eq!(kind, FailureKind::Refused);
            Ids::of_host().refuse_unmapped(&account).unwrap();
        }
    }
}
