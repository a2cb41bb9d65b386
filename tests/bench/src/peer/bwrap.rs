//! bubblewrap, in which Flatpak starts programs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Network, Peer, Start};
use crate::host;
use crate::session::Session;

/// The `bwrap` on `PATH`.
pub struct Bwrap<'a> {
    session: &'a Session,
    program: PathBuf,
}

impl<'a> Bwrap<'a> {
    /// Finds bwrap on `PATH`.
    ///
    /// # Errors
    /// When it cannot take part, with the reason.
    pub fn find(session: &'a Session) -> Result<Self> {
        Ok(Bwrap { session, program: host::find("bwrap").context("not installed")? })
    }
}

impl Peer for Bwrap<'_> {
    fn name(&self) -> &str {
        "bwrap"
    }

    fn version(&self) -> String {
        host::version(&self.program)
    }

    fn differs(&self) -> &str {
        "no limits, no cgroup made, no /sys; no_new_privs is set"
    }

    fn limits(&self) -> bool {
        false
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let mut command = Command::new(&self.program);
        let namespaces = ["uts", "pid", "ipc", "cgroup"];
        command.args(namespaces.map(|kind| format!("--unshare-{kind}")));
        if start.network == Network::Own {
            command.arg("--unshare-net");
        }
        command.arg("--bind").arg(&self.session.rootfs).arg("/");
        command.args("--proc /proc --dev /dev --hostname bench".split(' '));
        command.args(["--die-with-parent", "--"]);
        command.args(start.argv);
        Ok(command)
    }
}
