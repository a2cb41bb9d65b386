//! The common part of crun, runc and youki: a bundle, and the command line of an OCI
//! runtime.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Hybrid, Network, PIDS, Peer, Start};
use crate::host;
use crate::session::Session;

/// A runtime that follows the OCI runtime specification.
pub struct Runtime<'a> {
    session: &'a Session,
    name: &'static str,
    program: PathBuf,
    hybrid: Hybrid,
}

impl<'a> Runtime<'a> {
    /// Finds the runtime on `PATH`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn find(
        session: &'a Session,
        name: &'static str,
        hybrid: Hybrid,
    ) -> Result<Self> {
        match host::find(name) {
            Some(program) => Ok(Runtime { session, name, program, hybrid }),
            None => bail!("not installed"),
        }
    }

    fn state(&self) -> PathBuf {
        self.session.scratch().join(format!("{}-state", self.name))
    }

    fn command_with_state(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.state());
        command
    }

    /// Makes `config.json`:
    /// <https://github.com/opencontainers/runtime-spec/blob/main/config.md>.
    fn config(&self, start: &Start) -> Value {
        let mut namespaces: Vec<Value> = ["pid", "ipc", "uts", "mount", "cgroup"]
            .map(|kind| json!({ "type": kind }))
            .into();
        if start.network == Network::Own {
            namespaces.push(json!({ "type": "network" }));
        }
        let mount = |kind: &str, to: &str, options: &[&str]| json!({ "type": kind, "source": kind, "destination": to, "options": options });
        json!({
            "ociVersion": "1.0.2",
            "hostname": "bench",
            "root": { "path": self.session.rootfs },
            "process": {
                "args": start.argv,
                "cwd": "/",
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "user": { "uid": 0, "gid": 0 },
                "capabilities": {
                    "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
                },
            },
            "mounts": [
                mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
                mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
                mount("tmpfs", "/dev", &["nosuid", "noexec", "mode=755", "size=64k"]),
                mount("devpts", "/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
                mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]),
                mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
                mount("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "ro"]),
            ],
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("/{}/{}", self.session.cgroup(), start.id),
                "resources": { "memory": { "limit": start.memory }, "pids": { "limit": PIDS } },
            },
        })
    }
}

/// The capabilities of Docker's default that a benchmark machine always has. The
/// runtimes are not quite equal in this: Kiste drops no capability before step 9.
const CAPABILITIES: [&str; 5] =
    ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"];

impl Peer for Runtime<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> String {
        host::version(&self.program)
    }

    fn hybrid(&self) -> Hybrid {
        self.hybrid
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let bundle = self.session.scratch().join("bundles").join(start.id);
        let config = bundle.join("config.json");
        fs::create_dir_all(&bundle)
            .with_context(|| format!("make {}", bundle.display()))?;
        fs::write(&config, self.config(start).to_string())
            .with_context(|| format!("write {}", config.display()))?;
        let mut command = self.command_with_state();
        command.arg("run").arg("--bundle").arg(bundle).arg(start.id);
        Ok(command)
    }

    fn remove(&self, id: &str) {
        let mut delete = self.command_with_state();
        self.session.set_mount_namespace(self.hybrid, &mut delete);
        // Its output is ignored: usually there is nothing to remove.
        let _ = delete
            .args(["delete", "--force", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
