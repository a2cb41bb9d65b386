//! Podman: an engine without a daemon, which uses a runtime and conmon.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Hybrid, Network, Pace, Peer, Start};
use crate::host;
use crate::session::Session;
use crate::start;

/// The `podman` on `PATH`, with its storage in our scratch space.
pub struct Podman<'a> {
    session: &'a Session,
    program: PathBuf,
    runtime: PathBuf,
    differs: String,
}

impl<'a> Podman<'a> {
    /// Finds podman on `PATH`, and starts one container to try it.
    ///
    /// # Errors
    /// When it cannot take part, with the reason.
    pub fn find(session: &'a Session) -> Result<Self> {
        let program = host::find("podman").context("not installed")?;
        let Some(runtime) = ["crun", "runc"].into_iter().find_map(host::find) else {
            bail!("there is neither crun nor runc for it")
        };
        let differs =
            format!("an engine: conmon and {} do the work", runtime.display());
        let podman = Podman { session, program, runtime, differs };
        let trial = Start {
            id: "kiste-bench-try",
            network: Network::Own,
            memory: 64 << 20,
            argv: &["/bin/true"],
        };
        let mut command = podman.command(&trial)?;
        session.set_mount_namespace(Hybrid::Refused, &mut command);
        start::run_to_end(&mut command).context("it does not work here")?;
        Ok(podman)
    }

    /// Composes a podman command with storage in our scratch space, so that the user's
    /// images and containers are not touched.
    fn podman(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.session.scratch().join("podman-root"));
        command.arg("--runroot").arg(self.session.scratch().join("podman-run"));
        command.arg("--tmpdir").arg(self.session.scratch().join("podman-tmp"));
        command.arg("--runtime").arg(&self.runtime);
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command
    }
}

impl Peer for Podman<'_> {
    fn name(&self) -> &str {
        "podman"
    }

    fn version(&self) -> String {
        host::version(&self.program)
    }

    fn differs(&self) -> &str {
        &self.differs
    }

    fn hybrid(&self) -> Hybrid {
        Hybrid::Refused // because of crun
    }

    fn pace(&self) -> Pace {
        Pace::Engine
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let mut command = self.podman();
        command.args(start.engine_options());
        command.args(["--cgroup-parent", self.session.cgroup()]);
        // Its default exceeds the limits of a root without CAP_SYS_RESOURCE.
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
        command.arg("--rootfs").arg(&self.session.rootfs).args(start.argv);
        Ok(command)
    }

    fn remove(&self, id: &str) {
        let mut remove = self.podman();
        self.session.set_mount_namespace(Hybrid::Refused, &mut remove);
        let _ = remove
            .args(["rm", "--force", "--time", "0", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
