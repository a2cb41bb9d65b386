//! The last step of every start: the child becomes the command.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kit::{Failure, Hint};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, stat, umask};
use nix::unistd::{AccessFlags, access, chdir, execve};
use rustix::fs::FileType;

use crate::before_exec::BeforeExec;
use crate::channel::Channel;
use crate::in_child::fail_child;
use crate::interpreter;
use crate::sys;

/// The exit code for a command that was found but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// The exit code for a command that was not found.
const NOT_FOUND: u8 = 127;

/// The kernel's reasons for a path that does not exist or cannot exist.
const MISSING: [Errno; 4] =
    [Errno::ENOENT, Errno::ENOTDIR, Errno::ENAMETOOLONG, Errno::ELOOP];

/// A command, with its environment and its working directory.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// The environment, `NAME=VALUE`. A `NAME` alone is a variable that the command
    /// does not have, although its defaults may.
    pub env: Vec<OsString>,
    /// The directory in which it starts; unset, that of its parent.
    pub workdir: Option<PathBuf>,
    /// Its file mode creation mask, umask(2); unset, that of its parent.
    pub umask: Option<u32>,
}

/// Becomes the command: this process executes it, or ends with an error that the parent
/// reports.
///
/// # Errors
/// Exit code 127 when the command is not found, 126 when it is found but cannot be
/// executed.
pub fn become_command(command: &Command, parent: &Channel) -> Result<Infallible> {
    become_command_after(command, &BeforeExec::default(), parent)
}

// ANCHOR: become_command
/// Becomes the command as [`become_command`] does, after the work of later steps.
///
/// # Errors
/// As [`become_command`], and those of `before_exec`.
pub fn become_command_after(
    command: &Command,
    before_exec: &BeforeExec<'_>,
    parent: &Channel,
) -> Result<Infallible> {
    // Before any path is resolved: /proc/self/fd/N of an open descriptor leads back to
    // the host, and a link of the image may point there (CVE-2024-21626).
    close_other_fds(&before_exec.needed(parent))?;
    // The descriptors of our callers are closed now, so we must not return to them.
    let Err(error) = execute(command, before_exec, parent);
    before_exec.report(&error);
    fail_child(parent, &error)
}

/// Finds the program and executes it, or returns why this is impossible.
// Task 0.2: announce the exec on the channel; the exec itself closes this end.
fn execute(
    command: &Command,
    before_exec: &BeforeExec<'_>,
    parent: &Channel,
) -> Result<Infallible> {
    enter_workdir(command.workdir.as_deref())?;
    let program = command.find()?;
    command.umask.map_or(Ok(()), set_umask)?;
    reset_signals()?;

    before_exec.announce(&program);
    parent.announce_exec()?;
    let (path, argv, env) = (
        c_string(program.as_os_str())?,
        c_strings(&command.argv)?,
        c_strings(command.env.iter().filter(|entry| has_value(entry)))?,
    );
    before_exec.run(&program, parent)?; // nothing before chapter 9
    let Err(reason) = execve(&path, &argv, &env);
    Err(exec_failure(&program, reason))
}
// ANCHOR_END: become_command

/// Closes every descriptor above stderr but those in `keep`, the first of which is
/// the channel. Code that owned a closed descriptor must not run any more.
///
/// # Errors
/// The kernel's reason of close_range(2).
#[track_caller]
pub fn close_other_fds(keep: &[BorrowedFd<'_>]) -> Result<()> {
    let kept = match keep.len() {
        1 => "all but the channel".into(),
        count => format!("all but the channel and {} more", count - 1),
    };
    kit::call("nothing of the host stays open", "close_range", kept, || {
        sys::close_all_but(keep)
    })
}

fn enter_workdir(workdir: Option<&Path>) -> Result<()> {
    let Some(workdir) = workdir else { return Ok(()) };
    enter(workdir)
        .hint("the working directory must be one that the command can see: make it first, or choose another")?;
    ensure!(
        is_inside(),
        Failure::new(format_args!(
            "working directory {}: it leads out of the container",
            workdir.display()
        ))
    );
    Ok(())
}

#[track_caller]
fn enter(workdir: &Path) -> Result<()> {
    kit::call("the directory it starts in", "chdir", workdir.display(), || {
        chdir(workdir)
    })
}

fn set_umask(mask: u32) -> Result<()> {
    kit::call(
        "the permissions that its new files do not get",
        "umask",
        format_args!("{mask:03o}"),
        || {
            umask(Mode::from_bits_truncate(mask));
            Ok::<_, Errno>(())
        },
    )
}

/// Resets every signal to its default, and blocks none: both outlive an exec.
fn reset_signals() -> Result<()> {
    sys::default_signals();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .context("sigprocmask(unblock all)")
}

/// Tells whether the working directory is below this process's root directory.
/// CVE-2024-21626: /proc/self/fd/N may lead out of it. Then the kernel knows no path
/// to it, and answers "(unreachable)". The C library's getcwd(3) would search for a
/// path itself, and find one.
fn is_inside() -> bool {
    rustix::process::getcwd(Vec::new())
        .is_ok_and(|path| path.as_bytes().starts_with(b"/"))
}

impl Command {
    /// Enters the working directory before the process gives up its rights, so that a
    /// command may start where its user may not go. If it cannot be entered,
    /// [`become_command`] tries again and reports the reason.
    pub fn enter_workdir_early(mut self) -> Self {
        if self.workdir.as_deref().is_some_and(|path| enter(path).is_ok()) {
            match is_inside() {
                true => self.workdir = None,
                false => drop(chdir("/")),
            }
        }
        self
    }

    /// Completes the command: takes from `defaults` everything that it does not set
    /// itself. Of two variables of one name, the last one counts.
    pub fn with_defaults(mut self, defaults: Command) -> Self {
        for entry in std::mem::replace(&mut self.env, defaults.env) {
            self.env.retain(|earlier| name_of(earlier) != name_of(&entry));
            self.env.push(entry);
        }
        if self.argv.is_empty() {
            self.argv = defaults.argv;
        }
        self.workdir = self.workdir.or(defaults.workdir);
        self
    }

    /// Finds the program: a name with a slash is a path, any other is looked up in the
    /// directories of the command's own `PATH`.
    fn find(&self) -> Result<PathBuf> {
        let name = self.argv.first().map(OsString::as_os_str).unwrap_or_default();
        let path = self.env.iter().find_map(|it| it.as_bytes().strip_prefix(b"PATH="));
        let path = OsStr::from_bytes(path.unwrap_or_default());
        match kit::find_program(path, name) {
            Some(program) => Ok(program),
            None => Ok(explain_not_found(path, name)?),
        }
    }
}

fn name_of(entry: &OsStr) -> &[u8] {
    entry.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn has_value(entry: &OsStr) -> bool {
    entry.as_bytes().contains(&b'=')
}

/// Explains why no program was found: exit code 126 if there is a file that cannot be
/// executed, else 127. Returns the program if it can be executed now.
fn explain_not_found(path: &OsStr, name: &OsStr) -> Result<PathBuf, Failure> {
    if name.is_empty() {
        return Err(not_found(name, "the command is empty"));
    }
    if name.as_bytes().contains(&b'/') {
        return check_executable(Path::new(name));
    }
    let mut unsearched = String::new();
    for candidate in std::env::split_paths(path).map(|directory| directory.join(name)) {
        match stat(&candidate) {
            Ok(found) if FileType::from_raw_mode(found.st_mode).is_file() => {
                return check_executable(&candidate);
            }
            // A directory that we may not search holds no program for us.
            Err(reason @ Errno::EACCES) => {
                unsearched =
                    format!("; {}: {}", candidate.display(), kit::reason(reason));
            }
            Err(reason) if !MISSING.contains(&reason) => {
                let why = format!("stat: {}", kit::reason(reason));
                return Err(not_executable(&candidate, &why));
            }
            _ => {}
        }
    }
    let why = format!("not found in PATH ({}){unsearched}", path.display());
    Err(not_found(name, &why))
}

fn check_executable(program: &Path) -> Result<PathBuf, Failure> {
    Err(match access(program, AccessFlags::X_OK) {
        _ if program.is_dir() => not_executable(program, "it is a directory"),
        Ok(()) if program.is_file() => return Ok(program.into()),
        Ok(()) => not_executable(program, "it is not a regular file"),
        Err(Errno::EACCES) if interpreter::is_on_noexec(program) => {
            not_executable(program, "its file system is mounted with noexec")
                .hint("mount it without noexec, or run a copy of the program elsewhere")
        }
        Err(reason @ Errno::EACCES) if stat(program) == Err(Errno::EACCES) => {
            let why = format!(
                "its user may not enter a directory above it: {}",
                kit::reason(reason)
            );
            not_executable(program, &why)
        }
        Err(reason @ Errno::EACCES) => {
            let why = format!("it is not executable: {}", kit::reason(reason));
            not_executable(program, &why).hint(format_args!(
                "if it is meant to be a program: chmod +x {}",
                program.display()
            ))
        }
        Err(reason) if MISSING.contains(&reason) => {
            not_found(program.as_os_str(), &kit::reason(reason))
        }
        Err(reason) => not_executable(program, &kit::reason(reason)),
    })
}

fn not_found(name: &OsStr, why: &str) -> Failure {
    Failure::new(format_args!("command {name:?}: {why}")).with_exit_code(NOT_FOUND)
}

fn not_executable(program: &Path, why: &str) -> Failure {
    Failure::new(format_args!("command {program:?}: {why}"))
        .with_exit_code(NOT_EXECUTABLE)
}

/// Explains a failed execve. The kernel answers ENOENT also when the program exists and
/// its interpreter does not.
fn exec_failure(program: &Path, reason: Errno) -> anyhow::Error {
    let said = kit::reason(reason);
    let failure = match interpreter::flaw(program, reason) {
        Some(flaw) => not_executable(program, &flaw.what).hint(flaw.hint),
        None if reason == Errno::ENOEXEC => {
            not_executable(program, &said).hint(interpreter::NO_FORMAT)
        }
        None => not_executable(program, &said),
    };
    failure.into()
}

fn c_strings<'a>(
    strings: impl IntoIterator<Item = &'a OsString>,
) -> Result<Vec<CString>> {
    strings.into_iter().map(|string| c_string(string)).collect()
}

fn c_string(string: &OsStr) -> Result<CString> {
    CString::new(string.to_os_string().into_vec()).map_err(|_| {
        Failure::new(format_args!("{string:?}: contains a NUL byte")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_complete_only_what_a_command_does_not_set_itself() {
        let strings = |words: &[&str]| words.iter().map(OsString::from).collect();
        let own = Command { env: strings(&["A=1", "A=2"]), ..Command::default() };
        let (argv, env) = (strings(&["sh"]), strings(&["PATH=/bin", "A=0"]));
        let workdir = Some("/data".into());
        let defaults = Command { argv, env, workdir, umask: None };
        let both = own.with_defaults(defaults.clone());
        assert_eq!(both.argv, defaults.argv);
        assert_eq!(both.env, ["PATH=/bin", "A=2"]);
        let other = Command {
            argv: strings(&["ls"]),
            workdir: Some("/".into()),
            ..Command::default()
        };
        let both = other.clone().with_defaults(defaults);
        assert_eq!((both.argv, both.workdir), (other.argv, other.workdir));
    }
}
