//! The options that every `run` has.

mod variables;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kit::Result;

use crate::command::Command;
use crate::pid_file::PidFile;

use variables::{EnvFile, set, variable};

/// The command's `PATH`, unless `-e PATH=…` sets another.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command, its environment and its working directory.
#[derive(clap::Args, Clone, Debug)]
pub struct CommandArgs {
    /// Set a variable (K=V), or pass on the caller's (K)
    ///
    /// The rest of the environment is clean: PATH, HOME, TERM, HOSTNAME.
    #[arg(short, long, value_name = "K=V", value_parser = variable)]
    env: Vec<OsString>,

    /// Set the variables in this file, a K=V or a K on each line
    ///
    /// -e takes precedence.
    #[arg(long, value_name = "FILE", value_parser = EnvFile::read)]
    env_file: Vec<EnvFile>,

    /// Start in this directory, as the command sees it
    ///
    /// From step 4 on, it is made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

    /// The command's file mode creation mask, in octal [default: 022]
    #[arg(long, value_name = "MASK", value_parser = octal)]
    umask: Option<u32>,

    /// Write the first process's id to this file while it runs
    ///
    /// The id as the host sees it.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// The command and its arguments; our options come before it
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl CommandArgs {
    /// Returns the command as it was typed; its environment has only the variables that
    /// were given.
    pub fn plan(&self) -> Command {
        let argv = self.command.clone();
        let from_files = self.env_file.iter().flat_map(|file| &file.0);
        let env = from_files.chain(&self.env).cloned().collect();
        Command { argv, env, workdir: self.workdir.clone(), umask: self.umask }
    }

    /// Makes the command, with the default environment on a host of this name.
    pub fn with_hostname(&self, hostname: &str) -> Command {
        self.at_home(hostname, None)
    }

    /// Does the same for a user with this home directory; `-e HOME=…` takes precedence.
    pub fn at_home(&self, hostname: &str, home: Option<&str>) -> Command {
        self.plan().with_defaults(environment(hostname, home))
    }

    /// The directory in which the command is to start, if one was asked for.
    pub fn workdir(&self) -> Option<&Path> {
        self.workdir.as_deref()
    }

    /// Formats the command as it was typed, for people.
    pub fn shown(&self) -> String {
        self.command
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Returns the pid file that was asked for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn pid_file(&self) -> Result<PidFile> {
        PidFile::at(self.pid_file.as_deref())
    }
}

/// Returns a command that has only the default environment: the variables that a
/// command has unless it sets them itself.
pub fn environment(hostname: &str, home: Option<&str>) -> Command {
    let caller = |name: &str| std::env::var_os(name).unwrap_or_default();
    let home = match home {
        Some(home) => home.into(),
        None if nix::unistd::geteuid().is_root() => "/root".into(),
        None => caller("HOME"),
    };
    let mut env = vec![
        set("PATH", PATH.as_ref()),
        set("HOME", &home),
        set("TERM", &caller("TERM")),
        set("HOSTNAME", hostname.as_ref()),
    ];
    env.retain(|entry| !entry.as_bytes().ends_with(b"="));
    Command { env, ..Command::default() }
}

fn octal(text: &str) -> Result<u32, String> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| "a mask is an octal number up to 777: 027".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_an_octal_number() {
        let masks = ["0", "022", "0077", "777"].map(octal);
        assert_eq!(masks, [Ok(0), Ok(0o22), Ok(0o77), Ok(0o777)]);
        for bad in ["", "8", "1000", "-1", "u=rwx"] {
            assert!(octal(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_command_is_shown_as_it_was_typed() {
        #[derive(clap::Parser)]
        struct Run {
            #[command(flatten)]
            command: CommandArgs,
        }
        let run: Run =
            clap::Parser::parse_from(["run", "-e", "A=1", "sh", "-c", "echo $A"]);
        assert_eq!(run.command.shown(), "sh -c echo $A");
    }
}
