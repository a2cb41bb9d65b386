//! d. A start among many running containers.

use anyhow::{Context, Result};

use crate::contestant::{Contestant, MEMORY, unique};
use crate::peer::Peer;
use crate::report::Table;
use crate::session::Session;
use crate::start::Sleeper;
use crate::stats::Samples;

const SLEEP: [&str; 3] = ["/bin/sh", "-c", "echo up; exec sleep 1000000"];

/// Sleeping containers. When this is dropped, they are ended and removed.
pub struct Crowd<'a> {
    peer: &'a dyn Peer,
    sleepers: Vec<(String, Sleeper)>,
}

/// Measures each contestant among its own containers. Starts of the `reference` at the
/// same time show how the host itself changes.
///
/// # Errors
/// When a start fails. All containers are removed then, too.
pub fn measure(
    session: &Session,
    contestants: &[&Contestant],
    reference: Option<&Contestant>,
    sizes: &[usize],
    rounds: usize,
) -> Result<Table> {
    let among = sizes.iter().map(|size| format!("among {size}"));
    let columns: Vec<String> = among.chain(["last : first".into()]).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(
        'd',
        "start to exit of true among sleeping containers, median, milliseconds",
        &columns,
    );
    for contestant in contestants {
        let mut crowd = Crowd::of(contestant);
        let (mut medians, mut reference_medians) = (Vec::new(), Vec::new());
        for size in sizes {
            crowd.grow(session, contestant, *size)?;
            let (mut times, mut reference_times) =
                (Samples::default(), Samples::default());
            for _ in 0..rounds {
                session.check_interrupt()?;
                times.push(contestant.start_true(MEMORY)?.time.as_secs_f64() * 1e3);
                if let Some(reference) = reference {
                    reference_times
                        .push(reference.start_true(MEMORY)?.time.as_secs_f64() * 1e3);
                }
            }
            medians.push(times.median());
            reference_medians.push(reference_times.median());
        }
        table.rows.push((contestant.label(), with_growth(medians)));
        if let Some(reference) =
            reference.filter(|reference| reference.label() != contestant.label())
        {
            table.rows.push((
                format!("  {} beside it", reference.label()),
                with_growth(reference_medians),
            ));
        }
    }
    table.compared = Some(sizes.len().saturating_sub(1));
    table.notes.push(
        "each among its own containers; compared in the largest crowd; flat is good"
            .into(),
    );
    Ok(table)
}

/// Adds the ratio of the last median to the first.
fn with_growth(mut medians: Vec<Option<f64>>) -> Vec<Option<f64>> {
    let first_and_last =
        medians.first().copied().flatten().zip(medians.last().copied().flatten());
    medians.push(first_and_last.map(|(first, last)| last / first));
    medians
}

impl<'a> Crowd<'a> {
    /// Creates an empty crowd.
    pub fn of(contestant: &Contestant<'a>) -> Self {
        Crowd { peer: contestant.peer, sleepers: Vec::new() }
    }

    /// Starts containers until there are `size`.
    ///
    /// # Errors
    /// When a container does not start.
    pub fn grow(
        &mut self,
        session: &Session,
        contestant: &Contestant,
        size: usize,
    ) -> Result<()> {
        while self.sleepers.len() < size {
            session.check_interrupt()?;
            let id = unique();
            let sleeper = Sleeper::start(&mut contestant.command(&id, MEMORY, &SLEEP)?);
            if sleeper.is_err() {
                self.peer.remove(&id);
            }
            let count = self.sleepers.len();
            let sleeper = sleeper.with_context(|| {
                format!("{}: start one beside {count} others", contestant.label())
            })?;
            self.sleepers.push((id, sleeper));
        }
        Ok(())
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        for (id, mut sleeper) in self.sleepers.drain(..) {
            self.peer.remove(&id);
            sleeper.end();
        }
    }
}
