//! The section `linux.namespaces`, with the id maps and the clock offsets:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#namespaces>

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use exec::{CLONE_NEWTIME, CloneFlags, Namespace};
use kit::{Context, Hint, Result};
use nix::sched::unshare;
use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType as Kind,
};
use user::{Helpers, IdMap, IdRange, Ids};

use crate::dumpable::hide_until_exec;
use crate::invalid::invalid;
use crate::sys;

/// The namespaces of a container, and its ids.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// The namespaces that clone3(2) makes with the process.
    pub new: CloneFlags,
    /// The namespaces that exist, and that the process enters.
    pub joined: Vec<Namespace>,
    /// The view of cgroups.
    pub cgroup: CgroupNamespace,
    /// The lines of /proc/self/timens_offsets, for a new time namespace whose clocks
    /// differ: time_namespaces(7).
    pub clock_offsets: Option<String>,
    /// The user and group ids.
    pub ids: Ids,
}

/// The cgroup namespace, which clone3(2) must not make: it would be rooted at the
/// cgroup of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CgroupNamespace {
    /// The process makes its own once it is in its cgroup.
    New,
    /// The runtime's, or one that it enters by its path.
    Given,
}

impl Namespaces {
    /// Tells whether the process gets a new namespace of this kind, or enters one.
    pub fn has(&self, kind: CloneFlags) -> bool {
        self.kinds().contains(kind)
    }

    /// The kinds of all namespaces that are not the runtime's.
    pub fn kinds(&self) -> CloneFlags {
        self.joined.iter().fold(self.new, |kinds, it| kinds | it.kinds)
    }

    /// Tells whether an intermediate process has to enter namespaces first.
    pub fn need_intermediate(&self) -> bool {
        !self.joined.is_empty() || self.clock_offsets.is_some()
    }

    /// In the intermediate process: enters the namespaces that exist, and sets the
    /// clocks of a new time namespace.
    ///
    /// # Errors
    /// The kernel's reasons.
    pub fn enter(&self) -> Result<()> {
        if self.joined.iter().any(|it| it.kinds.contains(CloneFlags::CLONE_NEWPID)) {
            hide_until_exec()?;
        }
        if let Some(offsets) = &self.clock_offsets {
            set_clocks(offsets)?;
        }
        exec::join_all(&self.joined)
    }
}

/// Plans the namespaces. `helpers` finds the programs that write the id maps of a new
/// user namespace.
///
/// # Errors
/// When a namespace is listed twice, a path leads to none of its kind, or an id map or
/// a clock is invalid.
pub(crate) fn plan(
    linux: &Linux,
    helpers: impl FnOnce() -> Helpers,
) -> Result<Namespaces> {
    let listed = linux.namespaces().as_deref().unwrap_or_default();
    let (mut new, mut joined) = (CloneFlags::empty(), Vec::new());
    let mut seen = CloneFlags::empty();
    for namespace in listed {
        let kind = flag(namespace.typ());
        if seen.contains(kind) {
            let typ = namespace.typ();
            return Err(invalid(format_args!(
                "linux.namespaces: {typ:?} is listed twice"
            )));
        }
        seen |= kind;
        match namespace.path() {
            Some(path) if !path.as_os_str().is_empty() => {
                joined.push(open(namespace, path)?)
            }
            _ => new |= kind,
        }
    }
    let cgroup = match new.contains(CloneFlags::CLONE_NEWCGROUP) {
        true => CgroupNamespace::New,
        false => CgroupNamespace::Given,
    };
    new.remove(CloneFlags::CLONE_NEWCGROUP);
    let clock_offsets = clock_offsets(linux, new)?;
    if clock_offsets.is_some() {
        new.remove(CLONE_NEWTIME);
    }
    let ids = ids(linux, new, &joined, helpers)?;
    Ok(Namespaces { new, joined, cgroup, clock_offsets, ids })
}

fn flag(kind: Kind) -> CloneFlags {
    match kind {
        Kind::Mount => CloneFlags::CLONE_NEWNS,
        Kind::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        Kind::Uts => CloneFlags::CLONE_NEWUTS,
        Kind::Ipc => CloneFlags::CLONE_NEWIPC,
        Kind::User => CloneFlags::CLONE_NEWUSER,
        Kind::Pid => CloneFlags::CLONE_NEWPID,
        Kind::Network => CloneFlags::CLONE_NEWNET,
        Kind::Time => CLONE_NEWTIME,
    }
}

/// Makes a time namespace for the next child, and sets its clocks: they can be set only
/// until a process is in it.
fn set_clocks(offsets: &str) -> Result<()> {
    kit::call("clocks of its own", "unshare", "CLONE_NEWTIME", || {
        unshare(CLONE_NEWTIME)
    })?;
    let path = "/proc/self/timens_offsets";
    let shown = offsets.trim_end().replace('\n', "; ");
    kit::call("set them", "write", format_args!("{path}, {shown}"), || {
        std::fs::write(path, offsets)
    })
}

/// Opens a namespace, and checks that it is of the kind that config.json says.
fn open(namespace: &LinuxNamespace, path: &Path) -> Result<Namespace> {
    let (kind, typ) = (flag(namespace.typ()), namespace.typ());
    if !path.is_absolute() {
        return Err(invalid(format_args!(
            "linux.namespaces: {}: the path must be absolute",
            path.display()
        )));
    }
    let name = format!("{typ:?}, {}", path.display());
    let file = kit::call("a namespace that exists", "open", path.display(), || {
        File::open(path)
    })
    .hint("linux.namespaces: a path leads to a file of /proc/PID/ns, or to a bind mount of one")?;
    let found = sys::namespace_kind(file.as_fd())
        .with_context(|| format!("ioctl({}, NS_GET_NSTYPE)", path.display()))
        .hint("linux.namespaces: the file at this path is no namespace")?;
    if found != kind.bits() {
        return Err(invalid(format_args!(
            "linux.namespaces: {} is not a {typ:?} namespace",
            path.display()
        )));
    }
    Ok(Namespace { kinds: kind, descriptor: file.into(), name })
}

/// Returns the ids: those of a new user namespace, of one that is entered, or the
/// host's.
fn ids(
    linux: &Linux,
    new: CloneFlags,
    joined: &[Namespace],
    helpers: impl FnOnce() -> Helpers,
) -> Result<Ids> {
    let maps = |maps: &Option<Vec<LinuxIdMapping>>| maps.clone().unwrap_or_default();
    let (uids, gids) = (maps(linux.uid_mappings()), maps(linux.gid_mappings()));
    let is_user = |it: &Namespace| it.kinds.contains(CloneFlags::CLONE_NEWUSER);
    if new.contains(CloneFlags::CLONE_NEWUSER) {
        let (uids, gids) = (map("uidMappings", &uids)?, map("gidMappings", &gids)?);
        Ok(Ids::mapped(uids, gids, &helpers()))
    } else if joined.iter().any(is_user) || rustix::process::geteuid().is_root() {
        Ok(Ids::of_host())
    } else {
        Err(invalid("rootless: config.json has no user namespace"))
            .hint("`10-runtime spec --rootless` writes one with it; or use sudo")
    }
}

fn map(section: &str, ranges: &[LinuxIdMapping]) -> Result<IdMap> {
    let wrong = |why: String| invalid(format_args!("linux.{section}: {why}"));
    let range = |it: &LinuxIdMapping| {
        IdRange::new(it.container_id(), it.host_id(), it.size()).map_err(wrong)
    };
    let ranges = ranges.iter().map(range).collect::<Result<_>>()?;
    IdMap::new(ranges).map_err(wrong)
}

/// Formats the section `linux.timeOffsets` for the kernel: `boottime 3600 0`.
fn clock_offsets(linux: &Linux, new: CloneFlags) -> Result<Option<String>> {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|it| !it.is_empty())
    else {
        return Ok(None);
    };
    if !new.contains(CLONE_NEWTIME) {
        return Err(invalid("linux.timeOffsets: they need a new time namespace"));
    }
    let mut lines = String::new();
    for (clock, offset) in offsets {
        if !["monotonic", "boottime"].contains(&clock.as_str()) {
            return Err(invalid(format_args!("linux.timeOffsets: no clock {clock:?}")));
        }
        let (seconds, nanoseconds) =
            (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        lines += &format!("{clock} {seconds} {nanoseconds}\n");
    }
    Ok(Some(lines))
}
