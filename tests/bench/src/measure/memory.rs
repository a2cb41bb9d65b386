//! b. Memory: the runtime's peak, and the smallest limit with which a container still
//! starts.

use anyhow::{Context, Result};

use crate::contestant::{Contestant, MEMORY};
use crate::report::Table;
use crate::session::Session;
use crate::stats::Samples;
use crate::sys;

/// The precision of the smallest limit, in bytes.
const STEP: u64 = 64 << 10;

/// A limit suffices if this many starts in a row succeed.
const TRIES: usize = 3;

/// Measures the peak and the smallest limit.
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
        for _ in (0..rounds.min(20)).filter(|round| contestant.is_in_round(*round)) {
            session.check_interrupt()?;
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
         waited for, pages of libraries included; any program that the benchmark starts has {} KiB",
        sys::min_peak_kib().context("clone a process")?
    ));
    table.notes.push(
        "smallest limit: the least --memory, in steps of 64 KiB, with which three starts in a row succeed".into(),
    );
    Ok(table)
}

/// Bisects: a start that succeeds at a limit succeeds at every higher one.
fn smallest_limit(session: &Session, contestant: &Contestant) -> Result<u64> {
    let (mut fails, mut starts) = (0, MEMORY / STEP);
    while starts - fails > 1 {
        let middle = fails + (starts - fails) / 2;
        match starts_reliably(session, contestant, middle * STEP)? {
            true => starts = middle,
            false => fails = middle,
        }
    }
    Ok(starts * STEP)
}

fn starts_reliably(
    session: &Session,
    contestant: &Contestant,
    limit: u64,
) -> Result<bool> {
    for _ in 0..TRIES {
        session.check_interrupt()?;
        if contestant.start_true(limit).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
