//! g. The commands of an OCI runtime, among sleeping containers.

use std::path::Path;

use anyhow::{Context, Result};

use crate::contestant::unique;
use crate::peer::Peer;
use crate::peer::oci::Runtime;
use crate::report::Table;
use crate::session::Session;
use crate::start::{Ending, Measured, run_to_end};
use crate::stats::{Samples, shuffle};

const SLEEP: [&str; 2] = ["sleep", "1000000"];
const TRUE: [&str; 1] = ["true"];

/// The quantities: one table each.
const TITLES: [&str; 4] = [
    "run of true, milliseconds",
    "create + start + delete of true, milliseconds",
    "exec of true, milliseconds",
    "peak memory of run, KiB",
];

/// Rounds that are not counted, in which caches fill.
const WARM_UP: usize = 2;

/// Measures one life of a container with each runtime, then the next round in another
/// order, among so many sleeping containers of each runtime.
///
/// # Errors
/// When a command fails. All containers are removed then, too.
pub fn measure(
    session: &Session,
    runtimes: &[&Runtime],
    sizes: &[usize],
    rounds: usize,
) -> Result<Vec<Table>> {
    let columns = sizes.iter().flat_map(|size| [format!("among {size}"), "min".into()]);
    let columns: Vec<String> = columns.collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut tables = TITLES.map(|title| Table::new('g', title, &columns));
    for table in &mut tables {
        table.compared = Some(0);
        let names = runtimes.iter().map(|it| it.name().to_string());
        table.rows = names.map(|name| (name, Vec::new())).collect();
    }
    let mut crowds: Vec<_> = runtimes.iter().map(|it| Crowd::of(it)).collect();
    for size in sizes {
        for crowd in &mut crowds {
            crowd.grow(session, (*size).max(1))?;
        }
        let mut samples = vec![[(); 4].map(|()| Samples::default()); crowds.len()];
        for round in 0..WARM_UP + rounds {
            let mut order: Vec<usize> = (0..crowds.len()).collect();
            shuffle(&mut order, round as u64);
            for who in order {
                session.check_interrupt()?;
                let crowd = &crowds[who];
                let name = || crowd.runtime.name().to_string();
                let life = crowd.live().with_context(name)?;
                if round >= WARM_UP {
                    let all = samples[who].iter_mut().zip(life);
                    all.for_each(|(samples, value)| samples.push(value));
                }
            }
        }
        for (who, samples) in samples.iter().enumerate() {
            for (table, samples) in tables.iter_mut().zip(samples) {
                table.rows[who].1.extend([samples.median(), samples.min()]);
            }
        }
    }
    tables[3].notes.push(format!("{rounds} rounds, each runtime in random order"));
    tables[3].notes.push(
        "medians and minima; each runtime among its own containers; the time between start and delete, in \
         which true runs, is not counted"
            .into(),
    );
    Ok(tables.into())
}

/// Sleeping containers of a runtime. When this is dropped, they are removed.
struct Crowd<'a> {
    runtime: &'a Runtime<'a>,
    ids: Vec<String>,
}

impl<'a> Crowd<'a> {
    fn of(runtime: &'a Runtime<'a>) -> Self {
        Crowd { runtime, ids: Vec::new() }
    }

    /// Starts containers until there are `size`.
    fn grow(&mut self, session: &Session, size: usize) -> Result<()> {
        while self.ids.len() < size {
            session.check_interrupt()?;
            let id = unique();
            self.ids.push(id.clone());
            let bundle = self.runtime.confined_bundle(&id, &SLEEP)?;
            let mut run = self.runtime.verb("run");
            run.arg("--detach").arg("--bundle").arg(bundle).arg(&id);
            run_to_end(&mut run).with_context(|| {
                let count = self.ids.len() - 1;
                format!("{}: start one beside {count} others", self.runtime.name())
            })?;
        }
        Ok(())
    }

    /// Measures [`TITLES`] once.
    fn live(&self) -> Result<[f64; 4]> {
        let run = self.with_container(|bundle, id| {
            let mut run = self.runtime.verb("run");
            run_to_end(run.arg("--bundle").arg(bundle).arg(id))
        })?;
        let life = self.with_container(|bundle, id| {
            let pid_file = bundle.join("pid");
            let mut create = self.runtime.verb("create");
            create.arg("--bundle").arg(bundle).arg("--pid-file").arg(&pid_file);
            let create = run_to_end(create.arg(id))?;
            let ending = Ending::of(&pid_file)?;
            let start = run_to_end(self.runtime.verb("start").arg(id))?;
            ending.wait()?;
            let delete = run_to_end(self.runtime.verb("delete").arg(id))?;
            Ok([create, start, delete])
        })?;
        let exec = run_to_end(self.runtime.verb("exec").arg(&self.ids[0]).args(TRUE))?;
        let life = life.iter().map(milliseconds).sum();
        Ok([milliseconds(&run), life, milliseconds(&exec), run.peak_kib as f64])
    }

    /// Makes a bundle of `true` for `use_it`. If that fails, removes the container.
    fn with_container<T>(
        &self,
        use_it: impl FnOnce(&Path, &str) -> Result<T>,
    ) -> Result<T> {
        let id = unique();
        let bundle = self.runtime.confined_bundle(&id, &TRUE)?;
        use_it(&bundle, &id).inspect_err(|_| self.runtime.delete(&id))
    }
}

fn milliseconds(measured: &Measured) -> f64 {
    measured.time.as_secs_f64() * 1e3
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| self.runtime.delete(id));
    }
}
