//! The user namespace: made with the child, filled in by the parent, entered by the
//! child.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::Result;
use exec::{Channel, CloneFlags};
use kit::Hint;
use mount::{Detached, Request};
use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid};
use pivot_root::{Root, RootView, Rootfs};

use crate::account::Account;
use crate::helper;
use crate::ids::Map;
use crate::sys;

/// Which ids inside stand for which outside.
#[derive(Clone, Debug)]
pub struct Ids {
    /// Who a process is that enters.
    first: Account,
    /// None: the host's own, without a namespace.
    maps: Option<Maps>,
}

#[derive(Clone, Debug)]
struct Maps {
    uids: Map,
    gids: Map,
    writer: Writer,
}

/// Who writes the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Root may write any.
    Root,
    /// Anybody may map the own id, and gives up setgroups(2) for it.
    OwnId,
    /// The host's set-user-ID helpers write what is lent to the caller.
    Helpers,
}

impl Ids {
    /// The host's ids.
    pub(crate) fn of_host() -> Self {
        Ids { first: Account::of_id(0, 0), maps: None }
    }

    pub(crate) fn new(first: Account, uids: Map, gids: Map, writer: Writer) -> Self {
        Ids { first, maps: Some(Maps { uids, gids, writer }) }
    }

    /// The namespace of this step, if there is to be one: clone(2), CLONE_NEWUSER.
    pub fn namespace(&self) -> CloneFlags {
        if self.maps.is_some() {
            CloneFlags::CLONE_NEWUSER
        } else {
            CloneFlags::empty()
        }
    }

    // ANCHOR: write
    /// In the parent, while the child waits: says who its ids are outside, and shows
    /// these views with the owners that it has for their files.
    ///
    /// # Errors
    /// What the kernel says, or a helper, with the mend.
    // Task 6.2: a map is written once, by a process of the namespace outside.
    pub fn write<'a>(
        &self,
        child: Pid,
        views: impl IntoIterator<Item = &'a Detached>,
    ) -> Result<()> {
        let Some(Maps { uids, gids, writer }) = &self.maps else { return Ok(()) };
        match writer {
            Writer::Helpers => {
                helper::write(helper::NEWUIDMAP, child, uids)?;
                helper::write(helper::NEWGIDMAP, child, gids)
            }
            Writer::Root => {
                write_both(child, uids, gids)?;
                let namespace = open_namespace(child)?;
                views
                    .into_iter()
                    .try_for_each(|view| view.map_owners(namespace.as_fd()))
            }
            Writer::OwnId => {
                // user_namespaces(7): or one could leave a group that is there to
                // forbid something.
                write(child, "setgroups", "deny")?;
                write_both(child, uids, gids)
            }
        }
    }
    // ANCHOR_END: write

    /// Whether its files must be shown to it with other owners, which only root may do.
    pub fn are_shown_by_root(&self) -> bool {
        self.maps.as_ref().is_some_and(|maps| maps.writer == Writer::Root)
    }

    /// In the parent, as root: opens a view of the root file system, whose owners
    /// [`Ids::write`] maps. Another caller may not map owners and need not: the files
    /// belong to the caller, who is root inside.
    ///
    /// # Errors
    /// When the directory does not exist.
    pub fn root_view(&self, rootfs: &Rootfs) -> Result<Option<RootView>> {
        if !self.are_shown_by_root() {
            return Ok(None);
        }
        let view = RootView::open(rootfs)?;
        // Root owns the device nodes on the disk, so after the mapping the container's
        // root would own them and could open them.
        view.forbid_devices()?;
        Ok(Some(view))
    }

    /// In the child, once the maps are there: becomes the namespace's first user, with
    /// none of the caller's groups and keys. Until then it is nobody: no id of its own
    /// means anything inside.
    ///
    /// # Errors
    /// What the kernel says of the calls it takes.
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
        self.become_account(&self.first, parent)
    }

    /// In the child, last: becomes who the command is to run as.
    ///
    /// # Errors
    /// What the kernel says of the calls it takes.
    pub fn become_user(&self, account: &Account, parent: &Channel) -> Result<()> {
        if *account == self.first {
            return Ok(());
        }
        own_terminal(account)?;
        self.become_account(account, parent)
    }

    // ANCHOR: become
    // Task 6.3: groups first: who is no longer root may not change them.
    fn become_account(&self, account: &Account, parent: &Channel) -> Result<()> {
        if self.may_set_groups() {
            let groups = self.groups(account);
            kit::call(
                "its own groups, and none of the caller's",
                "setgroups",
                shown(&groups),
                || setgroups(&groups),
            )?;
        }
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        kit::call("its group first, while it may", "setresgid", gid, || {
            setresgid(gid, gid, gid)
        })?;
        kit::call("who it is from here on", "setresuid", uid, || {
            setresuid(uid, uid, uid)
        })?;
        exec::die_with_parent(parent) // prctl(2): the change of ids has cleared it
    }
    // ANCHOR_END: become

    /// All its groups, the first one too: otherwise a set-group-ID program would shed
    /// it, and with it what is forbidden to that group (CVE-2022-36109). What the
    /// namespace does not have is left out: it is one right less.
    fn groups(&self, account: &Account) -> Vec<Gid> {
        let is_mapped =
            |gid: &u32| self.maps.as_ref().is_none_or(|maps| maps.gids.has(*gid));
        let others = account.groups.iter().copied().filter(|gid| *gid != account.gid);
        std::iter::once(account.gid)
            .chain(others)
            .filter(is_mapped)
            .map(Gid::from_raw)
            .collect()
    }

    /// user_namespaces(7), "/proc/PID/setgroups": who mapped the own id alone may not.
    fn may_set_groups(&self) -> bool {
        self.maps.as_ref().is_none_or(|maps| maps.writer != Writer::OwnId)
    }

    pub(crate) fn first(&self) -> &Account {
        &self.first
    }

    /// The id of `account` that is not mapped.
    pub(crate) fn lacks(&self, account: &Account) -> Option<String> {
        let maps = self.maps.as_ref()?;
        match (maps.uids.has(account.uid), maps.gids.has(account.gid)) {
            (false, _) => Some(format!("uid {}", account.uid)),
            (_, false) => Some(format!("gid {}", account.gid)),
            _ => None,
        }
    }

    pub(crate) fn shown(&self) -> String {
        self.maps.as_ref().map_or_else(String::new, |maps| {
            format!("uids {}; gids {}", maps.uids, maps.gids)
        })
    }
}

/// In the child: mounts the root file system, from the parent's view if there is one.
///
/// # Errors
/// As [`Root::open`].
pub fn open_root(
    view: Option<&RootView>,
    rootfs: &Rootfs,
    requests: &[Request],
) -> Result<Root> {
    match view {
        Some(view) => Root::from_view(view, rootfs.access, requests),
        None => Root::open(rootfs, requests),
    }
}

/// As a person reads them; an image may list any number.
fn shown(groups: &[Gid]) -> String {
    let numbers: Vec<_> = groups.iter().map(|gid| gid.as_raw()).collect();
    if numbers.len() <= 32 {
        format!("{numbers:?}")
    } else {
        format!("{} of them", numbers.len())
    }
}

fn open_namespace(child: Pid) -> Result<File> {
    let path = format!("/proc/{child}/ns/user");
    kit::call("to show files with its owners", "open", &path, || File::open(&path))
}

fn write_both(child: Pid, uids: &Map, gids: &Map) -> Result<()> {
    write(child, "uid_map", &uids.lines())?;
    write(child, "gid_map", &gids.lines())
}

fn write(child: Pid, file: &str, text: &str) -> Result<()> {
    let why = match file {
        "setgroups" => "an ordinary user's gid_map needs it",
        "uid_map" => "who its users are outside",
        _ => "who its groups are outside",
    };
    let path = format!("/proc/{child}/{file}");
    let operands = format!("{path}, {}", text.trim_end().replace('\n', "; "));
    kit::call(why, "write", operands, || std::fs::write(&path, text)).hint_on(
        Errno::EPERM,
        "`doctor` of this step says what forbids user namespaces here",
    )
}

/// The container's own terminal belongs to who sits at it, or it could not be opened by
/// name.
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
