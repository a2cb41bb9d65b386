//! The run directory of a container: `/run/kiste/ID`. Its owner holds a lock on it as
//! long as the container lives. By the lock, a later `gc` tells a living container
//! from one whose owner was killed by `kill -9`.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::process::geteuid;

use crate::call::call;
use crate::failure::{Failure, Hint};
use crate::file::{ensure_private, if_exists};
use crate::id::Id;
use crate::interrupt;
use crate::lock::{lock, open_run_dir, read_file, try_lock};
use crate::parent_owners::refuse_exchangeable;
use crate::process_identity::{Liveness, ProcessIdentity};
use crate::state_file::{LONGEST_STATE, STATE_FILE, liveness_by_state};
use crate::write_atomically::{Durability, write_atomically_below};

/// A locked run directory. Dropping it removes the directory, and then releases the
/// lock.
///
/// Its notes are read and written through the open directory, so that nobody can put
/// another directory in its place.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// The directory, locked.
    directory: File,
    keeper: Keeper,
}

/// Keeps a run directory for `gc`. A value that removes what the directory notes has
/// one: if the removal fails when the value is dropped, the notes must stay.
#[derive(Clone, Debug, Default)]
pub struct Keeper(Rc<Cell<bool>>);

impl Keeper {
    /// Keeps the directory when its [`RunDir`] is dropped.
    pub fn keep(&self) {
        self.0.set(true);
    }
}

/// The owner of a container, in a note outside its run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The absolute path of the run directory.
    pub run_dir: PathBuf,
    /// The process that holds the lock of the run directory.
    pub runtime: ProcessIdentity,
}

/// The run directory of a container that is gone. It stays locked as long as this
/// value lives.
#[derive(Debug)]
pub struct Abandoned(RunDir);

/// The longest note that is read, in bytes. A note names a few dozen cgroups at most.
const LONGEST_NOTE: u64 = 64 << 10;

impl RunDir {
    /// Makes `PARENT/ID`, mode 0700, and locks it, before anything else of the
    /// container is made. From now on, a signal ends the start or the end of the
    /// container by an error, so that everything is undone: see [`interrupt`].
    ///
    /// # Errors
    /// When the directory cannot be made: no rights, a read-only or full file system;
    /// or when others can write to `parent` or exchange it, so that `gc` could not
    /// trust the notes in it.
    #[track_caller]
    pub fn create(parent: &Path, id: &Id) -> Result<Self> {
        interrupt::block()?;
        let path = parent.join(id.as_str());
        refuse_exchangeable(parent).hint(PRIVATE_RUN_DIR)?;
        loop {
            call("the note that this container lives", "mkdir", path.display(), || {
                make_with_parent(&path)
            })
            .hint_on(Errno::EACCES, hint_for_access(parent))?;
            // Between mkdir and flock, `gc` may have found it unlocked and removed it.
            let locked = lock(&path).inspect_err(|_| drop(fs::remove_dir(&path)));
            if let Some(directory) = locked? {
                let run_dir = RunDir { path, directory, keeper: Keeper::default() };
                // Another user may have made the parent in between. Dropping `run_dir`
                // removes what we made in it.
                let found = parent
                    .symlink_metadata()
                    .with_context(|| format!("stat {}", parent.display()))?;
                refuse_shared(parent, &found)?;
                return Ok(run_dir);
            }
        }
    }

    /// Opens and locks the directory of a container that [`RunDir::leave`] has left,
    /// once its present owner has released the lock. None: there is no such directory.
    ///
    /// Dropping the value then leaves the directory; [`RunDir::remove`] removes it.
    ///
    /// # Errors
    /// When the directory cannot be opened, or others can write to it; when a signal
    /// ends the wait.
    #[track_caller]
    pub fn open(parent: &Path, id: &Id) -> Result<Option<Self>> {
        interrupt::block()?;
        let path = parent.join(id.as_str());
        let keeper = Keeper::default();
        keeper.keep();
        Ok(lock(&path)?.map(|directory| RunDir { path, directory, keeper }))
    }

    /// Reads the state of a container without its lock. None: there is no such container,
    /// or it has no state yet.
    ///
    /// # Errors
    /// When the state cannot be read, or others can write to the directory: it is not
    /// believed then.
    pub fn read_state(parent: &Path, id: &Id) -> Result<Option<String>> {
        let path = parent.join(id.as_str());
        let Some(directory) = open_run_dir(&path)? else { return Ok(None) };
        read_file(&directory, &path, STATE_FILE, LONGEST_STATE)
    }

    /// Leaves the directory and releases its lock, for a container that outlives this
    /// process: its state says whether it is alive.
    pub fn leave(self) {
        self.keeper.keep();
    }

    /// Removes the directory of a container that is gone.
    pub fn remove(self) {
        self.keeper.0.set(false);
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the state of the container, so that a reader without the lock finds
    /// either the old or the new one.
    ///
    /// # Errors
    /// The kernel's reason.
    #[track_caller]
    pub fn write_state(&self, text: &str) -> Result<()> {
        let path = self.path.join(STATE_FILE);
        let why = "the state: later commands find the container by it";
        call(why, "write", path.display(), || {
            let (directory, name) = (self.directory.as_fd(), STATE_FILE.as_ref());
            let bytes = text.as_bytes();
            write_atomically_below(directory, name, bytes, 0o600, Durability::Kill)
        })
    }

    /// Identifies the owner of this container. A room that keeps something elsewhere for
    /// the container notes it there, and asks [`crate::liveness()`] about it later.
    ///
    /// # Errors
    /// When the path or this process cannot be examined.
    pub fn owner(&self) -> Result<Owner> {
        // The later command may run in another working directory.
        let run_dir = self.path.canonicalize();
        Ok(Owner {
            run_dir: run_dir
                .with_context(|| format!("realpath {}", self.path.display()))?,
            runtime: ProcessIdentity::current()?,
        })
    }

    /// Writes a file into the directory that says what `gc` must undo.
    ///
    /// # Errors
    /// When the file cannot be written, or the text is longer than 64 KiB: `gc` would
    /// not read it.
    #[track_caller]
    pub fn note(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        if text.len() as u64 > LONGEST_NOTE {
            let path = path.display();
            let what = format!("{path}: a note longer than {LONGEST_NOTE} bytes");
            return Err(Failure::new(what).into());
        }
        let flags = OFlags::CREATE
            | OFlags::TRUNC
            | OFlags::WRONLY
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        call("what gc must undo if we are killed", "write", path.display(), || {
            let file = openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)?;
            File::from(file).write_all(text.as_bytes())
        })
    }

    /// Reads a file that [`RunDir::note`] wrote; empty when there is none.
    ///
    /// # Errors
    /// When the file cannot be read, is no regular file, or has more than 64 KiB.
    pub fn read(&self, name: &str) -> Result<String> {
        let text = read_file(&self.directory, &self.path, name, LONGEST_NOTE)?;
        Ok(text.unwrap_or_default())
    }

    /// Returns a handle that can keep this directory for `gc`.
    pub fn keeper(&self) -> Keeper {
        self.keeper.clone()
    }

    #[cfg(test)]
    pub(crate) fn unlock_for_test(&self) {
        self.directory.unlock().unwrap();
    }

    /// Leaves the directory for `gc`, because something that it notes could not be
    /// undone. The lock is held until this process ends.
    pub fn leave_for_gc(self) {
        std::mem::forget(self);
    }

    /// Finds the run directories below `parent` whose containers are gone. There is an
    /// error in the list for each one that cannot be examined.
    ///
    /// # Errors
    /// When `parent` exists and cannot be read, or when others can write to it.
    pub fn abandoned(parent: &Path) -> Result<Vec<Result<Abandoned>>> {
        Ok(ids(parent)?
            .iter()
            .filter_map(|id| lock_if_abandoned(parent, id).transpose())
            .collect())
    }

    /// Does the same for only a few directories: those that follow this one in the
    /// order of their ids. Ids are random, so each start of a container examines
    /// different directories; and a start takes no longer when there are many
    /// containers.
    ///
    /// # Errors
    /// As [`RunDir::abandoned`].
    pub fn abandoned_nearby(&self) -> Result<Vec<Result<Abandoned>>> {
        let parent = self.path.parent().unwrap_or(&self.path);
        let mut ids = ids(parent)?;
        ids.sort();
        let own = ids
            .partition_point(|id| Some(id.as_str().as_ref()) < self.path.file_name());
        ids.rotate_left(own);
        let nearby = ids.iter().skip(1).take(NEARBY);
        Ok(nearby.filter_map(|id| lock_if_abandoned(parent, id).transpose()).collect())
    }
}

/// The number of run directories that the start of a container examines. The starts
/// together find every abandoned one sooner or later; `gc` finds all of them at once.
const NEARBY: usize = 16;

/// The ids of the run directories below `parent`.
fn ids(parent: &Path) -> Result<Vec<Id>> {
    let read = || format!("read {}", parent.display());
    let Some(found) = if_exists(parent.symlink_metadata()).with_context(read)? else {
        return Ok(Vec::new());
    };
    refuse_shared(parent, &found)?;
    let mut ids = Vec::new();
    let entries = if_exists(fs::read_dir(parent)).with_context(read)?;
    for entry in entries.into_iter().flatten() {
        // An entry whose name is no id is not ours.
        ids.extend(entry.with_context(read)?.file_name().to_str().and_then(Id::parse));
    }
    Ok(ids)
}

fn lock_if_abandoned(parent: &Path, id: &Id) -> Result<Option<Abandoned>> {
    let path = parent.join(id.as_str());
    let Some(directory) = try_lock(&path)? else { return Ok(None) };
    match liveness_by_state(&directory, &path)? {
        Liveness::Alive => Ok(None),
        Liveness::Gone => {
            let keeper = Keeper::default();
            Ok(Some(Abandoned(RunDir { path, directory, keeper })))
        }
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if self.keeper.0.get() {
            return;
        }
        // We make only files in it, so none of its entries is a directory.
        let notes = Dir::read_from(&self.directory).into_iter().flatten().flatten();
        for note in
            notes.filter(|note| !matches!(note.file_name().to_bytes(), b"." | b".."))
        {
            let _ = unlinkat(&self.directory, note.file_name(), AtFlags::empty());
        }
        let _ = fs::remove_dir(&self.path);
        // The last container also removes the parent, and the directory above, if we
        // made them: rmdir(2) refuses a directory that is not empty.
        let above = self.path.ancestors().skip(1).take(2);
        let mut made = above.take_while(|directory| is_marked(directory));
        let _ = made.try_for_each(fs::remove_dir);
    }
}

impl Abandoned {
    /// The id of the container that is gone.
    pub fn id(&self) -> String {
        self.0.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Reads a note of its owner; empty when there is none.
    ///
    /// # Errors
    /// As [`RunDir::read`].
    pub fn read(&self, name: &str) -> Result<String> {
        self.0.read(name)
    }

    /// Leaves the directory for a later `gc`, because something that it notes could not
    /// be undone.
    pub fn leave_for_gc(self) {
        self.0.leave_for_gc();
    }
}

/// Refuses a parent that others can write to, or can exchange. As root, `gc` kills and removes what the
/// notes in it name; so a user who can write a note could have any cgroup removed. The
/// sticky bit of /tmp does not help: every user may make new entries there.
fn refuse_shared(parent: &Path, found: &fs::Metadata) -> Result<()> {
    let hint = match found.uid() {
        0 if !geteuid().is_root() => OWNED_BY_ROOT,
        _ => PRIVATE_RUN_DIR,
    };
    ensure_private(parent, found).hint(hint)?;
    refuse_exchangeable(parent).hint(PRIVATE_RUN_DIR)
}

const PRIVATE_RUN_DIR: &str = "what is noted there is killed and removed: let --run-dir be one that only you can write to";

const OWNED_BY_ROOT: &str = "the run directory belongs to root: use sudo";

/// The hint for a user who may not make a directory in `parent`.
fn hint_for_access(parent: &Path) -> &'static str {
    match parent.symlink_metadata().map(|found| found.uid()) {
        Ok(owner) if owner != 0 && owner != geteuid().as_raw() => {
            "it belongs to another user: choose another directory with --run-dir"
        }
        _ => OWNED_BY_ROOT,
    }
}

/// The mode of a parent that we made and may remove: the sticky bit marks it.
const MARKED_MODE: u32 = 0o1700;

fn is_marked(parent: &Path) -> bool {
    fs::symlink_metadata(parent).is_ok_and(|found| found.mode() & 0o7777 == MARKED_MODE)
}

fn make_all(builder: &fs::DirBuilder, path: &Path) -> io::Result<()> {
    match builder.create(path) {
        // It exists, and stat(2) did not say that it is a directory. The reason is lost.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match path.metadata()?.is_dir() {
                true => Ok(()),
                false => Err(error),
            }
        }
        done => done,
    }
}

fn make_with_parent(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    let parent = path.parent().unwrap_or(path);
    loop {
        match builder.recursive(false).mode(0o700).create(path) {
            // This container is the first; or the last one has just removed the empty
            // parent.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = parent.parent().unwrap_or(parent);
                if builder.mode(MARKED_MODE).create(above).is_err() {
                    make_all(builder.recursive(true).mode(0o700), above)?;
                }
                make_all(builder.recursive(true).mode(MARKED_MODE), parent)?;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_living_container_is_never_abandoned_and_a_dead_one_is_found_once() {
        let scratch = tempfile::tempdir().unwrap();
        let (alive, dead) = (Id::random().unwrap(), Id::random().unwrap());
        let _alive = RunDir::create(scratch.path(), &alive).unwrap();
        // After a kill -9 the directory is still there, and the lock is not.
        let RunDir { path, directory, .. } =
            &RunDir::create(scratch.path(), &dead).unwrap();
        directory.unlock().unwrap();

        let found: Vec<_> = RunDir::abandoned(scratch.path())
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            found.iter().map(Abandoned::id).collect::<Vec<_>>(),
            [dead.to_string()]
        );
        assert_eq!(found[0].path(), path);
        assert!(
            RunDir::abandoned(scratch.path()).unwrap().is_empty(),
            "the one who found it has locked it"
        );
        drop(found);
        assert!(!path.exists());
    }

    #[test]
    fn a_note_is_read_as_it_was_written_unless_it_is_longer_than_64_kib() {
        let scratch = tempfile::tempdir().unwrap();
        let run_dir = RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
        assert_eq!(run_dir.read("none").unwrap(), "");
        run_dir.note("it", "a longer text than the next").unwrap();
        let mode = fs::metadata(run_dir.path.join("it")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600, "{mode:o}: its owner reads and writes it");
        for length in [5, LONGEST_NOTE] {
            let text = "x".repeat(length as usize);
            run_dir.note("it", &text).unwrap();
            assert!(run_dir.read("it").unwrap() == text, "{length} bytes");
        }
        let longer = "x".repeat(LONGEST_NOTE as usize + 1);
        let error = run_dir.note("it", &longer).unwrap_err();
        assert!(error.to_string().contains("longer than 65536 bytes"), "{error}");
        fs::write(run_dir.path.join("it"), longer).unwrap();
        let error = run_dir.read("it").unwrap_err();
        assert!(error.to_string().contains("longer than 65536 bytes"), "{error}");
    }

    #[test]
    fn the_last_container_removes_a_parent_that_a_run_made_and_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let (made, found) = (scratch.path().join("made"), scratch.path().join("found"));
        fs::DirBuilder::new().mode(0o700).create(&found).unwrap();
        for parent in [&made, &found] {
            drop(RunDir::create(parent, &Id::random().unwrap()).unwrap());
        }
        assert!(!made.exists());
        fs::remove_dir(&found).expect("it is there, and empty");
    }

    #[test]
    fn a_parent_that_others_can_write_to_is_refused_with_the_fix() {
        let scratch = tempfile::tempdir().unwrap();
        let parent = scratch.path().join("shared");
        fs::create_dir(&parent).unwrap();
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o777)).unwrap();
        let refusals = [
            RunDir::create(&parent, &Id::random().unwrap()).map(drop),
            RunDir::abandoned(&parent).map(drop),
        ];
        for error in refusals.map(Result::unwrap_err) {
            let failure = Failure::of(&error);
            assert!(failure.to_string().contains("(mode 0777)"), "{failure}");
            assert!(
                failure.hint_text().unwrap().contains("one that only you can write to"),
                "{failure:?}"
            );
        }
        fs::remove_dir(&parent).expect("nothing is left in it");
    }

    #[test]
    fn a_start_examines_only_a_few_run_directories_and_many_starts_examine_all() {
        let scratch = tempfile::tempdir().unwrap();
        let start = || RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
        let abandoned: Vec<_> = (0..3 * NEARBY).map(|_| start()).collect();
        abandoned.iter().for_each(|dead| dead.directory.unlock().unwrap());
        assert_eq!(start().abandoned_nearby().unwrap().len(), NEARBY);
        while !ids(scratch.path()).unwrap().is_empty() {
            assert!(start().abandoned_nearby().unwrap().iter().all(Result::is_ok));
        }
        abandoned.into_iter().for_each(RunDir::leave_for_gc);
    }
}
