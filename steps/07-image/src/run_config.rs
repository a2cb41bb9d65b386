//! The part of an image's configuration that says how to run it: the OCI image
//! specification, "Image Configuration", `config`.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use exec::Command;
use kit::Failure;
use nix::sys::signal::Signal;
use oci_spec::image::Config;
use user::User;

/// How to run an image.
#[derive(Debug, Default)]
pub(crate) struct RunConfig {
    /// The program and its first arguments, which come before those of the command line.
    pub(crate) entrypoint: Vec<OsString>,
    /// The arguments, variables and directory for what the command line does not set.
    pub(crate) command: Command,
    /// The user that the command runs as.
    pub(crate) user: Option<User>,
    /// The signal that the image wants in place of SIGTERM.
    pub(crate) stop_signal: Option<Signal>,
}

impl RunConfig {
    /// Reads it from an image's configuration.
    ///
    /// # Errors
    /// When `User` or `StopSignal` cannot be parsed.
    pub(crate) fn parse(config: &Config) -> Result<Self> {
        let strings = |list: &Option<Vec<String>>| -> Vec<OsString> {
            list.iter().flatten().map(OsString::from).collect()
        };
        let workdir = set(config.working_dir()).map(|it| Path::new("/").join(it));
        let parse_user = |user: &str| {
            let parsed = user.parse::<User>().map_err(Failure::new);
            parsed.with_context(|| format!("User of the image, {user:?}"))
        };
        Ok(RunConfig {
            entrypoint: strings(config.entrypoint()),
            command: Command {
                argv: strings(config.cmd()),
                env: strings(config.env()),
                workdir,
            },
            user: set(config.user()).map(parse_user).transpose()?,
            stop_signal: set(config.stop_signal()).map(parse_signal).transpose()?,
        })
    }

    /// Replaces the image's program, and removes its arguments, which are for its own
    /// program. An empty name only removes the program.
    pub(crate) fn replace_entrypoint(&mut self, program: &OsString) {
        self.command.argv = Vec::new();
        self.entrypoint = Vec::from([program.clone()]);
        self.entrypoint.retain(|program| !program.is_empty());
    }
}

/// Returns a text that is set and not empty.
fn set(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Parses `SIGINT`, `int` or `2`.
fn parse_signal(name: &str) -> Result<Signal> {
    let number: Option<i32> = name.parse().ok();
    let upper = name.to_ascii_uppercase();
    let full = match upper.starts_with("SIG") {
        true => upper,
        false => format!("SIG{upper}"),
    };
    let signal = number.and_then(|number| Signal::try_from(number).ok());
    signal.or_else(|| full.parse().ok()).ok_or_else(|| {
        Failure::new(format_args!("StopSignal of the image: {name:?} is no signal"))
            .into()
    })
}
