//! unshare(1) of util-linux.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Network, Peer, Start};
use crate::host;
use crate::session::Session;

/// The `unshare` on `PATH`.
pub struct Unshare<'a> {
    session: &'a Session,
    program: PathBuf,
}

impl<'a> Unshare<'a> {
    /// Finds unshare on `PATH`.
    ///
    /// # Errors
    /// When it cannot take part, with the reason.
    pub fn find(session: &'a Session) -> Result<Self> {
        Ok(Unshare {
            session,
            program: host::find("unshare").context("not installed")?,
        })
    }
}

impl Peer for Unshare<'_> {
    fn name(&self) -> &str {
        "unshare"
    }

    fn version(&self) -> String {
        host::version(&self.program)
    }

    fn differs(&self) -> &str {
        "no limits, no cgroup made; chroot instead of pivot_root; no /dev, no /sys, no host name"
    }

    fn limits(&self) -> bool {
        false
    }

    fn command(&self, start: &Start) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.args("--uts --pid --ipc --mount --cgroup".split(' '));
        command.args(["--fork", "--kill-child"]);
        if start.network == Network::Own {
            command.arg("--net");
        }
        command.arg("--root").arg(&self.session.rootfs).args(["--mount-proc", "--"]);
        command.args(start.argv);
        Ok(command)
    }
}
