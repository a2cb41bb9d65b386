//! b. Memory: of the runtime at its peak, and the least in which a container still
//! starts.

use anyhow::{Context, Result};

use crate::contestant::{Contestant, MEMORY};
use crate::report::Table;
use crate::session::Session;
use crate::stats::Samples;
use crate::sys;

/// How exactly the smallest limit is searched for, in bytes.
const STEP: u64 = 64 << 10;

/// A limit counts when this many starts in a row come through.
const TRIES: usize = 3;

/// Measures both.
///
/// # Errors
/// When a start without a tight limit fails.
pub fn measure(
    session: &Session,
    contestants: &[Contestant],
    rounds: usize,
) -> Result<Table> {
    let mut table = Table::new('b', "memory, KiB", &["peak RSS", "smallest limit"]);
    for contestant in contestants {
        let mut peaks = Samples::default();
        for _ in (0..rounds.min(20)).filter(|round| contestant.is_in(*round)) {
            session.go_on()?;
            peaks.push(contestant.start_true(MEMORY)?.peak_kib as f64);
        }
        let smallest = match contestant.peer.limits() {
            true => Some(smallest_limit(session, contestant)? as f64 / 1024.0),
            false => None,
        };
        table.rows.push((contestant.label(), vec![peaks.median(), smallest]));
    }
    table.compared = Some(0);
    table.notes.push(format!(
        "peak RSS: ru_maxrss of wait4(2), the largest resident set of the runtime or of a process that it \
         waited for, pages of libraries included; {} KiB is what any program has that the bench starts",
        sys::least_peak_kib().context("clone a process")?
    ));
    table.notes.push(
        "smallest limit: of --memory, in steps of 64 KiB, at which three starts in a row come through".into(),
    );
    Ok(table)
}

/// Bisects: what starts at a limit starts at every higher one.
fn smallest_limit(session: &Session, contestant: &Contestant) -> Result<u64> {
    let (mut fails, mut starts) = (0, MEMORY / STEP);
    while starts - fails > 1 {
        let middle = fails + (starts - fails) / 2;
        match comes_through(session, contestant, middle * STEP)? {
            true => starts = middle,
            false => fails = middle,
        }
    }
    Ok(starts * STEP)
}

fn comes_through(
    session: &Session,
    contestant: &Contestant,
    limit: u64,
) -> Result<bool> {
    for _ in 0..TRIES {
        session.go_on()?;
        if contestant.start_true(limit).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
