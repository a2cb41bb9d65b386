//! a. The time from start to exit of `true`.

use anyhow::Result;

use super::crowd::Crowd;
use crate::contestant::{Contestant, MEMORY};
use crate::report::Table;
use crate::session::Session;
use crate::stats::{Samples, shuffle};

/// Rounds that are not counted, in which caches fill.
const WARM_UP: usize = 2;

/// Measures one start of each contestant, then the next round in another order.
///
/// # Errors
/// When a start fails.
pub fn measure(
    session: &Session,
    contestants: &[Contestant],
    rounds: usize,
) -> Result<Table> {
    // With one container of each runtime, the parent cgroup for its containers exists
    // already, as on a host in use.
    let mut neighbours: Vec<Crowd> = contestants.iter().map(Crowd::of).collect();
    for (neighbour, contestant) in neighbours.iter_mut().zip(contestants) {
        neighbour.grow(session, contestant, 1)?;
    }
    let mut samples = vec![Samples::default(); contestants.len()];
    for _ in 0..WARM_UP {
        run_round(session, contestants, 0, |_, _| {})?;
    }
    for round in 0..rounds {
        run_round(session, contestants, round, |who, milliseconds| {
            samples[who].push(milliseconds)
        })?;
    }
    let mut table = Table::new(
        'a',
        "start to exit of true, milliseconds",
        &["min", "median", "p99"],
    );
    for (contestant, samples) in contestants.iter().zip(samples) {
        let cells = vec![samples.min(), samples.median(), samples.percentile(0.99)];
        table.rows.push((contestant.label(), cells));
    }
    table.compared = Some(1);
    table.notes.push(format!(
        "{rounds} rounds, one start each in random order; engines in every tenth"
    ));
    table.notes.push("beside one sleeping container of each runtime".into());
    Ok(table)
}

fn run_round(
    session: &Session,
    contestants: &[Contestant],
    round: usize,
    mut count: impl FnMut(usize, f64),
) -> Result<()> {
    let mut order: Vec<usize> = (0..contestants.len())
        .filter(|who| contestants[*who].is_in_round(round))
        .collect();
    shuffle(&mut order, round as u64);
    for who in order {
        session.check_interrupt()?;
        count(who, contestants[who].start_true(MEMORY)?.time.as_secs_f64() * 1e3);
    }
    Ok(())
}
