//! Decides which blocks of a page this machine can run, and why it skips
//! the others.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::transcript::{Block, Needs};
use super::user_home::NOBODY;

pub struct Host {
    pub root: RootAccess,
    /// Whether cgroup v2 is the only hierarchy on this machine.
    pub has_v2: bool,
    /// Whether an ordinary user may make a user namespace and a mount namespace in it.
    pub has_userns: bool,
    pub blocks: Blocks,
}

/// The way in which a command of a page can become root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RootAccess {
    Already,
    BySudo,
    Never,
}

/// The blocks to run: the virtual machine with cgroup v2 runs only those that need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Blocks {
    All,
    OnlyV2,
}

/// Whether to run a block.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Run,
    /// Neither run nor reported: not asked for by `KISTE_BOOK`, or marked `norun` or
    /// `broken`.
    Ignore,
    Skip(String),
}

impl Host {
    pub fn ask() -> Self {
        let root = if nix::unistd::geteuid().is_root() {
            RootAccess::Already
        } else if env::var("KISTE_SUDO").is_ok_and(|sudo| sudo == "never")
            || !can_sudo()
        {
            RootAccess::Never
        } else {
            RootAccess::BySudo
        };
        let has_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let only_v2 = env::var("KISTE_BOOK").is_ok_and(|blocks| blocks == "v2");
        let has_userns = can_make_userns(root);
        Host {
            root,
            has_v2,
            has_userns,
            blocks: if only_v2 { Blocks::OnlyV2 } else { Blocks::All },
        }
    }

    pub fn verdict(&self, block: &Block) -> Verdict {
        if block.norun.is_some()
            || block.broken
            || (self.blocks == Blocks::OnlyV2 && !block.v2)
        {
            Verdict::Ignore
        } else if block.v2 && !self.has_v2 {
            Verdict::Skip("cgroup v2 is not the only hierarchy here".into())
        } else if block.needs == Needs::Root && self.root == RootAccess::Never {
            Verdict::Skip("it needs root, and sudo would ask for a password".into())
        } else if block.needs == Needs::Rootless && !self.has_userns {
            Verdict::Skip("ordinary users may not make user namespaces here".into())
        } else if let Some(tool) =
            block.tool.as_ref().filter(|tool| !super::programs::is_installed(tool))
        {
            Verdict::Skip(format!("{tool} is not installed"))
        } else {
            Verdict::Run
        }
    }

    /// Returns how long a command may take. The virtual machine is emulated, and about
    /// ten times slower.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(match self.blocks {
            Blocks::All => 30,
            Blocks::OnlyV2 => 300,
        })
    }

    /// Reports a skipped page or block: on stderr, and in the log from which CI sums up
    /// the skipped tests of all machines.
    pub fn log_skip(&self, test: &str, reason: &str) {
        kiste_tests::log_skip("book", test, reason);
    }
}

fn can_make_userns(root: RootAccess) -> bool {
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "true"];
    let nobody = if root == RootAccess::Already { &NOBODY[..] } else { &[] };
    let words = [nobody, &unshare[..]].concat();
    let unshared =
        Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).status();
    unshared.is_ok_and(|status| status.success())
}

fn can_sudo() -> bool {
    let sudo = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success())
}
