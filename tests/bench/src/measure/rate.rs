//! c. Starts a second, with several at once.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::contestant::{Contestant, MEMORY};
use crate::peer::Pace;
use crate::report::Table;
use crate::session::Session;

const AT_ONCE: [usize; 4] = [1, 2, 4, 8];

/// The number of rounds. The starts are divided among them, so that a busy moment of
/// the host affects all contestants.
const ROUNDS: usize = 5;

/// Measures the rate of starts.
///
/// # Errors
/// When a start fails.
pub fn measure(
    session: &Session,
    contestants: &[Contestant],
    starts: usize,
) -> Result<Table> {
    let columns = AT_ONCE.map(|threads| format!("{threads} at once"));
    let mut table =
        Table::new('c', "starts a second", &columns.each_ref().map(String::as_str));
    let starts_per_round = |contestant: &Contestant| match contestant.peer.pace() {
        Pace::Runtime => starts.div_ceil(ROUNDS),
        Pace::Engine => starts.div_ceil(ROUNDS * 10),
    };
    let mut seconds = vec![[0.0; AT_ONCE.len()]; contestants.len()];
    for _ in 0..ROUNDS {
        for (column, threads) in AT_ONCE.iter().enumerate() {
            for (who, contestant) in contestants.iter().enumerate() {
                seconds[who][column] +=
                    time(session, contestant, *threads, starts_per_round(contestant))?;
            }
        }
    }
    for (contestant, seconds) in contestants.iter().zip(seconds) {
        let rate = |(seconds, threads): (f64, usize)| {
            Some(
                (ROUNDS * starts_per_round(contestant).div_ceil(threads) * threads)
                    as f64
                    / seconds,
            )
        };
        table.rows.push((
            contestant.label(),
            seconds.into_iter().zip(AT_ONCE).map(rate).collect(),
        ));
    }
    table.compared = Some(0);
    table.notes.push(
        "more is better: above 1, Kiste is faster; compared with one at once".into(),
    );
    Ok(table)
}

/// Measures the seconds for this number of starts, divided among threads.
fn time(
    session: &Session,
    contestant: &Contestant,
    threads: usize,
    starts: usize,
) -> Result<f64> {
    let begin = Instant::now();
    let work = || -> Result<()> {
        for _ in 0..starts.div_ceil(threads) {
            session.check_interrupt()?;
            contestant.start_true(MEMORY)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|it| {
            it.join().ok().context("a thread of the bench failed")?
        })
    })?;
    Ok(begin.elapsed().as_secs_f64())
}
