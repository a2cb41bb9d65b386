//! The files in /proc of a process that hold the id maps of its user namespace:
//! user_namespaces(7).

use std::fs::File;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::id_map::IdMap;

/// Opens the user namespace of a process.
///
/// # Errors
/// The kernel's, from open(2).
pub fn open_namespace(child: Pid) -> Result<File> {
    let path = format!("/proc/{child}/ns/user");
    kit::call("its id maps, for an idmapped mount", "open", &path, || File::open(&path))
        .hint_on(Errno::ENOENT, "the process has ended, or /proc is not mounted")
}

pub(crate) fn write_both(child: Pid, uids: &IdMap, gids: &IdMap) -> Result<()> {
    write(child, "uid_map", &uids.lines())?;
    write(child, "gid_map", &gids.lines())
}

pub(crate) fn write(child: Pid, file: &str, text: &str) -> Result<()> {
    let why = match file {
        "setgroups" => "an ordinary user's gid_map needs it",
        "uid_map" => "map its user ids",
        _ => "map its group ids",
    };
    let path = format!("/proc/{child}/{file}");
    let operands = format!("{path}, {}", text.trim_end().replace('\n', "; "));
    kit::call(why, "write", operands, || std::fs::write(&path, text)).hint_on(
        Errno::EPERM,
        "`doctor` of this step says what forbids user namespaces here",
    )
}
