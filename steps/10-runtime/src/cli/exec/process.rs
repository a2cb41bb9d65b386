//! The process of `exec`: that of the container with changes, or one of a file.

use std::path::PathBuf;

use kit::{Context, Failure, FailureKind, Result};
use security::Capability;

use crate::bundle;
use crate::config::{Config, Process as Section, User};
use crate::invalid::invalid;
use crate::log::Log;
use crate::plan::{Process, process};

/// The options that describe the process.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The process, in the form of the section `process` of config.json
    ///
    /// The other options of the process, and COMMAND, are then ignored, as in runc.
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// The directory in which it starts
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set a variable of the environment
    #[arg(short, long, value_name = "K=V")]
    env: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// The user and group id
    #[arg(short, long, value_name = "UID[:GID]", value_parser = parse_user)]
    user: Option<(u32, Option<u32>)>,
    /// A further group id
    #[arg(short = 'g', long, value_name = "GID", value_parser = parse_id)]
    additional_gids: Vec<u32>,
    /// Its SELinux label
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// Its AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    no_new_privs: bool,
    /// A further capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
}

impl Options {
    /// Makes the plan of the process. Without a file, it has what the container's own
    /// process has, besides the terminal.
    ///
    /// # Errors
    /// When a value is invalid, or there is no command.
    pub fn plan(
        &self,
        config: &Config,
        command: &[String],
        log: &Log,
    ) -> Result<Process> {
        let linux = config.linux.clone().unwrap_or_default();
        if let Some(path) = &self.process {
            let section = bundle::parse_process(&bundle::read(path)?, log)
                .with_context(|| path.display().to_string())?;
            return process::plan(&section, &linux);
        }
        let Some(mut section) = config.process.clone() else {
            return Err(invalid("process: config.json has none"));
        };
        section.args = Some(command.to_vec());
        section.terminal = Some(self.tty);
        section.console_size = None;
        self.change(&mut section)?;
        process::plan(&section, &linux)
    }

    fn change(&self, section: &mut Section) -> Result<()> {
        if let Some(cwd) = &self.cwd {
            section.cwd = cwd.clone();
        }
        section.env.get_or_insert_default().extend_from_slice(&self.env);
        if let Some((uid, gid)) = self.user {
            let (gid, umask) = (gid.unwrap_or(0), section.user.umask);
            section.user = User { uid, gid, umask, additional_gids: None };
        }
        let gids = section.user.additional_gids.get_or_insert_default();
        gids.extend_from_slice(&self.additional_gids);
        if self.apparmor.is_some() {
            section.apparmor_profile = self.apparmor.clone();
        }
        if self.process_label.is_some() {
            section.selinux_label = self.process_label.clone();
        }
        if self.no_new_privs {
            section.no_new_privileges = Some(true);
        }
        self.add_capabilities(section)
    }

    /// Adds the capabilities to those that the process has, and to none that it passes
    /// on.
    fn add_capabilities(&self, section: &mut Section) -> Result<()> {
        for name in &self.cap {
            name.parse::<Capability>().map_err(|_| {
                let what = format!("--cap {name}: there is no such capability");
                Failure::new(what).with_kind(FailureKind::Usage)
            })?;
        }
        let sets = section.capabilities.get_or_insert_default();
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.get_or_insert_default().extend_from_slice(&self.cap);
        }
        Ok(())
    }
}

/// Parses `UID[:GID]`. A text that is no number is refused: taken for 0, it would give
/// the rights of root (CVE-2022-27650).
fn parse_user(text: &str) -> Result<(u32, Option<u32>), String> {
    match text.split_once(':') {
        None => Ok((parse_id(text)?, None)),
        Some((uid, gid)) => Ok((parse_id(uid)?, Some(parse_id(gid)?))),
    }
}

fn parse_id(text: &str) -> Result<u32, String> {
    let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(id) if is_number && id < u32::MAX => Ok(id),
        _ => Err(format!("{text:?}: an id is a number from 0 to 4294967294")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_one_or_two_plain_numbers() {
        assert_eq!(parse_user("1000"), Ok((1000, None)));
        assert_eq!(parse_user("0:4294967294"), Ok((0, Some(4_294_967_294))));
        for bad in [
            "",
            ":",
            "1:",
            ":1",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "root",
            "1:2:3",
            "4294967295",
            "99999999999",
            "1:4294967295",
        ] {
            assert!(parse_user(bad).is_err(), "{bad:?}");
        }
    }
}
