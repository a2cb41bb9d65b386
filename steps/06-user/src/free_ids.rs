//! Ids that no user of the host and no other container has, for root's `--userns auto`.
//! Each container notes its ids in its run directory.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Id, RunDir};

use crate::account::Account;
use crate::id_map::{IdMap, IdRange};
use crate::namespace::{Ids, Writer};
use crate::subid::{self, ENOUGH, SUBGID, SUBUID, SubidRange};

/// The ids that systemd reserves for containers: <https://systemd.io/UIDS-GIDS>.
const CONTAINERS: std::ops::Range<u32> = 524_288..1_879_048_192;

/// The name of the note in the run directory.
const NOTE: &str = "ids";

/// The longest note that is read, in bytes: the two maps of a container are shorter.
const LONGEST_NOTE: u64 = 16 << 10;

/// Finds a range of ids that no user of the host has. The container's id says where the
/// search begins, so that two containers seldom want the same.
///
/// # Errors
/// When there is none.
pub(crate) fn of_no_user(id: &Id) -> Result<Ids> {
    choose(id.as_str(), &subid::of_all_users()?)
}

fn choose(id: &str, taken: &[SubidRange]) -> Result<Ids> {
    let blocks = (CONTAINERS.end - CONTAINERS.start) / ENOUGH;
    let wanted = u64::from_str_radix(id, 16).unwrap_or_default() % u64::from(blocks);
    let mut starts =
        (0..blocks).map(|n| CONTAINERS.start + (wanted as u32 + n) % blocks * ENOUGH);
    let Some(outside) = starts.find(|start| subid::is_free(*start, ENOUGH, taken))
    else {
        return Err(Failure::new(format_args!(
            "{SUBUID}, {SUBGID} and the other containers leave no 65536 ids for a container"
        ))
        .into());
    };
    let map = IdRange::new(0, outside, ENOUGH)
        .and_then(|range| IdMap::new(vec![range]))
        .map_err(Failure::new)?;
    Ok(Ids::new(Account::of_id(0, 0), map.clone(), map, Writer::Root).chosen())
}

impl Ids {
    /// In the parent, as root: notes the ids in the container's run directory. If
    /// another container has them, and the caller did not ask for just these, it takes
    /// others.
    ///
    /// # Errors
    /// When no ids are left, or the notes cannot be written.
    pub fn reserve(self, run_dir: &RunDir) -> Result<Self> {
        if !self.needs_idmapped_mounts() {
            return Ok(self);
        }
        let own = run_dir.path();
        let parent = own.parent().unwrap_or(own);
        let directory =
            File::open(parent).with_context(|| format!("open {}", parent.display()))?;
        let why = "no other container chooses its ids meanwhile";
        kit::call(why, "flock", parent.display(), || directory.lock())?;
        let noted = noted_by_others(own, parent)?;
        let is_free = |range: &SubidRange| subid::is_free(range.0, range.1, &noted);
        let ids = match self.is_chosen() && !self.outside().iter().all(is_free) {
            true => {
                let id = own.file_name().unwrap_or_default().to_string_lossy();
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

/// The ids that the other containers have noted.
fn noted_by_others(own: &Path, parent: &Path) -> Result<Vec<SubidRange>> {
    let read = || format!("read {}", parent.display());
    let mut ranges = Vec::new();
    for entry in fs::read_dir(parent).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path == own {
            continue;
        }
        // A container that has just ended, or one with the host's ids, has no note.
        let Ok(note) = File::open(path.join(NOTE)) else { continue };
        let mut text = String::new();
        if note.take(LONGEST_NOTE).read_to_string(&mut text).is_ok() {
            ranges.extend(text.lines().filter_map(parse));
        }
    }
    Ok(ranges)
}

/// Parses a line of a note. Its ids can be added up without an overflow.
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
        // The same id as the first choice of all: they would all want one range.
        let containers = [(); 40].map(|()| {
            let run_dir =
                RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
            let wanted = choose("7", &[]).unwrap();
            let ids = wanted.reserve(&run_dir).unwrap();
            (run_dir, ids)
        });
        let mut firsts: Vec<_> =
            containers.iter().flat_map(|(_, ids)| ids.outside()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 40, "{firsts:?}");
    }

    #[test]
    fn a_note_that_is_damaged_takes_no_ids() {
        for line in ["", "1", "x 1", "4294967295 2", "1 2 3"] {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(parse("524288 65536"), Some((524_288, 65_536)));
    }
}
