//! The start of a further process in a container that runs.

use std::fs::metadata;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cgroups::{Cgroup, SubCgroup};
use exec::{
    CLONE_NEWTIME, Child, CloneFlags, Gate, Job, Namespace, OnParentDeath, Spawn,
};
use kit::{Context, Result};
use user::{Ids, Keyring, User};

use crate::dumpable::hide_until_exec;
use crate::inside::FinalStage;
use crate::listener::Connection;
use crate::plan::Process;
use crate::state::{Container, Init};

/// The files of /proc/PID/ns, and the flags of setns(2).
const KINDS: [(&str, CloneFlags); 8] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("time", CLONE_NEWTIME),
];

/// A process that joins a container.
pub(crate) struct Joining<'a> {
    /// The container.
    pub container: &'a Container,
    /// Its first process.
    pub init: &'a Init,
    /// The cgroups of the new process, below that of the container.
    pub cgroups: &'a [SubCgroup],
    /// The descriptors of the caller that it inherits.
    pub inherited: Vec<BorrowedFd<'static>>,
    /// Whether it is killed when the runtime ends.
    pub on_parent_death: OnParentDeath,
}

impl Joining<'_> {
    // ANCHOR: start
    /// Starts the process in the namespaces and the cgroup of the container.
    ///
    /// # Errors
    /// When the kernel refuses, or the command cannot be executed.
    pub fn start(&self, process: &Process) -> Result<Child> {
        let namespaces = self.namespaces()?;
        let ids = self.ids(&namespaces)?; // 06: of its user namespace
        let cgroup = self.find_cgroup()?; // 05: its limits are those of the container
        let listener = Connection::of(process)?; // 09: of system calls
        let user = User::of_id(process.account.uid);
        Spawn::new(CloneFlags::empty())
            .job(Job::Session)
            .on_parent_death(self.on_parent_death)
            .into_cgroup(cgroup.as_ref().and_then(Cgroup::as_fd)) // 05: v2
            .before_start(|child| process.attributes.prepare(child)) // 09: by its parent
            .through(|| {
                process.scheduling.set_initial_cpus()?;
                cgroup.as_ref().map_or(Ok(()), Cgroup::enter)?; // 05: v1
                hide_until_exec()?;
                drop_groups()?;
                exec::join_all(std::slice::from_ref(&namespaces)) // 00: all at once
            })
            .spawn(|parent| {
                process.scheduling.set_final_cpus()?;
                let root = kit::call("the container's own", "open", "/", || {
                    kit::open_directory(Path::new("/"))
                })?;
                ids.enter_with(Keyring::New, parent)?; // 06: becomes root of it
                process.terminal.open_without_console(root.as_fd(), parent)?; // 04
                let home = ids.account(root.as_fd(), Some(&user))?;
                let (inherited, gate) = (&self.inherited, Gate::Parent);
                let home = home.home();
                let (ids, hooks, listener) = (&ids, None, listener.as_ref());
                let state = &self.container.state;
                FinalStage { ids, home, inherited, gate, hooks, listener, state }
                    .become_command(process, parent)
            })
    }
    // ANCHOR_END: start

    /// Returns the namespaces in which the container differs from this process: setns(2)
    /// refuses a user namespace in which the caller is already.
    fn namespaces(&self) -> Result<Namespace> {
        let mut kinds = CloneFlags::empty();
        for (name, kind) in KINDS {
            let inode = |process: &str| {
                let path = format!("/proc/{process}/ns/{name}");
                let found = kit::if_exists(metadata(&path)).context(path)?;
                Ok::<_, anyhow::Error>(found.map(|found| found.ino()))
            };
            if inode(&self.init.pid.to_string())? != inode("self")? {
                kinds |= kind;
            }
        }
        let names: Vec<_> = KINDS
            .iter()
            .filter(|(_, kind)| kinds.contains(*kind))
            .map(|(name, _)| *name)
            .collect();
        let name = format!("pidfd of {}, {}", self.init.pid, names.join("|"));
        let descriptor = self.init.pidfd.try_clone();
        let descriptor = descriptor.with_context(|| format!("dup({name})"))?;
        Ok(Namespace { kinds, descriptor, name })
    }

    fn ids(&self, namespaces: &Namespace) -> Result<Ids> {
        match namespaces.kinds.contains(CloneFlags::CLONE_NEWUSER) {
            true => Ids::of_process(self.init.pid),
            false => Ok(Ids::of_host()),
        }
    }

    fn find_cgroup(&self) -> Result<Option<Cgroup>> {
        self.container.state.cgroup.require_same()?;
        let own = self.container.cgroup()?;
        own.map(|own| own.for_exec(self.cgroups, self.init.pid)).transpose()
    }
}

/// Gives up the groups of the caller. A container whose user namespace denies
/// setgroups(2) would otherwise keep them.
fn drop_groups() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    kit::call("none of the caller's groups", "setgroups", "[]", || {
        nix::unistd::setgroups(&[])
    })
}
