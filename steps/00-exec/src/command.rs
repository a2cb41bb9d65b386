//! The last act of every container: become the command.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::stat;
use nix::unistd::{AccessFlags, access, chdir, execve};
use rustix::fs::FileType;

use crate::channel::Channel;
use crate::interpreter;
use crate::spawn::fail;
use crate::sys;

/// The exit code for a command that was found but cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// The exit code for a command that was not found.
const NOT_FOUND: u8 = 127;

/// What the kernel says of a path where nothing is, or can be.
const MISSING: [Errno; 4] =
    [Errno::ENOENT, Errno::ENOTDIR, Errno::ENAMETOOLONG, Errno::ELOOP];

/// What to run, and with what around it.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments, as they were typed.
    pub argv: Vec<OsString>,
    /// Its whole environment, `NAME=VALUE`.
    pub env: Vec<OsString>,
    /// The directory it starts in; unset: where its parent was.
    pub workdir: Option<PathBuf>,
}

// ANCHOR: become_command
/// Becomes the command: this process goes on as it, or has the parent say why it
/// cannot, and ends.
///
/// # Errors
/// Exit code 127 when the command is not found, 126 when it is found but cannot be
/// executed.
pub fn become_command(command: &Command, parent: &Channel) -> Result<Infallible> {
    // Before any path is looked up. /proc/self/fd/N of an open descriptor leads back to
    // the host, and the image's links choose what is looked up (CVE-2024-21626).
    keep_only(parent)?;
    // What our callers had open is closed now, so we do not return to them.
    let Err(error) = execute(command, parent);
    fail(parent, &error)
}

/// Finds the program and executes it, or returns why that cannot be done.
// Task 0.2: the last words on the channel; then its end closes by itself, at the exec.
fn execute(command: &Command, parent: &Channel) -> Result<Infallible> {
    enter_workdir(command.workdir.as_deref())?;
    let program = command.find()?;
    sys::default_signals();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .context("sigprocmask(unblock all)")?;

    kit::announce("and now it is the command", "execve", program.display());
    parent.announce_exec()?;
    let (path, argv, env) = (
        c_string(program.as_os_str())?,
        c_strings(&command.argv)?,
        c_strings(&command.env)?,
    );
    let Err(reason) = execve(&path, &argv, &env);
    Err(why_not(&program, reason))
}
// ANCHOR_END: become_command

/// Lets go of whatever the host had open, but for the channel. Whoever owned it must
/// not be returned to: an init says so too before it starts the command.
///
/// # Errors
/// What the kernel says of close_range(2).
#[track_caller]
pub fn keep_only(parent: &Channel) -> Result<()> {
    kit::call(
        "nothing of the host stays open",
        "close_range",
        "all but the channel",
        || sys::close_all_but(parent.as_fd()),
    )
}

fn enter_workdir(workdir: Option<&Path>) -> Result<()> {
    let Some(workdir) = workdir else { return Ok(()) };
    kit::call("-w: the directory it starts in", "chdir", workdir.display(), || chdir(workdir))
        .hint("-w names a directory that the command can see; make it first, or choose another")?;
    // CVE-2024-21626: /proc/self/fd/N may lead out of the root. Then the kernel knows
    // no path to it, and says "(unreachable)". The library's getcwd(3) would look for
    // one by itself, and find one.
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().starts_with(b"/") => Ok(()),
        _ => Err(Failure::new(format_args!(
            "-w {}: it leads out of the container",
            workdir.display()
        ))
        .into()),
    }
}

impl Command {
    /// Finds the program, as execvp(3) does: a name with a slash is a path, any other
    /// is looked for in the directories of `PATH`.
    fn find(&self) -> Result<PathBuf> {
        let name = self.argv.first().map(OsString::as_os_str).unwrap_or_default();
        if name.as_bytes().contains(&b'/') {
            return self.check(Path::new(name)).map(|()| name.into());
        }
        let path = self
            .env
            .iter()
            .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="))
            .unwrap_or_default();
        let candidates = path
            .split(|byte| *byte == b':')
            .map(|dir| Path::new(OsStr::from_bytes(dir)).join(name));
        let (mut found, mut unseen) = (Vec::new(), None);
        for candidate in candidates {
            match is_file(&candidate) {
                Ok(true) => found.push(candidate),
                Ok(false) => {}
                // In a directory that we may not look into, there is none for us.
                Err(reason @ Errno::EACCES) => {
                    unseen = Some((candidate, kit::reason(reason)))
                }
                Err(reason) => {
                    return Err(not_executable(
                        &candidate,
                        &format!("stat: {}", kit::reason(reason)),
                    ));
                }
            }
        }
        match found
            .iter()
            .find(|candidate| self.check(candidate).is_ok())
            .or(found.first())
        {
            Some(program) => self.check(program).map(|()| program.clone()),
            None if name.is_empty() => Err(not_found(name, "the command is empty")),
            None => {
                let unseen = unseen.map(|(candidate, reason)| {
                    format!("; {}: {reason}", candidate.display())
                });
                let path = String::from_utf8_lossy(path);
                Err(not_found(
                    name,
                    &format!(
                        "not found in PATH ({path}){}",
                        unseen.unwrap_or_default()
                    ),
                ))
            }
        }
    }

    fn check(&self, program: &Path) -> Result<()> {
        match access(program, AccessFlags::X_OK) {
            _ if program.is_dir() => Err(not_executable(program, "it is a directory")),
            Ok(()) => Ok(()),
            Err(reason @ Errno::EACCES) => {
                let why = format!("it is not executable: {}", kit::reason(reason));
                Err(not_executable(program, &why)).hint(format_args!(
                    "if it is meant to be a program: chmod +x {}",
                    program.display()
                ))
            }
            Err(reason) if MISSING.contains(&reason) => {
                Err(not_found(program.as_os_str(), &kit::reason(reason)))
            }
            Err(reason) => Err(not_executable(program, &kit::reason(reason))),
        }
    }
}

/// Whether a program is there, as far as we may look.
fn is_file(program: &Path) -> nix::Result<bool> {
    match stat(program) {
        Ok(found) => {
            Ok(FileType::from_raw_mode(found.st_mode) == FileType::RegularFile)
        }
        Err(reason) if MISSING.contains(&reason) => Ok(false),
        Err(reason) => Err(reason),
    }
}

fn not_found(name: &OsStr, why: &str) -> anyhow::Error {
    Failure::new(format_args!("command {:?}: {why}", name)).exit(NOT_FOUND).into()
}

fn not_executable(program: &Path, why: &str) -> anyhow::Error {
    Failure::new(format_args!("command {program:?}: {why}")).exit(NOT_EXECUTABLE).into()
}

/// The kernel says ENOENT also of a program that is there, when what must run it is
/// not.
fn why_not(program: &Path, reason: Errno) -> anyhow::Error {
    let said = kit::reason(reason);
    let failure = match interpreter::missing(program) {
        Some(missing) => Failure::new(format_args!("command {program:?}: {missing}"))
            .hint("the program is made for another root file system, or its interpreter is not installed"),
        None if reason == Errno::ENOEXEC => Failure::new(format_args!("command {program:?}: {said}"))
            .hint("it is neither a program for this machine nor a script that begins with #!"),
        None => Failure::new(format_args!("command {program:?}: {said}")),
    };
    failure.exit(NOT_EXECUTABLE).into()
}

fn c_strings(strings: &[OsString]) -> Result<Vec<CString>> {
    strings.iter().map(|string| c_string(string)).collect()
}

fn c_string(string: &OsStr) -> Result<CString> {
    CString::new(string.to_os_string().into_vec()).map_err(|_| {
        Failure::new(format_args!("{string:?}: contains a NUL byte")).into()
    })
}
