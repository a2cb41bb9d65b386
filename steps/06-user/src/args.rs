//! The options of this step.

use std::os::fd::BorrowedFd;

use anyhow::Result;
use kit::{Failure, Id};

use crate::account::{Account, User};
use crate::ids::{Map, Range};
use crate::namespace::Ids;
use crate::plan;

/// Who it is, inside and outside.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "user_options")]
pub struct Args {
    /// Whose user ids it has; by default `host` for root, else `auto`
    #[arg(long, value_enum, value_name = "MODE")]
    userns: Option<Mode>,

    /// Map user ids yourself: the first one inside, the first one outside, how many
    #[arg(long, value_name = "C:H:SIZE", conflicts_with = "userns")]
    uid_map: Vec<Range>,

    /// Map group ids yourself; where only one of the two is given, it is for both
    #[arg(long, value_name = "C:H:SIZE", conflicts_with = "userns")]
    gid_map: Vec<Range>,

    /// Run the command as this user of the root file system
    ///
    /// UID[:GID] or NAME[:GROUP].
    #[arg(short, long)]
    user: Option<User>,
}

/// Where user and group ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// The host's: no user namespace. Root inside is root
    Host,
    /// Your own id inside, too
    KeepId,
    /// Root inside is you outside; or, started by root, nobody that the host knows
    Auto,
}

impl Args {
    /// Which ids inside stand for which outside.
    ///
    /// # Errors
    /// When the caller may not have what was asked for, with the reason and the mend.
    pub fn ids(&self, id: &Id) -> Result<Ids> {
        if self.uid_map.is_empty() && self.gid_map.is_empty() {
            return plan::by_mode(self.userns, id);
        }
        let given = [(&self.uid_map, "--uid-map"), (&self.gid_map, "--gid-map")];
        let map = |[own, other]: [(&Vec<Range>, &str); 2]| {
            let (ranges, option) = if own.0.is_empty() { other } else { own };
            Map::new(ranges.clone())
                .map_err(|why| Failure::new(format_args!("{option}: {why}")).exit(2))
        };
        plan::by_maps(map(given)?, map([given[1], given[0]])?)
    }

    /// Who the command runs as: the user that was asked for, or the one that the
    /// namespace begins as.
    ///
    /// # Errors
    /// When the root file system has no such name, or the namespace no such id.
    pub fn account(&self, root: BorrowedFd<'_>, ids: &Ids) -> Result<Account> {
        self.account_or(None, root, ids)
    }

    /// The same, where an image says who it is to be unless asked otherwise.
    ///
    /// # Errors
    /// As [`Args::account`].
    pub fn account_or(
        &self,
        image: Option<&User>,
        root: BorrowedFd<'_>,
        ids: &Ids,
    ) -> Result<Account> {
        let Some(user) = self.user.as_ref().or(image) else {
            return Ok(ids.first().clone());
        };
        let account = Account::find(root, user)?;
        let Some(what) = ids.lacks(&account) else { return Ok(account) };
        let asked = if self.user.is_some() { "-u" } else { "user of the image" };
        let failure = Failure::new(format_args!(
            "{asked}: {what} is not mapped into this user namespace"
        ));
        Err(failure.hint(format_args!("mapped are {}", ids.shown())).into())
    }
}
