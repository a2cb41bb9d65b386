//! newuidmap(1) and newgidmap(1): set-user-ID helpers of the host, which write a map
//! for a caller who may not, within what /etc/subuid and /etc/subgid lend to it.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use kit::Hint;
use nix::unistd::Pid;

use crate::ids::Map;

pub(crate) const NEWUIDMAP: &str = "newuidmap";
pub(crate) const NEWGIDMAP: &str = "newgidmap";

/// Where a helper is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Which of the two is not there.
pub(crate) fn missing() -> Option<&'static str> {
    [NEWUIDMAP, NEWGIDMAP].into_iter().find(|name| find(name).is_none())
}

/// How to get ranges.
pub(crate) fn mend(user: &str) -> String {
    format!(
        "for more, install the package uidmap, and as root: usermod --add-subuids 100000-165535 \
         --add-subgids 100000-165535 {user} (a range that /etc/subuid does not list yet)"
    )
}

/// Has `name` write `map` for the process.
pub(crate) fn write(name: &str, process: Pid, map: &Map) -> Result<()> {
    let numbers: Vec<String> = map
        .ranges()
        .iter()
        .flat_map(|range| [range.inside, range.outside, range.size])
        .map(|number| number.to_string())
        .collect();
    let mut said = String::new();
    let run = || {
        let program = find(name).ok_or(io::Error::other("not found in PATH"))?;
        let output =
            Command::new(program).arg(process.to_string()).args(&numbers).output()?;
        said = String::from_utf8_lossy(&output.stderr).trim().to_string();
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(output.status.to_string()))
        }
    };
    let operands = format_args!("{process}, {map}");
    kit::call(
        "a set-user-ID helper: it checks, and writes the map",
        name,
        operands,
        run,
    )
    .hint(if said.is_empty() { "install the package uidmap".into() } else { said })
}
