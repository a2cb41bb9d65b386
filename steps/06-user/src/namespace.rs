//! The user namespace: clone3 makes it with the child, and the parent writes its maps.

use std::os::fd::AsFd;

use anyhow::Result;
use exec::CloneFlags;
use mount::{Detached, Recursion, Request, Sourced};
use nix::unistd::Pid;
use pivot_root::{Root, RootView, Rootfs};

use crate::account::Account;
use crate::exposure;
use crate::helpers::Helpers;
use crate::id_map::IdMap;
use crate::pipes;
use crate::process_maps::{open_namespace, write, write_both};

/// The ids of a container: the host's, or those of a user namespace.
#[derive(Clone, Debug)]
pub struct Ids {
    /// The user that a process becomes when it enters the namespace.
    first_user: Account,
    /// The maps of the user namespace, if there is one.
    maps: Option<Maps>,
}

#[derive(Clone, Debug)]
struct Maps {
    uids: IdMap,
    gids: IdMap,
    writer: Writer,
    /// Whether Kiste may choose other ids: the caller did not name these.
    is_replaceable: bool,
}

/// The process that writes the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The parent, as root: root may write any map.
    Root,
    /// The parent, as any user: it may map its own id only, and setgroups(2) must be
    /// denied first.
    OwnId,
    /// The host's set-user-ID helpers: they write the caller's subordinate ids.
    Helpers(Helpers),
    /// Nobody: the namespace exists, and its maps are written.
    Nobody(Setgroups),
}

/// Whether setgroups(2) is allowed in a user namespace: user_namespaces(7),
/// "/proc/PID/setgroups".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setgroups {
    /// It is.
    Allowed,
    /// It is not, for good.
    Denied,
}

impl Ids {
    /// The host's ids, without a user namespace.
    pub fn of_host() -> Self {
        Ids { first_user: Account::of_id(0, 0), maps: None }
    }

    pub(crate) fn new(
        first_user: Account,
        uids: IdMap,
        gids: IdMap,
        writer: Writer,
    ) -> Self {
        Ids {
            first_user,
            maps: Some(Maps { uids, gids, writer, is_replaceable: false }),
        }
    }

    /// Allows Kiste to choose other ids instead of these.
    pub(crate) fn replaceable(mut self) -> Self {
        self.maps.iter_mut().for_each(|maps| maps.is_replaceable = true);
        self
    }

    /// Whether Kiste may choose other ids instead of these.
    pub(crate) fn are_replaceable(&self) -> bool {
        self.maps.as_ref().is_some_and(|maps| maps.is_replaceable)
    }

    /// The ranges of host ids that the maps use: the first id of each range, and the
    /// number of its ids.
    pub(crate) fn outside(&self) -> Vec<(u32, u32)> {
        let maps = self.maps.iter().flat_map(|maps| [&maps.uids, &maps.gids]);
        maps.flat_map(IdMap::ranges).map(|range| (range.outside, range.size)).collect()
    }

    // ANCHOR: namespace
    /// The flag for clone(2): CLONE_NEWUSER, or none for the host's ids.
    // Task 6.1: one call makes all namespaces, and the user namespace owns the others.
    pub fn namespace(&self) -> CloneFlags {
        match &self.maps {
            Some(Maps { writer: Writer::Nobody(_), .. }) | None => CloneFlags::empty(),
            Some(_) => CloneFlags::CLONE_NEWUSER,
        }
    }
    // ANCHOR_END: namespace

    // ANCHOR: write
    /// In the parent, while the child waits: writes the maps, and applies them to the
    /// owners of the files in `views`. Also lets every user of the container open the
    /// caller's pipes by name.
    ///
    /// # Errors
    /// The kernel's or a helper's, with a hint.
    // Task 6.2: a map is written once, by a process outside of the namespace.
    pub fn write<'a>(
        &self,
        child: Pid,
        views: impl IntoIterator<Item = &'a Detached>,
    ) -> Result<()> {
        pipes::let_every_user_open();
        let Some(Maps { uids, gids, writer, .. }) = &self.maps else { return Ok(()) };
        // Task 6.2 begins.
        match writer {
            Writer::Helpers(helpers) => helpers.write(child, uids, gids),
            Writer::Root => {
                write_both(child, uids, gids)?;
                let namespace = open_namespace(child)?;
                views.into_iter().try_for_each(|view| {
                    view.map_owners(namespace.as_fd(), Recursion::Alone)
                })
            }
            Writer::OwnId => {
                // user_namespaces(7): with setgroups(2) a user could leave a group that
                // denies access to a file.
                write(child, "setgroups", "deny")?;
                write_both(child, uids, gids)
            }
            Writer::Nobody(_) => Ok(()),
        }
    }
    // ANCHOR_END: write

    /// Whether root must map the owners of the container's files.
    pub fn needs_idmapped_mounts(&self) -> bool {
        self.maps.as_ref().is_some_and(|maps| maps.writer == Writer::Root)
    }

    /// In the parent, as root: opens a view of the root file system. [`Ids::write`]
    /// maps the owners of its files. A caller who is not root may not map owners, and
    /// need not: the files belong to the caller, who is root inside. Warns if every user
    /// of the host can reach these files.
    ///
    /// # Errors
    /// When the directory does not exist.
    pub fn root_view(&self, rootfs: &Rootfs) -> Result<Option<RootView>> {
        if !self.needs_idmapped_mounts() {
            return Ok(None);
        }
        let view = RootView::open(rootfs)?;
        exposure::warn_if_exposed(rootfs);
        // Root owns the device nodes on the disk, so after the mapping the container's
        // root would own them and could open them.
        view.forbid_devices()?;
        Ok(Some(view))
    }

    /// In the child, before [`Ids::enter`]: opens a view of the root file system with
    /// the caller's rights. None if the ids stay the caller's, or the parent opens the
    /// view.
    ///
    /// # Errors
    /// As [`Ids::root_view`].
    pub fn root_view_in_child(&self, rootfs: &Rootfs) -> Result<Option<RootView>> {
        let child_opens_it = self.maps.is_some() && !self.needs_idmapped_mounts();
        child_opens_it.then(|| RootView::open_in_child(rootfs)).transpose()
    }

    /// In the parent, as root: makes mounts of the volumes that only root can reach.
    /// Does nothing for another caller, since the child has the same rights.
    ///
    /// # Errors
    /// As [`mount::copy_sources`].
    pub fn copy_sources(&self, requests: &[impl Sourced]) -> Result<()> {
        match self.needs_idmapped_mounts() {
            true => mount::copy_sources(requests),
            false => Ok(()),
        }
    }

    /// The user that a process becomes when it enters the namespace.
    pub(crate) fn first_user(&self) -> &Account {
        &self.first_user
    }

    /// Whether a process inside may change its groups: user_namespaces(7),
    /// "/proc/PID/setgroups".
    pub(crate) fn may_set_groups(&self) -> bool {
        let denied = [Writer::OwnId, Writer::Nobody(Setgroups::Denied)];
        self.maps.as_ref().is_none_or(|maps| !denied.contains(&maps.writer))
    }

    /// Whether this group id exists inside.
    pub(crate) fn has_gid(&self, gid: u32) -> bool {
        self.maps.as_ref().is_none_or(|maps| maps.gids.has(gid))
    }

    /// Returns the first of the account's uid, gid and supplementary groups that is not
    /// mapped. None if all are mapped.
    pub(crate) fn unmapped(&self, account: &Account) -> Option<String> {
        let Maps { uids, gids, .. } = self.maps.as_ref()?;
        if !uids.has(account.uid) {
            return Some(format!("uid {}", account.uid));
        }
        if !gids.has(account.gid) {
            return Some(format!("gid {}", account.gid));
        }
        let group = account.groups.iter().find(|gid| !gids.has(**gid));
        group.map(|gid| format!("group {gid}"))
    }

    /// Shows both maps, for people.
    pub(crate) fn shown(&self) -> String {
        self.maps.as_ref().map_or_else(String::new, |maps| {
            format!("uids {}; gids {}", maps.uids, maps.gids)
        })
    }
}

/// In the child: mounts the root file system, from a view of it if there is one.
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
