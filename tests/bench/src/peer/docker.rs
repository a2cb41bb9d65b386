//! Docker, with a daemon of its own, which changes neither the network nor the images
//! of the user.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Pace, Peer, Start};
use crate::host;
use crate::session::Session;

/// How long the daemon may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

const IMAGE: &str = "kiste-bench";

/// The `docker` on `PATH`, and a daemon for it, which ends when this is dropped.
pub struct Docker<'a> {
    session: &'a Session,
    program: PathBuf,
    daemon: Child,
}

impl<'a> Docker<'a> {
    /// Starts a daemon, and gives it the root file system as an image.
    ///
    /// # Errors
    /// When it cannot take part, with the reason.
    pub fn find(session: &'a Session) -> Result<Self> {
        let program = host::find("docker").context("not installed")?;
        let dockerd =
            host::find("dockerd").context("there is a client, but no dockerd")?;
        let dir = session.scratch().join("docker");
        std::fs::create_dir_all(&dir).context("make a directory for dockerd")?;
        let log = File::create(dir.join("log")).context("make a log for dockerd")?;
        let mut command = Command::new(dockerd);
        command
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"));
        command.arg("--pidfile").arg(dir.join("pid"));
        command.arg("-H").arg(format!("unix://{}", dir.join("socket").display()));
        command.args(["--bridge=none", "--iptables=false"]);
        command.args(["--ip6tables=false", "--ip-forward=false"]);
        command.args(["--cgroup-parent", &format!("/{}", session.cgroup())]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = command.spawn().context("start dockerd")?;
        let mut docker = Docker { session, program, daemon };
        docker.wait_for_daemon()?;
        docker.import()?;
        Ok(docker)
    }

    fn wait_for_daemon(&mut self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            self.session.check_interrupt()?;
            let status = self
                .docker()
                .arg("version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if status.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.daemon.try_wait() {
                let log =
                    std::fs::read_to_string(self.session.scratch().join("docker/log"))
                        .unwrap_or_default();
                bail!(
                    "dockerd ended ({status}): {}",
                    log.lines().last().unwrap_or("it printed nothing")
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("dockerd does not answer within {} s", PATIENCE.as_secs())
    }

    /// Imports the common root file system as an image.
    fn import(&self) -> Result<()> {
        let mut tar = Command::new("tar");
        let mut tar_process = tar
            .arg("-C")
            .arg(&self.session.rootfs)
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .context("tar")?;
        let Some(stdout) = tar_process.stdout.take() else {
            bail!("tar has no output")
        };
        let mut import = self.docker();
        let imported = import
            .args(["import", "-", IMAGE])
            .stdin(stdout)
            .stdout(Stdio::null())
            .status();
        tar_process.wait().context("wait for tar")?;
        match imported.context("docker import")?.success() {
            true => Ok(()),
            false => bail!("docker import failed"),
        }
    }

    fn docker(&self) -> Command {
        let mut command = Command::new(&self.program);
        let socket = self.session.scratch().join("docker/socket");
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command
    }
}

impl Peer for Docker<'_> {
    fn name(&self) -> &str {
        "docker"
    }

    fn version(&self) -> String {
        host::version(&self.program)
    }

    fn differs(&self) -> &str {
        "an engine: a daemon, containerd and runc do the work; the root file system is an overlay over an image; \
         memory is that of the client only"
    }

    fn pace(&self) -> Pace {
        Pace::Engine
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let mut command = self.docker();
        command.args(start.engine_options());
        command.arg(IMAGE).args(start.argv);
        Ok(command)
    }

    fn remove(&self, id: &str) {
        let _ = self
            .docker()
            .args(["rm", "--force", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.daemon.id() as i32), Signal::SIGTERM);
        let _ = self.daemon.wait();
    }
}
