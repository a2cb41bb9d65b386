//! Cgroups without root: below one that is delegated to the caller (cgroup-v2.rst,
//! "Delegation").

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::hierarchy::Hierarchy;

/// The nearest cgroup above us that is ours to divide.
///
/// The kernel lets us start a process below it because it is above both places: who may
/// write to the common ancestor's cgroup.procs may move processes about in it.
pub(crate) fn base(hierarchy: &Hierarchy) -> Option<PathBuf> {
    let above = hierarchy
        .own()?
        .ancestors()
        .take_while(|cgroup| cgroup.starts_with(hierarchy.mount_point()));
    above
        .into_iter()
        .find(|cgroup| is_delegated(cgroup) && !has_processes(cgroup))
        .map(Path::to_path_buf)
}

/// What is handed over: the directory, and these two files in it.
fn is_delegated(cgroup: &Path) -> bool {
    let places = [
        cgroup.to_path_buf(),
        cgroup.join("cgroup.procs"),
        cgroup.join("cgroup.subtree_control"),
    ];
    places.iter().all(|place| access(place, AccessFlags::W_OK).is_ok())
}

/// Only leaves have processes: one that has some cannot limit those below.
fn has_processes(cgroup: &Path) -> bool {
    kit::read_kernel_file(cgroup.join("cgroup.procs"))
        .is_ok_and(|text| !text.is_empty())
}

/// How to get one.
pub(crate) const MEND: &str = "start it in a cgroup that is yours: `systemd-run --user --scope -p Delegate=yes \
                               COMMAND`; or have root delegate one (book: chapter 6); or use sudo";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::tests::Fake;

    #[test]
    fn a_cgroup_with_processes_is_none_to_divide() {
        let top = Fake::new("processes");
        for (procs, has) in [("", false), ("1\n", true)] {
            assert_eq!(
                has_processes(&top.with("it", &[("cgroup.procs", procs)])),
                has,
                "{procs:?}"
            );
        }
    }
}
