//! Groups that the command has in addition to those of its account.

use std::os::fd::BorrowedFd;
use std::str::FromStr;

use anyhow::Result;
use kit::{Failure, FailureKind};

use crate::account::{Account, UserName, read};
use crate::namespace::Ids;

/// A group as an option names it: a number, or a name in /etc/group of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(UserName);

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(group) => Ok(Group(group)),
            Err(_) => {
                Err(format!("{text:?}: a group is a name or a number: audio, 29"))
            }
        }
    }
}

impl Ids {
    /// Adds groups to an account. [`Ids::become_user`] then refuses one that is not
    /// mapped.
    ///
    /// # Errors
    /// When the root file system does not have the name, or the user namespace does not
    /// allow other groups.
    pub fn add_groups(
        &self,
        mut account: Account,
        root: BorrowedFd<'_>,
        added: &[Group],
    ) -> Result<Account> {
        if added.is_empty() {
            return Ok(account);
        }
        if !self.may_set_groups() {
            let failure = Failure::new("no group can be added in this user namespace");
            let hint = "user_namespaces(7): it has your own group only; with subordinate group ids it \
                        can have others (`doctor` says how)";
            return Err(failure.with_kind(FailureKind::Refused).hint(hint).into());
        }
        let groups = read(root, "/etc/group")?;
        for Group(name) in added {
            let gid = name.gid(&groups)?;
            if !account.groups.contains(&gid) {
                account.groups.push(gid);
            }
        }
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_name_or_a_number() {
        for good in ["audio", "29", "0", "4294967294"] {
            good.parse::<Group>().unwrap();
        }
        for bad in ["", "4294967295", "a:b", "a/b"] {
            bad.parse::<Group>().unwrap_err();
        }
    }
}
