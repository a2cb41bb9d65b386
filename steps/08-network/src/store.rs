//! The networks, their leases and the changes made to the host: files in one directory.
//! Only one process at a time changes them.
//!
//! ```text
//! DIR/.lock              the lock
//! DIR/host.json          the changes made to the host, and the old values
//! DIR/NAME/network.json  a network
//! DIR/NAME/leases.json   its leases
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Durability, Failure, FailureKind, Hint, interrupt};
use nix::errno::Errno;

use crate::directory::Directory;
use crate::host_changes::HostChanges;
use crate::json_file;
use crate::lease::{Lease, LeaseFile};
use crate::lock_file;
use crate::network::{Network, NetworkName, Origin};

/// The content of the directory, and the lock on it: no other process changes networks
/// while this value exists.
pub(crate) struct NetworkStore {
    dir: Directory,
    _lock: File,
    networks: BTreeMap<String, NetworkRecord>,
    changes: HostChanges,
    /// The content of host.json, if there is one.
    saved_changes: Option<HostChanges>,
}

/// A network and its leases.
#[derive(Clone, Debug)]
pub(crate) struct NetworkRecord {
    pub(crate) network: Network,
    pub(crate) leases: Vec<Lease>,
}

const HOST: &str = "host.json";
const LOCK: &str = ".lock";
const NETWORK: &str = "network.json";
const LEASES: &str = "leases.json";

impl NetworkStore {
    /// Locks the directory, which it creates where it is missing, and reads the files.
    ///
    /// # Errors
    /// When the directory cannot be created or read, or other users can write to it or
    /// exchange it; when a file in it is malformed.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let (dir, lock) = loop {
            if let Some(locked) = lock(dir)? {
                break locked;
            }
        };
        let saved_changes: Option<HostChanges> = json_file::read(&dir, HOST)?;
        let changes = saved_changes.clone().unwrap_or_default();
        let networks = read_networks(&dir)?;
        Ok(NetworkStore { dir, _lock: lock, networks, changes, saved_changes })
    }

    /// The directory of the networks.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All networks, in the order of their names.
    pub(crate) fn networks(&self) -> impl Iterator<Item = &NetworkRecord> {
        self.networks.values()
    }

    /// The networks that have containers.
    pub(crate) fn networks_in_use(&self) -> impl Iterator<Item = &NetworkRecord> {
        self.networks().filter(|record| !record.leases.is_empty())
    }

    /// Finds a network by its name.
    pub(crate) fn find(&self, name: &str) -> Option<&NetworkRecord> {
        self.networks.get(name)
    }

    /// Finds a network by its name. It is an error if there is none.
    pub(crate) fn network(&self, name: &str) -> Result<&NetworkRecord> {
        let create = format!("`network create {name}` creates one");
        let names = || self.networks.keys().cloned().collect::<Vec<_>>().join(", ");
        self.find(name).ok_or_else(|| unknown(name).into()).hint(
            match self.networks.is_empty() {
                true => create,
                false => format!("{create}; there are: {}", names()),
            },
        )
    }

    /// Adds a network.
    ///
    /// # Errors
    /// When its files cannot be written; then it is not added.
    pub(crate) fn add(&mut self, network: Network) -> Result<()> {
        let name = OsStr::new(&network.name);
        let unfinished = kit::temporary_name(name);
        let path = self.dir.path().join(name);
        // A network that the user created survives a power cut; an automatic one ends
        // with its last container.
        let durability = match network.origin {
            Origin::UserCreated => Durability::PowerCut,
            Origin::Automatic => Durability::Kill,
        };
        let what = "note the network, so that others find it";
        // 711: the DNS responder reads the leases without privileges (dns.rs).
        let dir = kit::call(what, "mkdir", path.display(), || {
            self.dir.create(&unfinished, 0o711)
        })?;
        // Renamed when it is complete, so a directory that is not a network's is
        // recognised.
        json_file::write(&dir, NETWORK, &network, 0o600, durability)
            .and_then(|()| {
                self.dir
                    .rename(&unfinished, name)
                    .with_context(|| format!("rename {}", path.display()))
            })
            .inspect_err(|_| remove_unfinished(&self.dir, &unfinished))?;
        let name = network.name.clone();
        self.networks.insert(name, NetworkRecord { network, leases: Vec::new() });
        Ok(())
    }

    /// Replaces the leases of a network.
    ///
    /// # Errors
    /// When there is no such network, or its lease file cannot be written; then they
    /// stay as they were.
    pub(crate) fn set_leases(&mut self, name: &str, leases: Vec<Lease>) -> Result<()> {
        let record = self.networks.get_mut(name).ok_or_else(|| unknown(name))?;
        let path = self.dir.path().join(name);
        let dir = self
            .dir
            .open(name.as_ref())
            .with_context(|| format!("open {}", path.display()))?
            .ok_or_else(|| unknown(name))?;
        // A power cut ends all containers, so the file need not survive one. fsync(2)
        // takes 8 to 18 ms on ext4, longer than all the rest of a start or an end.
        let file = LeaseFile { leases };
        json_file::write(&dir, LEASES, &file, 0o644, Durability::Kill)?;
        record.leases = file.leases;
        Ok(())
    }

    /// Removes a network. The caller removes its bridge.
    pub(crate) fn remove(&mut self, name: &str) -> Result<()> {
        let path = self.dir.path().join(name);
        kit::call("forget the network", "rmdir", path.display(), || {
            remove_network_dir(&self.dir, name.as_ref())
        })?;
        self.networks.remove(name);
        Ok(())
    }

    /// The lease file of a network.
    pub(crate) fn leases_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name).join(LEASES)
    }

    /// The changes made to the host.
    pub(crate) fn changes(&self) -> &HostChanges {
        &self.changes
    }

    /// Saves the changes of the host, before they are made or after they are undone.
    pub(crate) fn update_changes(
        &mut self,
        update: impl FnOnce(&mut HostChanges),
    ) -> Result<()> {
        update(&mut self.changes);
        let changes = self.has_to_undo().then(|| self.changes.clone());
        if changes == self.saved_changes {
            return Ok(());
        }
        match &changes {
            // A reboot undoes them.
            Some(changes) => {
                json_file::write(&self.dir, HOST, changes, 0o600, Durability::Kill)?;
            }
            None => self.dir.remove_file(HOST.as_ref()).with_context(|| {
                format!("remove {}", self.dir.path().join(HOST).display())
            })?,
        }
        self.saved_changes = changes;
        Ok(())
    }

    /// Tells whether there is anything on the host that must be undone later.
    pub(crate) fn has_to_undo(&self) -> bool {
        !self.changes.is_empty() || self.networks_in_use().next().is_some()
    }
}

impl Drop for NetworkStore {
    fn drop(&mut self) {
        // We still hold the lock. A process that waits for it then finds another file
        // at the path, or none, and begins again.
        if self.networks.is_empty() && self.saved_changes.is_none() {
            let _ = self.dir.remove_file(LOCK.as_ref());
            let _ = fs::remove_dir(self.dir.path()); // rmdir(2) fails unless it is empty
        }
    }
}

fn unknown(name: &str) -> Failure {
    Failure::new(format_args!("there is no network {name:?}"))
        .with_kind(FailureKind::NotFound)
}

/// Creates the directory and locks it. None: another process has removed it in between.
///
/// The lock is on a file that only we can open. Every user could lock the directory.
fn lock(dir: &Path) -> Result<Option<(Directory, File)>> {
    kit::refuse_exchangeable(dir).hint(PRIVATE)?;
    interrupt::check()?;
    let create = || DirBuilder::new().recursive(true).mode(0o700).create(dir);
    kit::call("where networks are noted", "mkdir", dir.display(), create).hint_on(
        Errno::EACCES,
        "only root has networks of the host's: use sudo, or --network none",
    )?;
    let open = || format!("open {}", dir.display());
    let opened = fs::canonicalize(dir).and_then(|dir| Ok((File::open(&dir)?, dir)));
    let Some((opened, dir)) = kit::if_exists(opened).with_context(open)? else {
        return Ok(None);
    };
    let found = opened.metadata().with_context(|| format!("stat {}", dir.display()))?;
    kit::ensure_private(&dir, &found).hint(PRIVATE)?;
    kit::refuse_exchangeable(&dir).hint(PRIVATE)?;
    let path = dir.join(LOCK);
    let locked =
        kit::if_exists(lock_file::open_or_create(opened.as_fd(), LOCK.as_ref()));
    let Some(lock) = locked.with_context(|| format!("open {}", path.display()))? else {
        return Ok(None);
    };
    let why = "one process at a time changes the networks";
    kit::call(why, "flock", path.display(), || interrupt::lock(&lock))?;
    let is_ours = kit::is_still_at(&lock, &path)? && kit::is_still_at(&opened, &dir)?;
    Ok(is_ours.then(|| (Directory::new(opened, dir), lock)))
}

const PRIVATE: &str = "let --network-dir be one that only you can write to";

fn read_networks(dir: &Directory) -> Result<BTreeMap<String, NetworkRecord>> {
    let mut networks = BTreeMap::new();
    let read = || format!("read {}", dir.path().display());
    for name in dir.names().with_context(read)? {
        if is_unfinished(&name) {
            remove_unfinished(dir, &name);
            continue;
        }
        // An entry whose name is no network's is not ours.
        let Some(Ok(NetworkName(name))) = name.to_str().map(str::parse) else {
            continue;
        };
        let Some(dir) = dir.open(name.as_ref()).with_context(read)? else { continue };
        let Some(network) = json_file::read::<Network>(&dir, NETWORK)? else {
            continue;
        };
        if network.name != name {
            let path = dir.path().join(NETWORK);
            let what = format!("{} is of the network {}", path.display(), network.name);
            return Err(Failure::new(what).hint("look at it, and remove it").into());
        }
        let leases = json_file::read::<LeaseFile>(&dir, LEASES)?;
        let leases = leases.unwrap_or_default().leases;
        networks.insert(name, NetworkRecord { network, leases });
    }
    Ok(networks)
}

/// Removes network.json last: if we are interrupted, the directory is still recognised
/// as a network.
fn remove_network_dir(above: &Directory, name: &OsStr) -> io::Result<()> {
    if let Some(dir) = above.open(name)? {
        let mut others = dir.names()?.into_iter().filter(|name| name != NETWORK);
        others.try_for_each(|name| dir.remove_file(&name))?;
        dir.remove_file(NETWORK.as_ref())?;
    }
    above.remove_directory(name)
}

/// Tells whether a killed process may have left this entry unfinished. No network's
/// name begins with a dot.
fn is_unfinished(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(b".new")
}

/// Removes what a killed process has left: the unfinished host.json, or an unfinished
/// directory of a network. Anything else stays.
fn remove_unfinished(above: &Directory, name: &OsStr) {
    if name == kit::temporary_name(HOST.as_ref()) {
        let _ = above.remove_file(name);
        return;
    }
    if let Ok(Some(dir)) = above.open(name) {
        let _ = dir.remove_file(NETWORK.as_ref());
        let _ = dir.remove_file(&kit::temporary_name(NETWORK.as_ref()));
        // rmdir(2) removes it only if it is empty.
        let _ = above.remove_directory(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_a_directory_removes_nothing_that_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["empty", "full", ".web.new"] {
            fs::create_dir(path(name)).unwrap();
        }
        let files = ["full/.leases.json.new", ".notes.new", "notes"];
        let ours = [".host.json.new", ".web.new/network.json"];
        for name in files.iter().chain(&ours) {
            fs::write(path(name), "precious").unwrap();
        }
        drop(NetworkStore::open(dir.path()).unwrap());
        let stays = |name: &&str| path(name).exists();
        assert!(path("empty").exists() && files.iter().all(&stays));
        assert!(!ours.iter().any(stays) && !path(".web.new").exists());
    }

    #[test]
    fn a_network_that_does_not_exist_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = NetworkStore::open(dir.path()).unwrap();
        let error = store.network("web").unwrap_err();
        assert_eq!(Failure::of(&error).kind(), FailureKind::NotFound);
        let error = store.set_leases("web", Vec::new()).unwrap_err();
        assert_eq!(Failure::of(&error).kind(), FailureKind::NotFound);
    }
}
