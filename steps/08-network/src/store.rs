//! What is known of networks beyond one run: files below one directory, changed by one
//! at a time.
//!
//! ```text
//! DIR/host.json          what was changed on the host, and how it was before
//! DIR/alive/ID           locked by the runtime of a container as long as it lives
//! DIR/NAME/network.json  a network
//! DIR/NAME/leases.json   who is on it, and at which address
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint, Id};
use nix::errno::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::host_changes::HostChanges;
use crate::lease::{Lease, Leases};
use crate::network::Network;

/// All that is noted, and the lock on it: while this lives, nobody else changes
/// networks.
pub(crate) struct NetworkStore {
    dir: PathBuf,
    _lock: File,
    pub(crate) host: HostChanges,
    pub(crate) networks: BTreeMap<String, NetworkRecord>,
}

/// A network, and who is on it.
#[derive(Clone, Debug)]
pub(crate) struct NetworkRecord {
    pub(crate) network: Network,
    pub(crate) leases: Vec<Lease>,
}

/// That a container lives: a file that its runtime holds a lock on.
#[derive(Debug)]
pub(crate) struct Alive {
    _lock: File,
}

const HOST: &str = "host.json";
const NETWORK: &str = "network.json";
const LEASES: &str = "leases.json";
const ALIVE: &str = "alive";

impl NetworkStore {
    /// Waits until nobody else changes networks, and reads what is noted.
    ///
    /// # Errors
    /// When the directory cannot be made or read, when others can write to it, or when
    /// what is in it is of another network namespace whose containers live.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let (dir, lock) = loop {
            make(dir)?;
            let open = || format!("open {}", dir.display());
            let Some(dir) = kit::if_exists(fs::canonicalize(dir)).with_context(open)?
            else {
                continue;
            };
            let Some(lock) = kit::if_exists(File::open(&dir)).with_context(open)?
            else {
                continue;
            };
            let found =
                lock.metadata().with_context(|| format!("stat {}", dir.display()))?;
            kit::ensure_private(&dir, &found)
                .hint("let --network-dir be one that only you can write to")?;
            kit::call(
                "one changes the networks at a time",
                "flock",
                dir.display(),
                || lock.lock(),
            )?;
            if kit::is_still_at(&lock, &dir)? {
                break (dir, lock);
            }
        };
        let host = read_json(&dir.join(HOST))?.unwrap_or_default();
        let mut store =
            NetworkStore { dir, _lock: lock, host, networks: BTreeMap::new() };
        store.read_networks()?;
        Ok(store)
    }

    fn read_networks(&mut self) -> Result<()> {
        for entry in fs::read_dir(&self.dir)
            .with_context(|| format!("read {}", self.dir.display()))?
        {
            let path =
                entry.with_context(|| format!("read {}", self.dir.display()))?.path();
            let network = match read_json::<Network>(&path.join(NETWORK)) {
                Ok(Some(network)) => network,
                Ok(None) => {
                    forget_unfinished(&path);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let leases =
                read_json::<Leases>(&path.join(LEASES))?.unwrap_or_default().leases;
            self.networks
                .insert(network.name.clone(), NetworkRecord { network, leases });
        }
        Ok(())
    }

    /// The network of this name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn network(&self, name: &str) -> Result<&NetworkRecord> {
        let found = self.networks.get(name);
        let names = || self.networks.keys().cloned().collect::<Vec<_>>().join(", ");
        found
            .ok_or_else(|| {
                Failure::new(format_args!("there is no network {name:?}")).into()
            })
            .hint(match self.networks.is_empty() {
                true => format!("`network create {name}` makes one"),
                false => {
                    format!("`network create {name}` makes one; there are: {}", names())
                }
            })
    }

    /// Notes a network and who is on it.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub(crate) fn note(&mut self, noted: NetworkRecord) -> Result<()> {
        let dir = self.dir_of(&noted.network.name);
        // The responder reads the leases as nobody (dns.rs).
        let written = kit::call(
            "note the network, so that others find it",
            "mkdir",
            dir.display(),
            || make_dir(&dir, 0o711),
        )
        .and_then(|()| write_json(&dir.join(NETWORK), &noted.network, 0o600))
        .and_then(|()| {
            write_json(
                &dir.join(LEASES),
                &Leases { leases: noted.leases.clone() },
                0o644,
            )
        });
        if let Err(error) = written {
            if !self.networks.contains_key(&noted.network.name) {
                let _ = fs::remove_dir_all(&dir); // half of it may have been written
            }
            return Err(error);
        }
        self.networks.insert(noted.network.name.clone(), noted);
        Ok(())
    }

    /// Notes what was changed on the host; before it is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn note_host(&self) -> Result<()> {
        let path = self.dir.join(HOST);
        if self.has_to_undo() {
            return write_json(&path, &self.host, 0o600);
        }
        gone(fs::remove_file(&path))
            .with_context(|| format!("remove {}", path.display()))
    }

    /// Whether anything was done here that is to be undone.
    pub(crate) fn has_to_undo(&self) -> bool {
        !self.host.is_empty()
            || self.networks.values().any(|noted| !noted.leases.is_empty())
    }

    /// Forgets a network. Its bridge is the caller's to remove.
    ///
    /// # Errors
    /// When its directory cannot be removed.
    pub(crate) fn forget(&mut self, name: &str) -> Result<()> {
        let dir = self.dir_of(name);
        kit::call("forget the network", "rmdir", dir.display(), || {
            gone(remove_network(&dir))
        })?;
        self.networks.remove(name);
        Ok(())
    }

    /// The file that says who is on a network.
    pub(crate) fn leases_path(&self, name: &str) -> PathBuf {
        self.dir_of(name).join(LEASES)
    }

    /// Says that a container lives, as long as what is returned is held.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub(crate) fn live(&self, id: &Id) -> Result<Alive> {
        let path = self.dir.join(ALIVE).join(id.as_str());
        make_dir(&self.dir.join(ALIVE), 0o700)
            .with_context(|| format!("mkdir {}", path.display()))?;
        let open = || {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)
        };
        let file = open().with_context(|| format!("open {}", path.display()))?;
        kit::call(
            "locked while this container lives",
            "flock",
            path.display(),
            || file.lock(),
        )?;
        Ok(Alive { _lock: file })
    }

    /// Whether the runtime of this container lives.
    pub(crate) fn is_alive(&self, id: &str) -> bool {
        let path = self.dir.join(ALIVE).join(id);
        // What cannot be looked at is not dead.
        match File::options().write(true).open(&path) {
            Err(error) => error.kind() != io::ErrorKind::NotFound,
            Ok(file) => matches!(
                file.try_lock(),
                Err(TryLockError::WouldBlock | TryLockError::Error(_))
            ),
        }
    }

    /// Forgets that a container lived.
    pub(crate) fn bury(&self, id: &str) {
        // Left behind, it is a file that nobody holds a lock on.
        let _ = fs::remove_file(self.dir.join(ALIVE).join(id));
    }

    /// Forgets those that died before they were on any network.
    pub(crate) fn bury_the_unknown(&self) {
        for entry in fs::read_dir(self.dir.join(ALIVE)).into_iter().flatten().flatten()
        {
            if let Some(id) = entry.file_name().to_str().filter(|id| !self.is_alive(id))
            {
                self.bury(id);
            }
        }
    }

    /// Where all this is noted.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn dir_of(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for NetworkStore {
    fn drop(&mut self) {
        // Under the lock, and only what is empty: rmdir refuses the rest.
        let _ = fs::remove_dir(self.dir.join(ALIVE));
        let _ = fs::remove_dir(&self.dir);
    }
}

fn make(dir: &Path) -> Result<()> {
    let make = || DirBuilder::new().recursive(true).mode(0o700).create(dir);
    kit::call("where networks are noted", "mkdir", dir.display(), make).hint_on(
        Errno::EACCES,
        "networks of the host's are root's: use sudo, or --network none",
    )
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode))),
    }
}

/// What says that it is one goes last: whoever is interrupted before leaves a network,
/// not what is none.
fn remove_network(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !path.ends_with(NETWORK) {
            gone(fs::remove_file(path))?;
        }
    }
    fs::remove_dir_all(dir)
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory]
                .contains(&error.kind()) =>
        {
            return Ok(None);
        }
        text => text.with_context(|| format!("read {}", path.display()))?,
    };
    let parsed = serde_json::from_str(&text);
    let parsed = parsed
        .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())));
    parsed.map(Some).map_err(anyhow::Error::from).hint("see what it is, and remove it")
}

/// A file that is being written. No network's name begins with a dot.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().display();
    path.with_file_name(format!(".{name}.new"))
}

/// What a `kill -9` in the middle of writing has left: a file, or the directory of a
/// network that had not come to be.
fn forget_unfinished(path: &Path) {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let is_file = name.starts_with(b".") && name.ends_with(b".new");
    // What is anything else stays: rmdir(2) takes only what is empty.
    let _ = if is_file {
        fs::remove_file(path)
    } else {
        fs::remove_file(unfinished(&path.join(NETWORK)))
    };
    let _ = fs::remove_dir(path);
}

/// Either the old text is there or the new one, whatever happens meanwhile: rename(2).
fn write_json<T: Serialize>(path: &Path, value: &T, mode: u32) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    let new = unfinished(path);
    kit::call("for those who come later", "write", path.display(), || {
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&new)?;
        // whatever our umask is
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        fs::rename(&new, path)
    })
}

/// Which network namespace this is, and which boot of the host: what was changed in
/// another one is gone with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    boot: String,
    namespace: String,
}

impl Place {
    /// Whether what was done there is still there, as far as a boot would have undone
    /// it.
    pub(crate) fn is_this_boot(&self) -> Result<bool> {
        Ok(self.boot == Place::here()?.boot)
    }

    /// Where we are.
    pub(crate) fn here() -> Result<Self> {
        let boot_id = "/proc/sys/kernel/random/boot_id";
        let boot =
            fs::read_to_string(boot_id).with_context(|| format!("read {boot_id}"))?;
        let namespace =
            fs::read_link("/proc/self/ns/net").context("readlink /proc/self/ns/net")?;
        Ok(Place {
            boot: boot.trim().into(),
            namespace: namespace.display().to_string(),
        })
    }
}
