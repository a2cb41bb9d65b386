//! f. The number of system calls of a start.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::contestant::{Contestant, unique};
use crate::host;
use crate::report::Table;
use crate::session::Session;
use crate::start;
use crate::stats::Samples;

/// The number of tries: a Go program does not make the same calls every time.
const TRIES: usize = 3;

/// Counts the calls. None without strace.
///
/// # Errors
/// When a start under strace fails.
pub fn measure(session: &Session, contestants: &[Contestant]) -> Result<Option<Table>> {
    let Some(strace) = host::find("strace") else { return Ok(None) };
    let mut table = Table::new('f', "system calls of a start", &["calls", "failed"]);
    let file = session.scratch().join("strace");
    for contestant in contestants {
        let (mut calls, mut errors) = (Samples::default(), Samples::default());
        for _ in 0..TRIES {
            session.check_interrupt()?;
            let mut command = Command::new(&strace);
            command.args(["-f", "-c", "-U", "calls,errors,syscall", "-o"]).arg(&file);
            let id = unique();
            let counted = start::run_to_end(&mut contestant.command_by(command, &id)?);
            if counted.is_err() {
                contestant.peer.remove(&id);
            }
            counted.with_context(|| format!("{} under strace", contestant.label()))?;
            let text =
                fs::read_to_string(&file).context("read the counts of strace")?;
            let (made, failed) = total(&text)?;
            calls.push(made);
            errors.push(failed);
        }
        table.rows.push((contestant.label(), vec![calls.median(), errors.median()]));
    }
    table.compared = Some(0);
    table.notes.push(
        "strace -f -c: the runtime, its children, and true itself; not a daemon".into(),
    );
    Ok(Some(table))
}

/// Reads the last line of strace's table: `942 57 total`, or `942 total`.
fn total(text: &str) -> Result<(f64, f64)> {
    let line = text
        .lines()
        .find(|line| line.trim_end().ends_with("total"))
        .context("strace counted nothing")?;
    let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(calls), errors) => Ok((calls, errors.unwrap_or(0.0))),
        _ => bail!("strace printed {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_the_total_with_or_without_errors() {
        let table = "calls errors syscall\n----- ------ -------\n   12      3 openat\n----- ------ -------\n  942     57 total\n";
        assert_eq!(total(table).unwrap(), (942.0, 57.0));
        assert_eq!(total("   7        total\n").unwrap(), (7.0, 0.0));
        assert!(total("").is_err());
    }
}
