//! The run directory of a container: `/run/kiste/ID`. Its owner holds a lock on it as long as the
//! container lives, so that whatever a `kill -9` leaves behind can be told from what is alive.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;

use crate::call::call;
use crate::failure::Hint;
use crate::id::Id;

/// Where the run directories are.
#[derive(clap::Args, Clone, Debug)]
pub struct RunDirArgs {
    /// Where containers that live are noted; `gc` looks here for those that died
    #[arg(long = "run-dir", value_name = "DIR", default_value = "/run/kiste")]
    pub parent: PathBuf,
}

/// A locked run directory. Dropping it removes the directory, and then the lock.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

/// A run directory whose owner is dead. It is locked as long as this lives.
#[derive(Debug)]
pub struct Abandoned(RunDir);

impl RunDir {
    /// Makes `PARENT/ID`, mode 0700, and locks it, before anything else of the container is made.
    ///
    /// # Errors
    /// When the directory cannot be made: no rights, a read-only or full file system.
    pub fn create(parent: &Path, id: &Id) -> Result<Self> {
        let path = parent.join(id.as_str());
        loop {
            call("its owner holds a lock on it", "mkdir", path.display(), || make(&path))
                .hint_on(nix::errno::Errno::EACCES, "the run directory belongs to root: use sudo")?;
            // Between mkdir and flock, `gc` may have found it unlocked and removed it.
            if let Some(lock) = lock(&path)? {
                return Ok(RunDir { path, _lock: lock });
            }
        }
    }

    /// Writes a file into it that says what must be undone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        call("so that gc can undo it", "write", path.display(), || fs::write(&path, text))
    }

    /// Reads a file that [`RunDir::note`] wrote; empty when there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<String> {
        match fs::read_to_string(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            text => text.with_context(|| format!("read {}", self.path.join(name).display())),
        }
    }

    /// Leaves the directory for `gc`, because something that it notes could not be undone.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Run directories below `parent` whose owner is dead. What is alive is not touched.
    ///
    /// # Errors
    /// When `parent` is there and cannot be read.
    pub fn abandoned(parent: &Path) -> Result<Vec<Abandoned>> {
        let entries = match fs::read_dir(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("read {}", parent.display()))?,
        };
        let mut abandoned = Vec::new();
        for entry in entries {
            let entry = entry?;
            // What is not called by an id is none of ours, and is not looked at.
            let Some(id) = entry.file_name().to_str().and_then(Id::parse) else { continue };
            let path = parent.join(id.as_str());
            if let Some(lock) = try_lock(&path)? {
                abandoned.push(Abandoned(RunDir { path, _lock: lock }));
            }
        }
        Ok(abandoned)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Removed under the lock: the notes, and nothing deeper, since we make nothing deeper.
        let notes = fs::read_dir(&self.path).into_iter().flatten().flatten();
        notes.for_each(|note| drop(fs::remove_file(note.path())));
        let _ = fs::remove_dir(&self.path);
        // What we made above it goes with the last container: rmdir refuses a full directory.
        let parent = self.path.parent().filter(|parent| is_marked(parent));
        let _ = parent.map(fs::remove_dir);
    }
}

impl Abandoned {
    /// The id of the container that was.
    pub fn id(&self) -> String {
        self.0.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Reads a note of the dead owner.
    ///
    /// # Errors
    /// When the note is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<String> {
        self.0.read(name)
    }

    /// Leaves the directory for a later `gc`, because something in it could not be undone.
    pub fn keep(self) {
        self.0.keep();
    }
}

/// The sticky bit marks a parent that we made, and that we may remove.
const MARKED: u32 = 0o1700;

fn is_marked(parent: &Path) -> bool {
    fs::symlink_metadata(parent).is_ok_and(|found| found.mode() & 0o7777 == MARKED)
}

fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    let parent = path.parent().unwrap_or(path);
    loop {
        if !parent.exists() {
            builder.recursive(true).mode(MARKED).create(parent)?;
        }
        match builder.recursive(false).mode(0o700).create(path) {
            // Another container's end removed the empty parent in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
}

fn lock(path: &Path) -> Result<Option<File>> {
    let Some(file) = open(path)? else { return Ok(None) };
    call("who holds it is alive", "flock", path.display(), || file.lock())?;
    Ok(still_there(&file, path).then_some(file))
}

fn try_lock(path: &Path) -> Result<Option<File>> {
    let Some(file) = open(path)? else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(still_there(&file, path).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// Opens a run directory. None: it is gone; or it is a file, a pipe or a link, and was never one.
fn open(path: &Path) -> Result<Option<File>> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    match File::options().read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        file => Ok(Some(file.with_context(|| format!("open {}", path.display()))?)),
    }
}

/// A lock on a directory that has been removed meanwhile holds nothing.
fn still_there(file: &File, path: &Path) -> bool {
    let inode = |meta: io::Result<fs::Metadata>| meta.map(|m| (m.dev(), m.ino())).ok();
    let held = inode(file.metadata());
    held.is_some() && held == inode(fs::metadata(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("kiste-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_living_container_is_never_abandoned_and_a_dead_one_is_found_once() {
        let parent = scratch("run-dir");
        let (alive, dead) = (Id::random().unwrap(), Id::random().unwrap());
        let _alive = RunDir::create(&parent, &alive).unwrap();
        // A kill -9: the lock goes, the directory stays.
        let RunDir { path, _lock } = &RunDir::create(&parent, &dead).unwrap();
        let file = _lock.try_clone().unwrap();
        file.unlock().unwrap();

        let found = RunDir::abandoned(&parent).unwrap();
        assert_eq!(found.iter().map(Abandoned::id).collect::<Vec<_>>(), [dead.to_string()]);
        assert!(RunDir::abandoned(&parent).unwrap().is_empty(), "it is locked by who found it");
        drop(found);
        assert!(!path.exists());
    }
}
