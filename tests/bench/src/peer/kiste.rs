//! A step of Kiste.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::oci::Runtime;
use super::{Network, PIDS, Peer, Start};
use crate::host;
use crate::session::Session;

/// A program of the workspace, `05-cgroups` say.
pub struct Kiste<'a> {
    session: &'a Session,
    program: PathBuf,
    step: String,
}

impl<'a> Kiste<'a> {
    /// Finds the program of the step beside the program of the benchmark.
    ///
    /// # Errors
    /// When it cannot take part, with the reason.
    pub fn find(session: &'a Session, step: &str) -> Result<Self> {
        let program = session.programs.join(step);
        if !program.is_file() {
            bail!(
                "{} is not built; tests/bench/run builds what it needs",
                program.display()
            );
        }
        Ok(Kiste { session, program, step: step.into() })
    }

    /// Returns whether `run` has the option `--network`: from step 8 on.
    fn chooses_network(&self) -> bool {
        self.step
            .get(..2)
            .and_then(|number| number.parse::<u32>().ok())
            .is_some_and(|number| number >= 8)
    }
}

/// The step that is an OCI runtime.
pub const OCI_RUNTIME: &str = "10-runtime";

/// Finds the step that is an OCI runtime.
///
/// # Errors
/// As [`Kiste::find`].
pub fn find_runtime(session: &Session) -> Result<Runtime<'_>> {
    let Kiste { program, .. } = Kiste::find(session, OCI_RUNTIME)?;
    Ok(Runtime::at(session, OCI_RUNTIME, program))
}

impl Peer for Kiste<'_> {
    fn name(&self) -> &str {
        &self.step
    }

    fn version(&self) -> String {
        host::version(&self.program)
    }

    fn has(&self, network: Network) -> bool {
        network == Network::Host || self.chooses_network()
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let mut command = Command::new(&self.program);
        // A parent cgroup in place of `/kiste`. The first container makes it, and the
        // last one removes it.
        let parent = format!("{}/kiste", self.session.cgroup());
        command.args(["run", "--cgroup-parent", &parent]);
        command.arg("--run-dir").arg(self.session.scratch().join("kiste"));
        command.arg("--rootfs").arg(&self.session.rootfs);
        let (memory, pids) = (start.memory.to_string(), PIDS.to_string());
        command.args(["--memory", &memory, "--pids-limit", &pids]);
        match start.network {
            Network::Own => command.args(["--network", "none"]),
            Network::Host if self.chooses_network() => {
                command.args(["--network", "host"])
            }
            Network::Host => &mut command,
        };
        command.args(start.argv);
        Ok(command)
    }
}
