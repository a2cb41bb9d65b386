//! The options that every step has, as clap reads them. They become plain values here,
//! and nothing below knows clap or reads the environment.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use rustix::process::geteuid;

use crate::narration::{self, Format, Plan};

/// The option `--explain` of `run`.
#[derive(clap::Args, Clone, Debug)]
pub struct ExplainArgs {
    /// Print each kernel call, and why it is made
    ///
    /// Also the process that makes it, its operands and its result: for people (text,
    /// the default) or for machines (json). With the number of a step, as in
    /// --explain=05 or --explain=json,05, only the calls of this step's code.
    #[arg(long, value_name = "FORMAT,STEP", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<Plan>,
}

impl ExplainArgs {
    /// Starts the narration, if it was asked for. A step that this program does not
    /// have is a usage error, which names those that it has and ends the program.
    #[track_caller]
    pub fn start(&self) {
        let Some(plan) = self.explain else { return };
        if let Err(wrong) = narration::start(plan) {
            let wrong = format!(
                "invalid value for '--explain': {wrong}\n\n\
                 For more information, try '--help'.\n"
            );
            clap::Error::raw(ErrorKind::InvalidValue, wrong).exit();
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
    /// The format that was asked for.
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
        let user = geteuid();
        self.run_dir.clone().unwrap_or_else(|| match user.is_root() {
            true => "/run/kiste".into(),
            false => of_user(user.as_raw()),
        })
    }
}

/// The place of an ordinary user. Any user can make any name in /tmp, and it would be
/// refused. So it comes after those that only this user can make something in, and
/// where another has the name, the user's home does.
fn of_user(uid: u32) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(runtime) = variable("XDG_RUNTIME_DIR") {
        return Path::new(&runtime).join("kiste");
    }
    // The login manager has made it, and this program was not started by a login.
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

/// The user whom a path belongs to, if there is something.
fn owner(path: &Path) -> Option<u32> {
    path.symlink_metadata().ok().map(|found| found.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_says_where_run_directories_are_and_root_needs_none() {
        let parent = |run_dir: Option<&str>| {
            RunDirArgs { run_dir: run_dir.map(PathBuf::from) }.parent()
        };
        assert_eq!(parent(Some("here")), Path::new("here"));
        let is_root = geteuid().is_root();
        assert_eq!(parent(None) == Path::new("/run/kiste"), is_root);
    }
}
