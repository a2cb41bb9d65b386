//! The options that every `run` has.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use kit::Result;

use crate::command::Command;
use crate::pid_file::PidFile;

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

    /// Start in this directory, as the command sees it
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

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
        let (argv, env) = (self.command.clone(), self.env.clone());
        Command { argv, env, workdir: self.workdir.clone() }
    }

    /// Makes the command, with the default environment on a host of this name.
    pub fn with_hostname(&self, hostname: &str) -> Command {
        self.at_home(hostname, None)
    }

    /// Does the same for a user with this home directory; `-e HOME=…` takes precedence.
    pub fn at_home(&self, hostname: &str, home: Option<&str>) -> Command {
        self.plan().with_defaults(environment(hostname, home))
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

/// Parses `K=V`; or `K`, which stands for the caller's value.
fn variable(text: &str) -> Result<OsString, String> {
    match text.split_once('=') {
        Some(("", _)) | None if text.is_empty() || text.starts_with('=') => {
            Err("a variable needs a name: K=V, or K to pass on the caller's".into())
        }
        Some(_) => Ok(text.into()),
        None => match std::env::var_os(text) {
            Some(value) => Ok(set(text, &value)),
            None => {
                Err("the caller has no such variable to pass on; give it a value: K=V"
                    .into())
            }
        },
    }
}

fn set(name: &str, value: &OsStr) -> OsString {
    let mut entry = OsString::from(name);
    entry.push("=");
    entry.push(value);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_name_and_a_value_or_the_name_of_a_variable_of_the_caller() {
        assert_eq!(variable("A=1").unwrap(), "A=1");
        assert_eq!(variable("A=x=y").unwrap(), "A=x=y");
        assert_eq!(variable("A=").unwrap(), "A=");
        assert_eq!(
            variable("PATH").unwrap(),
            set("PATH", &std::env::var_os("PATH").unwrap())
        );
        for bad in ["", "=", "=x", "NO_SUCH_VARIABLE"] {
            assert!(variable(bad).is_err(), "{bad:?}");
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
