//! The run directory of a container: `/run/kiste/ID`. Its owner holds a lock on it as
//! long as the container lives, so that whatever a `kill -9` leaves behind can be told
//! from what is alive.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::process::geteuid;

use crate::call::call;
use crate::failure::{Failure, Hint};
use crate::id::Id;
use crate::liveness::{Liveness, liveness_by_state};

/// Where the run directories are.
#[derive(clap::Args, Clone, Debug)]
pub struct RunDirArgs {
    /// Where containers that live are noted; `gc` looks here for those that died
    /// [default: /run/kiste; without root $XDG_RUNTIME_DIR/kiste]
    #[arg(long = "run-dir", value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

impl RunDirArgs {
    /// The directory in which each container has its run directory.
    pub fn parent(&self) -> PathBuf {
        let user = rustix::process::geteuid();
        let of_user = || match std::env::var_os("XDG_RUNTIME_DIR")
            .filter(|it| !it.is_empty())
        {
            _ if user.is_root() => "/run/kiste".into(),
            Some(runtime) => Path::new(&runtime).join("kiste"),
            // No login manager here: basedir-spec, XDG_RUNTIME_DIR.
            None => std::env::temp_dir().join(format!("kiste-run-{}", user.as_raw())),
        };
        self.run_dir.clone().unwrap_or_else(of_user)
    }
}

/// A locked run directory. Dropping it removes the directory, and then the lock.
///
/// What it notes is worked on through the open directory, so that nobody can put
/// another in its place.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// The directory, locked.
    directory: File,
}

/// A run directory whose owner is dead. It is locked as long as this lives.
#[derive(Debug)]
pub struct Abandoned(RunDir);

impl RunDir {
    /// Makes `PARENT/ID`, mode 0700, and locks it, before anything else of the
    /// container is made.
    ///
    /// # Errors
    /// When the directory cannot be made: no rights, a read-only or full file system;
    /// or when others can write to `parent`, so that `gc` could not believe what it
    /// finds there.
    #[track_caller]
    pub fn create(parent: &Path, id: &Id) -> Result<Self> {
        let path = parent.join(id.as_str());
        loop {
            call("the note that this container lives", "mkdir", path.display(), || {
                make(&path)
            })
            .hint_on(Errno::EACCES, "the run directory belongs to root: use sudo")?;
            // Between mkdir and flock, `gc` may have found it unlocked and removed it.
            if let Some(directory) = lock(&path)? {
                let run_dir = RunDir { path, directory };
                // Whoever made it in between: dropping `run_dir` removes what we made
                // in it.
                let found = parent
                    .symlink_metadata()
                    .with_context(|| format!("stat {}", parent.display()))?;
                refuse_shared(parent, &found)?;
                return Ok(run_dir);
            }
        }
    }

    /// Writes a file into it that says what must be undone.
    ///
    /// # Errors
    /// When the file cannot be written.
    #[track_caller]
    pub fn note(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
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
    /// When the file is there and cannot be read, or is none that [`RunDir::note`]
    /// writes: no regular file, or one of more than 64 KiB.
    pub fn read(&self, name: &str) -> Result<String> {
        let text = read_file(&self.directory, &self.path, name, LONGEST_NOTE)?;
        Ok(text.unwrap_or_default())
    }

    /// Where it is. A room that keeps something elsewhere for this container notes the
    /// path there, and asks [`crate::liveness()`] of it later.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory for `gc`, because something that it notes could not be
    /// undone.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Run directories below `parent` whose owner is dead; an error for each that
    /// cannot be looked at, or not be believed. What is alive is not touched.
    ///
    /// # Errors
    /// When `parent` is there and cannot be read, or when others can write to it.
    pub fn abandoned(parent: &Path) -> Result<Vec<Result<Abandoned>>> {
        Ok(ids(parent)?
            .iter()
            .filter_map(|id| if_abandoned(parent, id).transpose())
            .collect())
    }

    /// The same, of the few beside this one that come next in the order of their ids.
    /// Ids are random, so each start looks elsewhere; and where many containers live,
    /// none takes longer for that.
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
        let nearby = ids.iter().skip(1).take(A_FEW);
        Ok(nearby.filter_map(|id| if_abandoned(parent, id).transpose()).collect())
    }
}

/// How many run directories are looked at before each start. A dead one is found sooner
/// or later; and `gc` finds all.
const A_FEW: usize = 16;

/// The ids of the run directories below `parent`.
fn ids(parent: &Path) -> Result<Vec<Id>> {
    let read = || format!("read {}", parent.display());
    let Some(found) = unless_gone(parent.symlink_metadata()).with_context(read)? else {
        return Ok(Vec::new());
    };
    refuse_shared(parent, &found)?;
    let mut ids = Vec::new();
    for entry in
        unless_gone(fs::read_dir(parent)).with_context(read)?.into_iter().flatten()
    {
        // What is not called by an id is none of ours, and is not looked at.
        ids.extend(entry.with_context(read)?.file_name().to_str().and_then(Id::parse));
    }
    Ok(ids)
}

fn if_abandoned(parent: &Path, id: &Id) -> Result<Option<Abandoned>> {
    let path = parent.join(id.as_str());
    let Some(directory) = try_lock(&path)? else { return Ok(None) };
    match liveness_by_state(&directory, &path)? {
        Liveness::Alive => Ok(None),
        Liveness::Gone => Ok(Some(Abandoned(RunDir { path, directory }))),
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Removed under the lock: the notes, and nothing deeper, since we make nothing
        // deeper.
        let notes = Dir::read_from(&self.directory).into_iter().flatten().flatten();
        for note in
            notes.filter(|note| !matches!(note.file_name().to_bytes(), b"." | b".."))
        {
            let _ = unlinkat(&self.directory, note.file_name(), AtFlags::empty());
        }
        let _ = fs::remove_dir(&self.path);
        // What we made above it goes with the last container: rmdir refuses a full
        // directory.
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

    /// Leaves the directory for a later `gc`, because something in it could not be
    /// undone.
    pub fn keep(self) {
        self.0.keep();
    }
}

/// The longest note that is read, in bytes; one names a few dozen cgroups at most.
const LONGEST_NOTE: u64 = 64 << 10;

/// Reads a file of a run directory. None: there is none.
///
/// # Errors
/// When it is there and cannot be read, is no regular file or longer than `longest`.
pub(crate) fn read_file(
    directory: &File,
    path: &Path,
    name: &str,
    longest: u64,
) -> Result<Option<String>> {
    let path = path.join(name);
    // O_NONBLOCK: to open a FIFO does not wait until somebody writes into it (fifo(7)).
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        file => File::from(file.with_context(|| format!("open {}", path.display()))?),
    };
    let mut text = String::new();
    let is_file = file.metadata().is_ok_and(|it| it.is_file());
    let read = file.take(longest + 1).read_to_string(&mut text);
    if !is_file || text.len() as u64 > longest {
        let what = format!("{}: this is no note of a run", path.display());
        return Err(Failure::new(what).hint("see what it is, and remove it").into());
    }
    read.with_context(|| format!("read {}", path.display()))?;
    Ok(Some(text))
}

/// Refuses a parent that others can write to. `gc` kills and removes what is noted
/// there, as root: so whoever can write a note could have any cgroup removed. The
/// sticky bit of /tmp does not help, since it lets everybody make new entries.
fn refuse_shared(parent: &Path, found: &fs::Metadata) -> Result<()> {
    let hint = match found.uid() {
        0 if !geteuid().is_root() => "the run directory belongs to root: use sudo",
        _ => {
            "what is noted there is killed and removed: let --run-dir be one that only you can write to"
        }
    };
    ours_alone(parent, found).hint(hint)
}

/// Whoever can write to a directory chooses what is believed that is found in it.
///
/// # Errors
/// When `path` is a link, somebody else's, or others can write to it.
pub fn ours_alone(path: &Path, found: &fs::Metadata) -> Result<()> {
    let (owner, we, mode) = (found.uid(), geteuid().as_raw(), found.mode() & 0o7777);
    let path = path.display();
    if found.is_symlink() {
        // Whoever may make links in /tmp would choose what `gc` takes for run
        // directories.
        return Err(Failure::new(format_args!("{path} is a symbolic link")).into());
    }
    if owner != we {
        return Err(Failure::new(format_args!(
            "{path} belongs to uid {owner}, and we are uid {we}"
        ))
        .into());
    }
    if mode & 0o022 != 0 {
        return Err(Failure::new(format_args!(
            "others can write to {path} (mode {mode:04o})"
        ))
        .into());
    }
    Ok(())
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
        match builder.recursive(false).mode(0o700).create(path) {
            // It is the first; or another container's end has just removed the empty
            // parent.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                builder.recursive(true).mode(MARKED).create(parent)?;
            }
            done => return done,
        }
    }
}

#[track_caller]
fn lock(path: &Path) -> Result<Option<File>> {
    let Some(file) = open(path)? else { return Ok(None) };
    call("locked while we live: gc leaves it alone", "flock", path.display(), || {
        file.lock()
    })?;
    Ok(still_there(&file, path)?.then_some(file))
}

fn try_lock(path: &Path) -> Result<Option<File>> {
    let Some(file) = open(path)? else { return Ok(None) };
    match locked(file.try_lock(), &file, path)? {
        Locked::ByUs => Ok(Some(file)),
        Locked::ByOther | Locked::Removed => Ok(None),
    }
}

/// The answer to an attempt to lock a run directory.
pub(crate) enum Locked {
    /// We hold the lock as long as the descriptor is open.
    ByUs,
    /// Another process holds it, or another descriptor of this process.
    ByOther,
    /// The directory has been removed since it was opened.
    Removed,
}

/// Tries to share the lock: several may ask at a time, and none of them is taken for
/// the owner by another.
pub(crate) fn try_lock_shared(file: &File, path: &Path) -> Result<Locked> {
    locked(file.try_lock_shared(), file, path)
}

fn locked(
    attempt: Result<(), TryLockError>,
    file: &File,
    path: &Path,
) -> Result<Locked> {
    match attempt {
        Ok(()) if still_there(file, path)? => Ok(Locked::ByUs),
        Ok(()) => Ok(Locked::Removed),
        Err(TryLockError::WouldBlock) => Ok(Locked::ByOther),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("lock {}", path.display()))
        }
    }
}

/// None: it is not there. The last container may have removed it in between.
///
/// # Errors
/// All others, as they are.
pub fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Opens what may be a run directory. None: it does not exist; or it is a file, a pipe
/// or a link, and was never one.
fn open(path: &Path) -> Result<Option<File>> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_dir() => Ok(None),
        _ => open_run_dir(path),
    }
}

/// Opens a run directory. None: it does not exist.
///
/// # Errors
/// When it cannot be opened, is no directory, or others can write to it.
pub(crate) fn open_run_dir(path: &Path) -> Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let opened =
        File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    let Some(file) =
        unless_gone(opened).with_context(|| format!("open {}", path.display()))?
    else {
        return Ok(None);
    };
    let found = file.metadata().with_context(|| format!("stat {}", path.display()))?;
    ours_alone(path, &found)
        .hint("nothing in it was believed: see what it is, and remove it")?;
    Ok(Some(file))
}

/// Whether what is open is what `path` names now: a lock on a directory that has been
/// removed meanwhile holds nothing.
///
/// # Errors
/// When either cannot be looked at.
pub fn still_there(file: &File, path: &Path) -> Result<bool> {
    let stat = || format!("stat {}", path.display());
    let held = file.metadata().with_context(stat)?;
    let named = unless_gone(path.symlink_metadata()).with_context(stat)?;
    Ok(named
        .is_some_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
        let RunDir { path, directory } = &RunDir::create(&parent, &dead).unwrap();
        directory.unlock().unwrap();

        let found: Vec<_> = RunDir::abandoned(&parent)
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            found.iter().map(Abandoned::id).collect::<Vec<_>>(),
            [dead.to_string()]
        );
        assert!(
            RunDir::abandoned(&parent).unwrap().is_empty(),
            "it is locked by who found it"
        );
        drop(found);
        assert!(!path.exists());
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_no_longer_than_notes_are() {
        let run_dir =
            RunDir::create(&scratch("notes"), &Id::random().unwrap()).unwrap();
        assert_eq!(run_dir.read("none").unwrap(), "");
        run_dir.note("it", "a longer text than the next").unwrap();
        let mode = fs::metadata(run_dir.path.join("it")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600, "{mode:o}: its owner reads and writes it");
        for length in [5, LONGEST_NOTE] {
            let text = "x".repeat(length as usize);
            run_dir.note("it", &text).unwrap();
            assert!(run_dir.read("it").unwrap() == text, "{length} bytes");
        }
        run_dir.note("it", &"x".repeat(LONGEST_NOTE as usize + 1)).unwrap();
        let error = run_dir.read("it").unwrap_err();
        assert!(error.to_string().contains("this is no note of a run"), "{error}");
    }

    #[test]
    fn a_parent_that_a_run_made_goes_with_the_last_and_another_stays() {
        let (made, found) = (scratch("made"), scratch("found"));
        fs::DirBuilder::new().mode(0o700).create(&found).unwrap();
        for parent in [&made, &found] {
            drop(RunDir::create(parent, &Id::random().unwrap()).unwrap());
        }
        assert!(!made.exists());
        fs::remove_dir(&found).expect("it is there, and empty");
    }

    #[test]
    fn what_others_can_write_to_is_refused_with_the_mend() {
        let parent = scratch("shared");
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
    fn what_is_gone_is_told_from_what_cannot_be_looked_at() {
        assert_eq!(unless_gone(Ok(1)).unwrap(), Some(1));
        assert_eq!(
            unless_gone::<()>(Err(io::ErrorKind::NotFound.into())).unwrap(),
            None
        );
        let other = unless_gone::<()>(Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::PermissionDenied);

        let path = scratch("gone");
        assert!(open(&path).unwrap().is_none(), "nothing is there");
        fs::write(&path, "").unwrap();
        assert!(open(&path).unwrap().is_none(), "a file is none");
        let file = File::open(&path).unwrap();
        assert!(still_there(&file, &path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!still_there(&file, &path).unwrap());
    }

    #[test]
    fn the_option_says_where_and_root_needs_none() {
        let parent = |run_dir: Option<&str>| {
            RunDirArgs { run_dir: run_dir.map(PathBuf::from) }.parent()
        };
        assert_eq!(parent(Some("here")), Path::new("here"));
        assert_eq!(parent(None) == Path::new("/run/kiste"), geteuid().is_root());
    }

    #[test]
    fn in_a_crowd_a_start_looks_at_a_few_and_who_is_dead_is_found_in_the_end() {
        let parent = scratch("crowd");
        let start = || RunDir::create(&parent, &Id::random().unwrap()).unwrap();
        let crowd: Vec<_> = (0..3 * A_FEW).map(|_| start()).collect();
        crowd.iter().for_each(|dead| dead.directory.unlock().unwrap());
        assert_eq!(start().abandoned_nearby().unwrap().len(), A_FEW);
        while !ids(&parent).unwrap().is_empty() {
            assert!(start().abandoned_nearby().unwrap().iter().all(Result::is_ok));
        }
        crowd.into_iter().for_each(RunDir::keep);
    }
}
