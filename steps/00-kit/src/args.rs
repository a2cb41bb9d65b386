//! The options that every step has, parsed by clap. They become plain values here, so
//! that the rest of the code needs neither clap nor the environment.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use rustix::process::geteuid;

use crate::cli::exit_with;
use crate::narration::{self, ExplainOptions, Format};

/// The option `--explain` of `run`.
#[derive(clap::Args, Clone, Debug)]
pub struct ExplainArgs {
    /// Print each kernel call, and why it is made
    ///
    /// Also the process that makes it, its operands and its result: for people (text,
    /// the default), for machines (json, as all warnings and errors then are), or step
    /// by step (step): each call with its line of code and a picture of the container,
    /// and the Enter key for the next one. With the number of a step, as in
    /// --explain=05 or --explain=json,05, only the calls of this step's code.
    #[arg(long, value_name = "FORMAT,STEP", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<ExplainOptions>,
}

impl ExplainArgs {
    /// Starts the narration, if it was asked for. If this program does not have the
    /// requested step, that is a usage error: it names the steps that there are, and
    /// ends the program.
    #[track_caller]
    pub fn start(&self) {
        let Some(plan) = self.explain else { return };
        if let Err(reason) = narration::start(plan) {
            let message = format!(
                "invalid value for '--explain': {reason}\n\n\
                 For more information, try '--help'.\n"
            );
            exit_with(&clap::Error::raw(ErrorKind::InvalidValue, message));
        }
    }
}

/// The options of `doctor`.
#[derive(clap::Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Print for people (text) or for machines (json)
    #[arg(long, default_value = "text")]
    format: Format,
}

impl DoctorArgs {
    /// Returns the requested format.
    pub fn format(&self) -> Format {
        self.format
    }
}

impl clap::ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Format::Text, Format::Json]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(match self {
            Format::Text => "text".into(),
            Format::Json => "json".into(),
        })
    }
}

/// The option `--run-dir`.
#[derive(clap::Args, Clone, Debug)]
pub struct RunDirArgs {
    /// Directory with the state of running containers, where `gc` finds those that died
    /// [default: /run/kiste; without root $XDG_RUNTIME_DIR/kiste]
    #[arg(long = "run-dir", value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

impl RunDirArgs {
    /// The directory in which each container has its run directory.
    pub fn parent(&self) -> PathBuf {
        self.run_dir.clone().unwrap_or_else(default_run_dir)
    }
}

/// Returns the directory for what lasts as long as the host runs: /run/kiste, and
/// without root $XDG_RUNTIME_DIR/kiste.
pub fn default_run_dir() -> PathBuf {
    let user = geteuid();
    match user.is_root() {
        true => "/run/kiste".into(),
        false => default_of_user(user.as_raw()),
    }
}

/// Returns the default directory of an ordinary user.
///
/// In /tmp, another user may have made a directory of this name, which would be
/// refused. So the directories in which only this user can make entries come first.
/// If the name in /tmp belongs to another user, a directory in this user's home is
/// the default.
fn default_of_user(uid: u32) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(runtime) = variable("XDG_RUNTIME_DIR") {
        return Path::new(&runtime).join("kiste");
    }
    // The login manager makes this directory. The variable is unset if no login has
    // started this program.
    let runtime = Path::new("/run/user").join(uid.to_string());
    if owner(&runtime) == Some(uid) {
        return runtime.join("kiste");
    }
    let temporary = std::env::temp_dir().join(format!("kiste-run-{uid}"));
    let home = variable("HOME").map(PathBuf::from);
    match (owner(&temporary), home.filter(|home| owner(home) == Some(uid))) {
        (Some(other), Some(home)) if other != uid => home.join(".local/state/kiste"),
        _ => temporary,
    }
}

/// Returns the owner of a path, if the path exists.
fn owner(path: &Path) -> Option<u32> {
    path.symlink_metadata().ok().map(|found| found.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_option_the_parent_is_run_kiste_only_for_uid_0() {
        let parent = |run_dir: Option<&str>| {
            RunDirArgs { run_dir: run_dir.map(PathBuf::from) }.parent()
        };
        assert_eq!(parent(Some("here")), Path::new("here"));
        let is_root = geteuid().is_root();
        assert_eq!(parent(None) == Path::new("/run/kiste"), is_root);
    }
}
