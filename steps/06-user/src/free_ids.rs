//! Ids that no user of the host and no other container has, for root's `--userns auto`.
//! Each container notes its ids in its run directory.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Hint, Id, RunDir, interrupt};

use crate::account::Account;
use crate::id_map::{IdMap, IdRange};
use crate::namespace::{Ids, Writer};
use crate::subid::{self, FULL_RANGE, SUBGID, SUBUID, SubidRange};

/// The ids that systemd reserves for containers: <https://systemd.io/UIDS-GIDS>.
const CONTAINER_IDS: std::ops::Range<u32> = 524_288..1_879_048_192;

/// The name of the file in the run directory in which a container notes its ids.
const NOTE: &str = "ids";

/// The longest note that is read, in bytes. The two maps of a container need fewer.
const MAX_NOTE_LENGTH: u64 = 16 << 10;

/// Finds a range of ids that no user of the host has. The search begins at a range that
/// is computed from the container's id, so that two containers seldom find the same.
///
/// # Errors
/// When there is no such range.
pub(crate) fn of_no_user(id: &Id) -> Result<Ids> {
    choose(id.as_str(), &subid::of_all_users()?)
}

fn choose(id: &str, taken: &[SubidRange]) -> Result<Ids> {
    let blocks = (CONTAINER_IDS.end - CONTAINER_IDS.start) / FULL_RANGE;
    let first_block =
        u64::from_str_radix(id, 16).unwrap_or_default() % u64::from(blocks);
    let mut starts = (0..blocks)
        .map(|n| CONTAINER_IDS.start + (first_block as u32 + n) % blocks * FULL_RANGE);
    let Some(outside) = starts.find(|start| subid::is_free(*start, FULL_RANGE, taken))
    else {
        return Err(Failure::new(format_args!(
            "{SUBUID}, {SUBGID} and the other containers leave no 65536 ids for a container"
        ))
        .into());
    };
    let map = IdRange::new(0, outside, FULL_RANGE)
        .and_then(|range| IdMap::new(vec![range]))
        .map_err(Failure::new)?;
    Ok(Ids::new(Account::of_id(0, 0), map.clone(), map, Writer::Root).replaceable())
}

impl Ids {
    /// In the parent, as root: notes the ids in the container's run directory. If
    /// another container has noted some of them, chooses other ids, unless the caller
    /// named these.
    ///
    /// # Errors
    /// When no ids are left, or the notes cannot be written.
    pub fn reserve(self, run_dir: &RunDir) -> Result<Self> {
        if !self.needs_idmapped_mounts() {
            return Ok(self);
        }
        let own_dir = run_dir.path();
        let parent = own_dir.parent().unwrap_or(own_dir);
        let directory =
            File::open(parent).with_context(|| format!("open {}", parent.display()))?;
        let why = "no other container chooses its ids meanwhile";
        kit::call(why, "flock", parent.display(), || interrupt::lock(&directory))?;
        let noted = ids_of_other_containers(own_dir, parent)?;
        let is_free = |range: &SubidRange| subid::is_free(range.0, range.1, &noted);
        let ids = match self.are_replaceable() && !self.outside().iter().all(is_free) {
            true => {
                let id = own_dir.file_name().unwrap_or_default().to_string_lossy();
                choose(&id, &[subid::of_all_users()?, noted].concat())?
            }
            false => self,
        };
        let line = |(first, count): SubidRange| format!("{first} {count}\n");
        let text: String = ids.outside().into_iter().map(line).collect();
        run_dir.note(NOTE, &text)?;
        Ok(ids)
    }
}

/// Reads the ids that the other containers have noted.
///
/// # Errors
/// When a note cannot be read: it may note the ids that would be chosen.
fn ids_of_other_containers(own_dir: &Path, parent: &Path) -> Result<Vec<SubidRange>> {
    let context = || format!("read {}", parent.display());
    let mut ranges = Vec::new();
    for entry in fs::read_dir(parent).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path == own_dir {
            continue;
        }
        let path = path.join(NOTE);
        match kit::read_document(&path, MAX_NOTE_LENGTH) {
            // A container that has just ended, or one with the host's ids, has no note.
            Err(error) if is_missing(&error) => {}
            Err(error) => {
                let hint = "see what it is, and remove it if no container runs there";
                Err(error)
                    .with_context(|| format!("read {}", path.display()))
                    .hint(hint)?
            }
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                ranges.extend(text.lines().filter_map(parse));
            }
        }
    }
    Ok(ranges)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Parses a line of a note. None if it is malformed, or its last id is too large.
fn parse(line: &str) -> Option<SubidRange> {
    let (first, count) = line.split_once(' ')?;
    let (first, count): SubidRange = (first.parse().ok()?, count.parse().ok()?);
    first.checked_add(count).map(|_| (first, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_gets_the_range_that_the_containers_id_chooses_if_no_user_has_it() {
        let (first, end, size) = (524_288, 1_879_048_192, 65_536);
        let taken = subid::of_all_users().unwrap();
        for _ in 0..20 {
            let id = Id::random().unwrap();
            let number = u64::from_str_radix(id.as_str(), 16).unwrap();
            let outside = first + number % ((end - first) / size) * size;
            let overlaps = |range: &SubidRange| {
                u64::from(range.0) < outside + size
                    && outside < u64::from(range.0) + u64::from(range.1)
            };
            let expected = format!("uids 0 {outside} {size}; gids 0 {outside} {size}");
            let is_free = !taken.iter().any(overlaps);
            assert_eq!(of_no_user(&id).unwrap().shown() == expected, is_free, "{id}");
        }
    }

    #[test]
    fn containers_of_one_run_directory_never_share_an_id() {
        let scratch = tempfile::tempdir().unwrap();
        // All begin their search with the same id, so each first finds the same range.
        let containers = [(); 40].map(|()| {
            let run_dir =
                RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
            let first_choice = choose("7", &[]).unwrap();
            let ids = first_choice.reserve(&run_dir).unwrap();
            (run_dir, ids)
        });
        let mut firsts: Vec<_> =
            containers.iter().flat_map(|(_, ids)| ids.outside()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 40, "{firsts:?}");
    }

    #[test]
    fn a_note_that_cannot_be_read_is_never_taken_for_an_empty_one() {
        use std::os::unix::fs::symlink;
        let scratch = tempfile::tempdir().unwrap();
        let container = || RunDir::create(scratch.path(), &Id::random().unwrap());
        let (other, own) = (container().unwrap(), container().unwrap());
        let note = other.path().join(NOTE);
        fs::write(scratch.path().join("file"), "").unwrap(); // not a container's
        let reserve = || choose("7", &[]).unwrap().reserve(&own);
        reserve().unwrap();
        let mkfifo =
            || nix::unistd::mkfifo(&note, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let sparse = || File::create(&note).unwrap().set_len(2 << 30).unwrap();
        let link = || symlink("/dev/zero", &note).unwrap();
        for make in [&mkfifo as &dyn Fn(), &sparse, &link] {
            make();
            let error = format!("{:#}", reserve().unwrap_err());
            assert!(error.contains("/ids"), "{error}");
            fs::remove_file(&note).unwrap();
        }
        reserve().unwrap();
    }

    #[test]
    fn a_malformed_note_reserves_no_ids() {
        for line in ["", "1", "x 1", "4294967295 2", "1 2 3"] {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(parse("524288 65536"), Some((524_288, 65_536)));
    }
}
