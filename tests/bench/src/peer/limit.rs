//! The limit: `kiste-limit`, a minimal program that makes the kernel calls of a start
//! and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Network, PIDS, Peer, Start};
use crate::host::{self, Hierarchy};
use crate::session::Session;

/// `kiste-limit`, and its arguments.
pub struct Limit<'a> {
    session: &'a Session,
    program: PathBuf,
    kind: LimitKind,
}

/// The amount of work that the smallest program does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// All that Kiste's containers have: /sys, /dev, /sys/fs/cgroup, and a cgroup in
    /// every hierarchy.
    Full,
    /// Namespaces, cgroups for the limits only, /proc, pivot_root.
    Bare,
}

impl<'a> Limit<'a> {
    /// Finds it beside the benchmark's own program, and makes its parent cgroups.
    ///
    /// # Errors
    /// When it cannot take part, with the reason.
    pub fn find(session: &'a Session, kind: LimitKind) -> Result<Self> {
        let program = session.programs.join("kiste-limit");
        if !program.is_file() {
            bail!(
                "{} is not built; tests/bench/run builds what it needs",
                program.display()
            );
        }
        let limit = Limit { session, program, kind };
        limit
            .hierarchies()
            .try_for_each(|hierarchy| make_parent(&limit.parent(hierarchy)))?;
        Ok(limit)
    }

    fn hierarchies(&self) -> impl Iterator<Item = &Hierarchy> {
        let sets_limits = |it: &&Hierarchy| {
            it.has(&["memory", "pids"]) || self.has_unified_controllers(it)
        };
        let all =
            self.session.hierarchies.iter().filter(|it| host::is_used_by_kiste(it));
        all.filter(move |it| self.kind == LimitKind::Full || sets_limits(it))
    }

    /// Returns whether the hierarchy is version 2, and no version 1 hierarchy has the
    /// memory controller.
    fn has_unified_controllers(&self, hierarchy: &Hierarchy) -> bool {
        hierarchy.is_unified()
            && !self.session.hierarchies.iter().any(|it| it.has(&["memory"]))
    }

    fn parent(&self, hierarchy: &Hierarchy) -> PathBuf {
        hierarchy.mount.join(self.session.cgroup()).join("limit")
    }

    /// Returns its arguments for one hierarchy: see limit/main.rs.
    fn instructions(
        &self,
        hierarchy: &Hierarchy,
        start: &Start,
    ) -> Result<Vec<String>> {
        let cgroup = self.parent(hierarchy).join(start.id);
        let path = cgroup.display();
        let mut instructions = vec![format!("+{path}")];
        let (v1_memory, v1_pids) =
            (hierarchy.has(&["memory"]), hierarchy.has(&["pids"]));
        if hierarchy.has(&["cpuset"]) {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                instructions.push(format!(
                    "{path}/{file}={}",
                    read(&self.parent(hierarchy).join(file))?
                ));
            }
        }
        if v1_memory {
            instructions.push(format!("{path}/memory.limit_in_bytes={}", start.memory));
        }
        if self.has_unified_controllers(hierarchy) {
            instructions.push(format!("{path}/memory.max={}", start.memory));
        }
        if v1_pids || self.has_unified_controllers(hierarchy) {
            instructions.push(format!("{path}/pids.max={PIDS}"));
        }
        instructions.push(if hierarchy.is_unified() {
            format!(">{path}")
        } else {
            format!("@{path}/tasks")
        });
        instructions.push(
            match (&hierarchy.controllers, hierarchy.mount.strip_prefix("/")) {
                (Some(controllers), Ok(place)) => {
                    format!("%{}:cgroup:{}", place.display(), controllers.join(","))
                }
                (None, Ok(place)) => format!("%{}:cgroup2:", place.display()),
                (_, Err(_)) => {
                    bail!("{} is no absolute path", hierarchy.mount.display())
                }
            },
        );
        Ok(instructions)
    }
}

/// Makes the cgroup below which the containers' cgroups are made.
fn make_parent(parent: &Path) -> Result<()> {
    let context = || format!("make {}", parent.display());
    fs::create_dir_all(parent).with_context(context)?;
    let session_cgroup = parent.parent().with_context(context)?;
    let mount = session_cgroup.parent().with_context(context)?;
    for (above, below) in [(mount, session_cgroup), (session_cgroup, parent)] {
        // Version 1: a new cpuset is empty, and accepts no process.
        for file in ["cpuset.cpus", "cpuset.mems"]
            .iter()
            .filter(|file| above.join(file).exists())
        {
            if above.join("cgroup.clone_children").exists() {
                fs::write(below.join(file), read(&above.join(file))?)
                    .with_context(context)?;
            }
        }
        // Version 2: enable the controllers for the cgroups below.
        let control = below.join("cgroup.subtree_control");
        if read(&below.join("cgroup.controllers"))
            .is_ok_and(|has| has.contains("memory"))
        {
            fs::write(&control, "+memory +pids")
                .with_context(|| format!("write {}", control.display()))?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    Ok(text.trim().into())
}

impl Peer for Limit<'_> {
    fn name(&self) -> &str {
        match self.kind {
            LimitKind::Full => "limit",
            LimitKind::Bare => "limit-bare",
        }
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn differs(&self) -> &str {
        match self.kind {
            LimitKind::Full => "no runtime: only the kernel calls of such a start",
            LimitKind::Bare => {
                "no runtime: as limit, without /sys and /dev, and with cgroups for the limits only"
            }
        }
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg(if self.kind == LimitKind::Bare { "bare" } else { "full" });
        command.arg(if start.network == Network::Own { "own" } else { "host" });
        command.arg(&self.session.rootfs);
        for hierarchy in self.hierarchies() {
            command.args(self.instructions(hierarchy, start)?);
        }
        command.arg("--").args(start.argv);
        Ok(command)
    }

    fn remove(&self, id: &str) {
        for hierarchy in self.hierarchies() {
            let _ = fs::remove_dir(self.parent(hierarchy).join(id));
        }
    }
}
