//! Podman: an engine without a daemon, with a runtime and conmon below it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Hybrid, Network, PIDS, Pace, Peer, Start};
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
    /// Finds it on `PATH`, and has it start one container.
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
        let try_it = Start {
            id: "kiste-bench-try",
            network: Network::Own,
            memory: 64 << 20,
            argv: &["/bin/true"],
        };
        let mut command = podman.command(&try_it)?;
        session.start_as(Hybrid::Refused, &mut command);
        start::to_the_end(&mut command).context("it does not work here")?;
        Ok(podman)
    }

    /// With its storage in our scratch space: nothing of the user's images and
    /// containers is touched.
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
        Hybrid::Refused // as crun is, below it
    }

    fn pace(&self) -> Pace {
        Pace::Engine
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let network = if start.network == Network::Own { "none" } else { "host" };
        let mut command = self.podman();
        command.args([
            "run",
            "--rm",
            "--name",
            start.id,
            "--network",
            network,
            "--cgroupns",
            "private",
        ]);
        command.args([
            "--log-driver",
            "none",
            "--cgroup-parent",
            self.session.cgroup(),
        ]);
        command.args([
            "--memory",
            &format!("{}b", start.memory),
            "--pids-limit",
            &PIDS.to_string(),
        ]);
        // Its own default is more than a root without CAP_SYS_RESOURCE may ask for.
        command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
        command.arg("--rootfs").arg(&self.session.rootfs).args(start.argv);
        Ok(command)
    }

    fn remove(&self, id: &str) {
        let mut remove = self.podman();
        self.session.start_as(Hybrid::Refused, &mut remove);
        let _ = remove
            .args(["rm", "--force", "--time", "0", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
