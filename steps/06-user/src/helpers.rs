//! newuidmap(1) and newgidmap(1): set-user-ID programs of the host. They write a map
//! for a caller who may not write it, if /etc/subuid and /etc/subgid give the caller
//! these ids.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use kit::Hint;
use kit::interrupt;
use nix::unistd::Pid;

use crate::id_map::IdMap;

const NEWUIDMAP: &str = "newuidmap";
const NEWGIDMAP: &str = "newgidmap";

/// The paths of both programs, as far as they are installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helpers {
    newuidmap: Option<PathBuf>,
    newgidmap: Option<PathBuf>,
}

impl Helpers {
    /// Finds them in the directories of `path`, which is the value of `$PATH`.
    pub fn find(path: &OsStr) -> Self {
        let find = |name| kit::find_program(path, name);
        Helpers { newuidmap: find(NEWUIDMAP), newgidmap: find(NEWGIDMAP) }
    }

    /// The name of the program that is not installed, if one of them is not.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let programs = [(NEWUIDMAP, &self.newuidmap), (NEWGIDMAP, &self.newgidmap)];
        let missing = programs.into_iter().find(|(_, program)| program.is_none());
        missing.map(|(name, _)| name)
    }

    /// Has them write both maps of a process.
    pub(crate) fn write(&self, process: Pid, uids: &IdMap, gids: &IdMap) -> Result<()> {
        write(NEWUIDMAP, self.newuidmap.as_ref(), process, uids)?;
        write(NEWGIDMAP, self.newgidmap.as_ref(), process, gids)
    }
}

fn write(
    name: &str,
    program: Option<&PathBuf>,
    process: Pid,
    map: &IdMap,
) -> Result<()> {
    let numbers: Vec<String> = map
        .ranges()
        .iter()
        .flat_map(|range| [range.inside, range.outside, range.size])
        .map(|number| number.to_string())
        .collect();
    let mut message = String::new();
    let run = || {
        let program = program.ok_or(io::Error::other("not found in PATH"))?;
        let mut command = Command::new(program);
        let output =
            interrupt::output(command.arg(process.to_string()).args(&numbers))?;
        message = String::from_utf8_lossy(&output.stderr).trim().to_string();
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(output.status.to_string()))
        }
    };
    let operands = format_args!("{process}, {map}");
    let why = "a set-user-ID helper: it checks, and writes the map";
    let written = kit::call(why, name, operands, run);
    match program {
        None => written.hint("install the package uidmap"),
        Some(_) if message.is_empty() => written,
        Some(_) => written.hint(message),
    }
}
