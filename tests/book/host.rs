//! What this machine can play, and what to do about the rest.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::room::NOBODY;
use super::transcript::{Block, Needs};

pub struct Host {
    pub root: Root,
    /// Whether cgroup v2 is the only hierarchy here.
    pub has_v2: bool,
    /// Whether an ordinary user may make a user namespace, and mount in it.
    pub has_userns: bool,
    pub blocks: Blocks,
}

/// How to be root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    Already,
    BySudo,
    Never,
}

/// Which blocks are asked for: the v2 machine in CI plays only those that need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Blocks {
    All,
    OnlyV2,
}

/// What to do with a block.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Play,
    /// Not asked for, or the book itself says that it cannot run.
    PassOver,
    Skip(String),
}

impl Host {
    pub fn ask() -> Self {
        let root = if nix::unistd::geteuid().is_root() {
            Root::Already
        } else if env::var("KISTE_SUDO").is_ok_and(|sudo| sudo == "never")
            || !can_sudo()
        {
            Root::Never
        } else {
            Root::BySudo
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
        if block.norun.is_some() || (self.blocks == Blocks::OnlyV2 && !block.v2) {
            Verdict::PassOver
        } else if block.v2 && !self.has_v2 {
            Verdict::Skip("cgroup v2 is not the only hierarchy here".into())
        } else if block.needs == Needs::Root && self.root == Root::Never {
            Verdict::Skip("it needs root, and sudo would ask for a password".into())
        } else if block.needs == Needs::Rootless && !self.has_userns {
            Verdict::Skip("ordinary users may not make user namespaces here".into())
        } else if let Some(tool) =
            block.tool.as_ref().filter(|tool| !super::tools::is_here(tool))
        {
            Verdict::Skip(format!("{tool} is not installed"))
        } else {
            Verdict::Play
        }
    }

    /// How long a command may take. The v2 machine is emulated, about ten times slower.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(match self.blocks {
            Blocks::All => 30,
            Blocks::OnlyV2 => 300,
        })
    }

    /// Says that something was not tested: to the reader, and to CI, which adds up all
    /// machines.
    pub fn log_skip(&self, test: &str, reason: &str) {
        kiste_tests::log_skip("book", test, reason);
    }
}

fn can_make_userns(root: Root) -> bool {
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "true"];
    let nobody = if root == Root::Already { &NOBODY[..] } else { &[] };
    let words = [nobody, &unshare[..]].concat();
    let made = Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).status();
    made.is_ok_and(|status| status.success())
}

fn can_sudo() -> bool {
    let sudo = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success())
}
