//! The options of this step.

use std::env;

use anyhow::Result;
use kit::{Failure, FailureKind, Id};

use crate::account::User;
use crate::helpers::Helpers;
use crate::id_map::{IdMap, IdRange};
use crate::namespace::Ids;
use crate::plan::Userns;

/// The options that choose the user ids and group ids of the container.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "user_options")]
pub struct Args {
    /// The user namespace; by default `host` for root, else `auto`
    #[arg(long, value_enum, value_name = "MODE")]
    userns: Option<Mode>,

    /// Map user ids: the first id inside, the first id outside, their number
    #[arg(long, value_name = "C:H:SIZE", conflicts_with = "userns")]
    uid_map: Vec<IdRange>,

    /// Map group ids; if only one of both maps is given, it is used for the other, too
    #[arg(long, value_name = "C:H:SIZE", conflicts_with = "userns")]
    gid_map: Vec<IdRange>,

    /// Run the command as this user of the root file system
    ///
    /// UID[:GID] or NAME[:GROUP].
    #[arg(short, long)]
    user: Option<User>,
}

/// The values of `--userns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// No user namespace: root inside is root
    Host,
    /// Your user id is the same inside
    KeepId,
    /// Root inside is you outside; started by root, an id that no user has outside
    Auto,
}

impl Args {
    /// Chooses the ids of the container with this id.
    ///
    /// # Errors
    /// When the caller may not have the ids that were asked for, with the reason and a
    /// hint.
    pub fn ids(&self, id: &Id) -> Result<Ids> {
        self.plan()?.ids(id, &helpers())
    }

    /// The user that the command is to run as, if `--user` is given.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    fn plan(&self) -> Result<Userns> {
        if self.uid_map.is_empty() && self.gid_map.is_empty() {
            return Ok(match self.userns {
                None => Userns::Default,
                Some(Mode::Host) => Userns::Host,
                Some(Mode::KeepId) => Userns::KeepId,
                Some(Mode::Auto) => Userns::Auto,
            });
        }
        let options = [(&self.uid_map, "--uid-map"), (&self.gid_map, "--gid-map")];
        let map = |[preferred, fallback]: [(&Vec<IdRange>, &str); 2]| {
            let (ranges, option) =
                if preferred.0.is_empty() { fallback } else { preferred };
            IdMap::new(ranges.clone()).map_err(|why| {
                let failure = Failure::new(format_args!("{option}: {why}"));
                failure.with_kind(FailureKind::Usage).with_exit_code(2)
            })
        };
        Ok(Userns::Maps { uids: map(options)?, gids: map([options[1], options[0]])? })
    }
}

/// Finds newuidmap and newgidmap in the caller's `$PATH`. Only the code that reads the
/// options calls this function. All other code is given the result.
pub fn helpers() -> Helpers {
    Helpers::find(&env::var_os("PATH").unwrap_or_default())
}
