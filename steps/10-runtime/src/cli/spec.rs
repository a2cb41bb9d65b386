//! `spec`: writes an example of config.json.

use std::path::PathBuf;
use std::process::ExitCode;

use kit::{Context, Failure, FailureKind, Result};
use rustix::process::{getegid, geteuid};
use serde_json::{Value, json};

use crate::bundle::CONFIG;
use crate::state::OCI_VERSION;

#[derive(clap::Args)]
pub(crate) struct Spec {
    /// The directory in which it is written
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// For a user who is not root
    #[arg(long)]
    rootless: bool,
}

impl Spec {
    pub fn run(&self) -> Result<ExitCode> {
        let path = self.bundle.join(CONFIG);
        let mut spec = example();
        if self.rootless {
            without_root(&mut spec);
        }
        let text = serde_json::to_string_pretty(&spec)? + "\n";
        let written = std::fs::File::create_new(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        if written
            .as_ref()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists)
        {
            let what = format!("{} already exists", path.display());
            let failure = Failure::new(what).with_kind(FailureKind::Conflict);
            return Err(failure
                .hint("remove it first, or name another --bundle")
                .into());
        }
        written.with_context(|| format!("write {}", path.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the example that every OCI runtime writes.
fn example() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm"
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "kiste",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"}
            ],
            "maskedPaths": security::default_masked_paths(),
            "readonlyPaths": security::default_readonly_paths()
        }
    })
}

fn mounts() -> Value {
    let options = ["nosuid", "noexec", "nodev"];
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": options},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}

/// Changes the example for a user who is not root: a user namespace in which this user
/// is root, the host's network and its /sys, and no limits.
fn without_root(spec: &mut Value) {
    let linux = &mut spec["linux"];
    linux["uidMappings"] =
        json!([{"containerID": 0, "hostID": geteuid().as_raw(), "size": 1}]);
    linux["gidMappings"] =
        json!([{"containerID": 0, "hostID": getegid().as_raw(), "size": 1}]);
    linux["namespaces"] = json!([
        {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
        {"type": "cgroup"}, {"type": "user"}
    ]);
    linux.as_object_mut().map(|linux| linux.remove("resources"));
    let Some(mounts) = spec["mounts"].as_array_mut() else { return };
    for mount in mounts {
        match mount["destination"].as_str() {
            Some("/sys") => {
                *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
            }
            // Group 5 has no id there.
            Some("/dev/pts") => {
                mount["options"].as_array_mut().map(|options| options.pop());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_examples_are_valid_and_for_a_terminal() {
        let mut example = example();
        for _ in 0..2 {
            let config: Config = serde_json::from_value(example.clone()).unwrap();
            assert_eq!(config.process.unwrap().terminal, Some(true));
            without_root(&mut example);
        }
    }
}
