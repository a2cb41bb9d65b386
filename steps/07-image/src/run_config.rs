//! The part of an image's configuration that says how to run it: the OCI image
//! specification, "Image Configuration", `config`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    /// The image's arguments, variables and working directory, which apply where the
    /// command line has none.
    pub(crate) command: Command,
    /// The user that the command runs as.
    pub(crate) user: Option<User>,
    /// The number of the signal that the image wants in place of SIGTERM.
    pub(crate) stop_signal: Option<i32>,
    /// Directories for data, which are created where they are missing.
    pub(crate) volumes: Vec<PathBuf>,
}

impl RunConfig {
    /// Parses the object `config` of an image's configuration.
    ///
    /// # Errors
    /// When `User` or `StopSignal` cannot be parsed.
    pub(crate) fn parse(config: &Config) -> Result<Self> {
        let strings = |list: &Option<Vec<String>>| -> Vec<OsString> {
            list.iter().flatten().map(OsString::from).collect()
        };
        let below_root = |path: &str| Path::new("/").join(path);
        let mut volumes: Vec<PathBuf> =
            config.volumes().iter().flatten().map(|it| below_root(it)).collect();
        volumes.sort();
        let mut entrypoint = strings(config.entrypoint());
        if entrypoint == [""] {
            entrypoint.clear(); // as --entrypoint "": there is none
        }
        let parse_user = |user: &str| {
            // As in Docker: `alice:` is `alice`.
            let name = user.strip_suffix(':').unwrap_or(user);
            let parsed = name.parse::<User>().map_err(Failure::new);
            parsed.with_context(|| format!("User of the image, {user:?}"))
        };
        Ok(RunConfig {
            entrypoint,
            command: Command {
                argv: strings(config.cmd()),
                env: strings(config.env()),
                workdir: non_empty(config.working_dir()).map(below_root),
                ..Command::default()
            },
            user: non_empty(config.user()).map(parse_user).transpose()?,
            stop_signal: non_empty(config.stop_signal())
                .map(parse_signal)
                .transpose()?,
            volumes,
        })
    }

    /// Replaces the image's program, and removes the image's arguments, which were for
    /// the old program. An empty name only removes the program.
    pub(crate) fn replace_entrypoint(&mut self, program: &OsString) {
        self.command.argv = Vec::new();
        self.entrypoint = Vec::from([program.clone()]);
        self.entrypoint.retain(|program| !program.is_empty());
    }
}

/// Returns a text if there is one and it is not empty.
fn non_empty(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Parses `SIGINT`, `int`, `2` or `SIGRTMIN+3`, and returns its number.
fn parse_signal(name: &str) -> Result<i32> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = name.parse().ok().or_else(|| parse_real_time(short));
    let by_name = || {
        let short = match short {
            "CLD" => "CHLD",
            "IOT" => "ABRT",
            "POLL" => "IO",
            other => other,
        };
        format!("SIG{short}").parse::<Signal>().ok().map(|signal| signal as i32)
    };
    let last = nix::libc::SIGRTMAX();
    number.filter(|number| (1..=last).contains(number)).or_else(by_name).ok_or_else(
        || {
            Failure::new(format_args!("StopSignal of the image: {name:?} is no signal"))
                .into()
        },
    )
}

/// Parses `RTMIN`, `RTMIN+3` or `RTMAX-1`: signal(7), "Real-time signals". systemd as
/// PID 1 stops at `RTMIN+3`.
fn parse_real_time(name: &str) -> Option<i32> {
    let (first, last) = (nix::libc::SIGRTMIN(), nix::libc::SIGRTMAX());
    let offset = |text: &str, sign: char| match text {
        "" => Some(0),
        _ => text.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => first + offset(rest, '+')?,
        (_, Some(rest)) => last - offset(rest, '-')?,
        _ => return None,
    };
    (first..=last).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_signal_may_be_a_real_time_signal() {
        for (name, number) in [
            ("SIGRTMIN+3", 37),
            ("rtmin+3", 37),
            ("RTMIN", 34),
            ("SIGRTMAX-1", 63),
            ("37", 37),
            ("64", 64),
            ("SIGINT", 2),
            ("int", 2),
            ("SIGCLD", 17),
        ] {
            assert_eq!(parse_signal(name).ok(), Some(number), "{name}");
        }
        for bad in
            ["", "0", "65", "-1", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN+", "RTMIN3"]
        {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }
}
