//! Sets of CPUs: lists as the kernel writes them, and the check that a cgroup has the
//! CPUs of a list.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use anyhow::Result;
use kit::Failure;

use crate::controller::Controller;
use crate::directory::Directory;

/// A set of CPU numbers, never empty. It is written as in cpuset(7), "List format":
/// `0-2,5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(BTreeSet<u32>);

/// The most CPUs for which a kernel can be built (CONFIG_NR_CPUS).
const MAX_CPUS: u32 = 8192;

impl CpuList {
    /// Returns the number of CPUs in the set.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the numbers in ascending order.
    pub fn numbers(&self) -> Vec<u32> {
        self.0.iter().copied().collect()
    }

    /// Returns whether every CPU of `self` is in `other`.
    pub fn is_within(&self, other: &CpuList) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "a list of CPUs is numbers and ranges: 0-2,5";
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first).ok_or(rule)?, number(last).ok_or(rule)?);
            if first > last {
                return Err(format!("the range {part} runs backwards: {last}-{first}"));
            }
            cpus.extend(first..=last);
        }
        Ok(CpuList(cpus))
    }
}

fn number(text: &str) -> Option<u32> {
    let is_digits = text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|cpu| is_digits && *cpu < MAX_CPUS)
}

impl Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &cpu in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => ranges.push((cpu, cpu)),
            }
        }
        let text = |(first, last): &(u32, u32)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        f.write_str(&ranges.iter().map(text).collect::<Vec<_>>().join(","))
    }
}

/// Refuses CPUs that the parent cgroup does not have. Version 2 would accept them and
/// then run the container on other CPUs (cgroup-v2.rst, "cpuset.cpus").
pub(crate) fn check(cgroup: &Directory, asked: Option<&CpuList>) -> Result<()> {
    let Some(asked) = asked.filter(|_| cgroup.has_controller(Controller::Cpuset))
    else {
        return Ok(());
    };
    let file = cgroup.by_version("cpuset.cpus.effective", "cpuset.cpus");
    let parent = cgroup.ancestors().pop();
    let listed = parent.and_then(|parent| parent.read(file).ok()).unwrap_or_default();
    match listed.parse::<CpuList>() {
        Ok(available) if !asked.is_within(&available) => {
            let what =
                format!("CPU set {asked}: the cgroup above has only CPUs {available}");
            let hint = "`lscpu` lists the host's CPUs; a cgroup above may have fewer";
            Err(Failure::new(what).hint(hint).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_in_the_kernels_form() {
        let canonical =
            |text: &str| text.parse::<CpuList>().map(|list| list.to_string());
        assert_eq!(canonical("0-2,5"), Ok("0-2,5".into()));
        assert_eq!(canonical("3,1,2,1"), Ok("1-3".into()));
        assert_eq!(canonical("0-1\n"), Ok("0-1".into()));
        for text in [
            "",
            "a",
            "1,",
            ",1",
            "1--2",
            "-1",
            "+1",
            "1-",
            "0-4294967295",
            "2-1",
            "0-8:2/4",
        ] {
            assert!(canonical(text).is_err(), "{text}");
        }
    }
}
