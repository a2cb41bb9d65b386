//! The common part of crun, runc, youki and Kiste's step 10: a bundle, and the command
//! line of an OCI runtime.

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

    /// Wraps a program that is a runtime, and works on a hybrid host.
    pub fn at(session: &'a Session, name: &'static str, program: PathBuf) -> Self {
        Runtime { session, name, program, hybrid: Hybrid::Works }
    }

    /// Returns the beginning of a command: `crun --root DIR run`.
    pub fn verb(&self, verb: &str) -> Command {
        let mut command = self.verb_here(verb);
        self.session.set_mount_namespace(self.hybrid, &mut command);
        command
    }

    fn verb_here(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.state()).arg(verb);
        command
    }

    /// Kills and removes a container. Its output is ignored: usually there is nothing
    /// to remove.
    pub fn delete(&self, id: &str) {
        let mut delete = self.verb("delete");
        delete.args(["--force", id]).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = delete.status();
    }

    /// Makes the bundle of a container that is confined as in the example of `runc
    /// spec`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn confined_bundle(&self, id: &str, argv: &[&str]) -> Result<PathBuf> {
        let mut config = self.config(id, Network::Own, argv);
        config["process"]["noNewPrivileges"] = json!(true);
        config["process"]["rlimits"] =
            json!([{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }]);
        config["linux"]["resources"] =
            json!({ "devices": [{ "allow": false, "access": "rwm" }] });
        config["linux"]["maskedPaths"] = json!(MASKED_PATHS);
        config["linux"]["readonlyPaths"] = json!(READONLY_PATHS);
        self.write_bundle(id, &config)
    }

    fn write_bundle(&self, id: &str, config: &Value) -> Result<PathBuf> {
        let bundle = self.session.scratch().join("bundles").join(id);
        let path = bundle.join("config.json");
        fs::create_dir_all(&bundle)
            .with_context(|| format!("make {}", bundle.display()))?;
        fs::write(&path, config.to_string())
            .with_context(|| format!("write {}", path.display()))?;
        Ok(bundle)
    }

    fn state(&self) -> PathBuf {
        self.session.scratch().join(format!("{}-state", self.name))
    }

    /// Makes `config.json`:
    /// <https://github.com/opencontainers/runtime-spec/blob/main/config.md>.
    fn config(&self, id: &str, network: Network, argv: &[&str]) -> Value {
        let mut namespaces: Vec<Value> = ["pid", "ipc", "uts", "mount", "cgroup"]
            .map(|kind| json!({ "type": kind }))
            .into();
        if network == Network::Own {
            namespaces.push(json!({ "type": "network" }));
        }
        let mount = |kind: &str, to: &str, options: &[&str]| json!({ "type": kind, "source": kind, "destination": to, "options": options });
        json!({
            "ociVersion": "1.0.2",
            "hostname": "bench",
            "root": { "path": self.session.rootfs },
            "process": {
                "args": argv,
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
                "cgroupsPath": format!("/{}/{id}", self.session.cgroup()),
            },
        })
    }
}

/// The capabilities of Docker's default that a benchmark machine always has. The
/// runtimes are not quite equal in this: Kiste drops no capability before step 9.
const CAPABILITIES: [&str; 5] =
    ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"];

const MASKED_PATHS: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

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
        let mut config = self.config(start.id, start.network, start.argv);
        config["linux"]["resources"] =
            json!({ "memory": { "limit": start.memory }, "pids": { "limit": PIDS } });
        let bundle = self.write_bundle(start.id, &config)?;
        let mut command = self.verb_here("run");
        command.arg("--bundle").arg(bundle).arg(start.id);
        Ok(command)
    }

    fn oci(&self) -> Option<&Runtime<'_>> {
        Some(self)
    }

    fn remove(&self, id: &str) {
        self.delete(id);
    }
}
