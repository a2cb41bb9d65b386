//! The options of this step.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::path::PathBuf;

use anyhow::Result;
use kit::{Failure, Size};

use crate::rootfs::{Access, Rootfs};
use crate::terminal::{Stream, Terminal};

/// The root file system of the container.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "root_options")]
pub struct Args {
    /// The directory that the container sees as /
    #[arg(long, value_name = "DIR", default_value = "./rootfs")]
    rootfs: PathBuf,

    /// Mount the root file system read-only; mounts on it can still be written
    #[arg(long)]
    read_only: bool,

    /// The size of /dev/shm, which programs share memory by
    #[arg(long, value_name = "SIZE", default_value = "64m", value_parser = shm_size)]
    shm_size: Size,
}

impl Args {
    /// The root file system that these options name.
    pub fn rootfs(&self) -> Rootfs {
        let access = if self.read_only { Access::ReadOnly } else { Access::ReadWrite };
        Rootfs { path: self.rootfs.clone(), access }
    }

    /// The size of /dev/shm.
    pub fn shm_size(&self) -> Size {
        self.shm_size
    }
}

fn shm_size(text: &str) -> Result<Size, String> {
    match text.parse()? {
        // For the kernel, 0 is no limit: tmpfs(5).
        Size(0) => Err("it is greater than 0: 64m".into()),
        size => Ok(size),
    }
}

/// The terminal of the container.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(id = "terminal_options")]
pub struct TerminalArgs {
    /// Give the container its own terminal; on a terminal this is the default
    ///
    /// Without -t, a file or a pipe is passed on as it is. So `</dev/null 2>&1 | cat`
    /// behind the command turns the default off.
    #[arg(short, long)]
    tty: bool,

    /// Pass stdin on; this is always done, the option is for people who type -it
    #[arg(short, long)]
    interactive: bool,
}

impl TerminalArgs {
    /// Decides which standard streams the container's terminal replaces: each that is a
    /// terminal, and with `-t` all of them.
    ///
    /// # Errors
    /// When `-it` asks for a terminal and stdin is a pipe or a file: a terminal cannot
    /// pass on its end of input.
    pub fn plan(self) -> Result<Terminal> {
        if self.tty && self.interactive && !stdin().is_terminal() {
            let failure = Failure::new("-it: stdin is not a terminal");
            return Err(failure
                .hint("leave out -t, and stdin is passed on as it is")
                .into());
        }
        let are_terminals =
            [stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal()];
        let stream = |is_terminal| {
            if is_terminal || self.tty { Stream::Own } else { Stream::Passed }
        };
        Ok(Terminal { streams: are_terminals.map(stream), size: None })
    }
}
