//! The limit: `kiste-limit`, the smallest program that makes the kernel calls and
//! nothing else.

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
        let limited =
            |it: &&Hierarchy| it.has(&["memory", "pids"]) || self.holds_all(it);
        let all =
            self.session.hierarchies.iter().filter(|it| host::is_used_by_kiste(it));
        all.filter(move |it| self.kind == LimitKind::Full || limited(it))
    }

    /// Returns whether this is version 2 and has the controllers.
    fn holds_all(&self, hierarchy: &Hierarchy) -> bool {
        hierarchy.is_unified()
            && !self.session.hierarchies.iter().any(|it| it.has(&["memory"]))
    }

    fn parent(&self, hierarchy: &Hierarchy) -> PathBuf {
        hierarchy.mount.join(self.session.cgroup()).join("limit")
    }

    /// Returns its arguments for one hierarchy: see limit/main.rs.
    fn orders(&self, hierarchy: &Hierarchy, start: &Start) -> Result<Vec<String>> {
        let cgroup = self.parent(hierarchy).join(start.id);
        let path = cgroup.display();
        let mut orders = vec![format!("+{path}")];
        let (v1_memory, v1_pids) =
            (hierarchy.has(&["memory"]), hierarchy.has(&["pids"]));
        if hierarchy.has(&["cpuset"]) {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                orders.push(format!(
                    "{path}/{file}={}",
                    read(&self.parent(hierarchy).join(file))?
                ));
            }
        }
        if v1_memory {
            orders.push(format!("{path}/memory.limit_in_bytes={}", start.memory));
        }
        if self.holds_all(hierarchy) {
            orders.push(format!("{path}/memory.max={}", start.memory));
        }
        if v1_pids || self.holds_all(hierarchy) {
            orders.push(format!("{path}/pids.max={PIDS}"));
        }
        orders.push(if hierarchy.is_unified() {
            format!(">{path}")
        } else {
            format!("@{path}/tasks")
        });
        orders.push(
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
        Ok(orders)
    }
}

/// Makes the parent of the containers' cgroups, once.
fn make_parent(parent: &Path) -> Result<()> {
    let make = || format!("make {}", parent.display());
    fs::create_dir_all(parent).with_context(make)?;
    let own = parent.parent().with_context(make)?;
    let top = own.parent().with_context(make)?;
    for (above, below) in [(top, own), (own, parent)] {
        // Version 1: a cpuset begins empty, and accepts no process.
        for file in ["cpuset.cpus", "cpuset.mems"]
            .iter()
            .filter(|file| above.join(file).exists())
        {
            if above.join("cgroup.clone_children").exists() {
                fs::write(below.join(file), read(&above.join(file))?)
                    .with_context(make)?;
            }
        }
        // Version 2: the controllers that the cgroups below get.
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
            command.args(self.orders(hierarchy, start)?);
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
