//! Id maps of a user namespace: each id inside stands for one outside. See
//! user_namespaces(7), "User and group ID mappings".

use std::fmt;
use std::str::FromStr;

/// A range of ids that a map holds. It is never empty, and all its ids are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the namespace.
    pub(crate) inside: u32,
    /// The first id in its parent namespace.
    pub(crate) outside: u32,
    /// The number of ids.
    pub(crate) size: u32,
}

/// A map of user ids, or of group ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<IdRange>);

/// The largest number of ranges that a map may have: user_namespaces(7).
const MAX_RANGES: usize = 340;
/// The smallest page size of Linux, in bytes. The text of a map must be shorter than a
/// page.
const PAGE_SIZE: usize = 4096;

impl IdRange {
    /// Makes a range of `size` ids: the first is `inside` in the namespace, and
    /// `outside` in its parent.
    ///
    /// # Errors
    /// When it is empty, or has an id above 2³² − 2: the kernel takes the number above
    /// that for "no id".
    pub fn new(inside: u32, outside: u32, size: u32) -> Result<Self, String> {
        let fits = |first: u32| first.checked_add(size).is_some();
        if size > 0 && fits(inside) && fits(outside) {
            Ok(IdRange { inside, outside, size })
        } else {
            Err("at least one id, and none above 4294967294".into())
        }
    }

    fn overlaps(one: (u32, u32), other: (u32, u32)) -> bool {
        one.0 < other.0 + other.1 && other.0 < one.0 + one.1
    }
}

impl FromStr for IdRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        let Ok([inside, outside, size]) = numbers.as_deref() else {
            return Err(
                "three numbers: the first id inside, the first outside, how many: 0:100000:65536".into()
            );
        };
        IdRange::new(*inside, *outside, *size)
    }
}

/// Shows the range as a line of /proc/PID/uid_map.
impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.size)
    }
}

impl IdMap {
    /// Makes a map of these ranges.
    ///
    /// # Errors
    /// When there is none, or more than the 340 that the kernel takes; or when two of
    /// them overlap, inside or outside.
    pub fn new(ranges: Vec<IdRange>) -> Result<Self, String> {
        if ranges.is_empty() {
            return Err("no ranges: a map has at least one".into());
        }
        for (index, one) in ranges.iter().enumerate() {
            let inside = |range: &IdRange| (range.inside, range.size);
            let outside = |range: &IdRange| (range.outside, range.size);
            let clash = |other: &&IdRange| {
                IdRange::overlaps(inside(one), inside(other))
                    || IdRange::overlaps(outside(one), outside(other))
            };
            if let Some(other) = ranges[..index].iter().find(clash) {
                return Err(format!("{one} and {other} overlap: an id is mapped once"));
            }
        }
        let map = IdMap(ranges);
        map.check_length().map(|()| map)
    }

    /// Checks that the kernel takes a map of this length: user_namespaces(7).
    fn check_length(&self) -> Result<(), String> {
        let (count, length) = (self.0.len(), self.lines().len());
        if count > MAX_RANGES {
            Err(format!("{count} ranges: the kernel takes {MAX_RANGES}"))
        } else if length >= PAGE_SIZE {
            let limit = PAGE_SIZE - 1;
            Err(format!("{length} bytes of ranges: the kernel takes {limit}"))
        } else {
            Ok(())
        }
    }

    /// Makes a map of one id.
    pub fn single(inside: u32, outside: u32) -> Self {
        IdMap(vec![IdRange { inside, outside, size: 1 }])
    }

    /// Makes a map in which `inside` stands for `own`. The other ids, from 0 on, stand
    /// for the ids of the `spare` ranges (first id, count), in order. If the kernel
    /// would refuse that many ranges, the smallest are left out.
    pub fn around(inside: u32, own: u32, spare: &[(u32, u32)]) -> Self {
        let mut by_size: Vec<usize> = (0..spare.len()).collect();
        by_size.sort_by_key(|index| std::cmp::Reverse(spare[*index].1));
        let mut used_count = spare.len().min(MAX_RANGES);
        loop {
            let mut used = by_size[..used_count].to_vec();
            used.sort_unstable();
            let used: Vec<_> = used.into_iter().map(|index| spare[index]).collect();
            let map = IdMap::around_all(inside, own, &used);
            if used_count == 0 || map.check_length().is_ok() {
                return map;
            }
            used_count -= 1;
        }
    }

    fn around_all(inside: u32, own: u32, spare: &[(u32, u32)]) -> Self {
        let mut ranges = Vec::new();
        let mut next = 0; // the first id inside that is not mapped yet
        for (first, count) in spare {
            let (mut first, mut count) = (*first, *count);
            while count > 0 {
                if next == inside {
                    next += 1;
                }
                let room = if next < inside { inside - next } else { u32::MAX - next };
                let size = count.min(room);
                if size == 0 {
                    break;
                }
                ranges.push(IdRange { inside: next, outside: first, size });
                (next, first, count) = (next + size, first + size, count - size);
            }
        }
        ranges.push(IdRange { inside, outside: own, size: 1 });
        ranges.sort_by_key(|range| range.inside);
        IdMap(ranges)
    }

    /// Whether the map has this id of the namespace.
    pub fn has(&self, inside: u32) -> bool {
        self.0
            .iter()
            .any(|range| inside >= range.inside && inside - range.inside < range.size)
    }

    /// Its ranges.
    pub fn ranges(&self) -> &[IdRange] {
        &self.0
    }

    /// Shows it as the kernel takes it: one line for each range.
    pub fn lines(&self) -> String {
        self.0.iter().map(|range| format!("{range}\n")).collect()
    }
}

/// Shows it on one line, for people.
impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self.0.iter().map(IdRange::to_string).collect::<Vec<_>>().join(", "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_three_numbers_and_all_its_ids_are_valid() {
        assert_eq!(
            "0:100000:65536".parse(),
            Ok(IdRange { inside: 0, outside: 100_000, size: 65536 })
        );
        for bad in [
            "",
            "0",
            "0:1",
            "0:1:0",
            "a:b:c",
            "0:1:2:3",
            "1:4294967295:1",
            "-1:0:1",
            "1:0:4294967295",
        ] {
            assert!(bad.parse::<IdRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn new_and_parse_refuse_the_same_ranges() {
        assert!(IdRange::new(0, 100_000, 0).is_err(), "it is empty");
        assert!(IdRange::new(u32::MAX, 0, 1).is_err(), "no such id inside");
        assert!(IdRange::new(0, u32::MAX, 1).is_err(), "no such id outside");
        assert!(IdRange::new(1, 0, u32::MAX).is_err(), "too long inside");
        assert!(IdRange::new(0, 1, u32::MAX).is_err(), "too long outside");
        assert!(IdRange::new(0, 0, u32::MAX).is_ok(), "all ids");
    }

    #[test]
    fn a_map_has_between_1_and_340_ranges() {
        let map = |count: u32| {
            let range = |n| IdRange::new(n, 1000 + n, 1).unwrap();
            IdMap::new((0..count).map(range).collect())
        };
        assert!(map(0).is_err());
        assert!(map(1).is_ok());
        assert!(map(340).is_ok());
        assert!(map(341).is_err());
    }

    #[test]
    fn ranges_that_end_at_the_last_id_are_compared_without_an_overflow() {
        let range =
            |inside, outside, size| IdRange::new(inside, outside, size).unwrap();
        let (one, other) = (range(u32::MAX - 1, 0, 1), range(0, u32::MAX - 1, 1));
        assert!(IdMap::new(vec![one, other]).is_ok());
        let all = range(0, 0, u32::MAX);
        assert!(IdMap::new(vec![all, one]).is_err());
    }

    #[test]
    fn no_id_is_mapped_twice() {
        let map = |ranges: &[&str]| {
            IdMap::new(ranges.iter().map(|text| text.parse().unwrap()).collect())
        };
        assert!(map(&["0:1000:1", "1:100000:65536"]).is_ok());
        assert!(map(&["0:1000:2", "1:100000:65536"]).is_err());
        assert!(map(&["0:1000:1", "1:1000:1"]).is_err());
    }

    #[test]
    fn root_stands_for_the_caller_and_other_ids_for_the_spare_ranges() {
        let map = IdMap::around(0, 1000, &[(100_000, 65536), (200_000, 10)]);
        assert_eq!(map.lines(), "0 1000 1\n1 100000 65536\n65537 200000 10\n");
        assert!(map.has(0) && map.has(65546) && !map.has(65547));
    }

    #[test]
    fn the_callers_id_in_the_middle_leaves_no_gap() {
        let map = IdMap::around(1000, 1000, &[(100_000, 65536)]);
        assert_eq!(map.lines(), "0 100000 1000\n1000 1000 1\n1001 101000 64536\n");
        assert_eq!(IdMap::around(5, 1000, &[]).lines(), "5 1000 1\n");
    }
}
