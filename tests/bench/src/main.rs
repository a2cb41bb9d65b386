//! A benchmark: the cost of a start of Kiste, compared with other runtimes and with
//! the minimum that the kernel needs.
//!
//! In reading order: [`session`] is the environment of one run, [`peer`] the runtimes
//! that can take part, [`contestant`] a runtime with its network, [`start`] a single
//! start with its time, [`measure`] the measurements, [`report`] and [`chart`] the
//! results.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use contestant::Contestant;
use measure::{crowd, kernel, life, memory, rate, start as starts, syscalls};
use peer::{Network, Pace};
use report::Report;
use session::Session;

mod chart;
mod contestant;
mod host;
mod measure;
mod peer;
mod report;
mod session;
mod start;
mod stats;
mod sys;

/// Measures Kiste beside the other installed runtimes, on the same root file system, in
/// one session
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The number of starts of each runtime
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Run only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LETTERS")]
    only: Vec<Part>,
    /// Compare only with these runtimes
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = peer::OTHERS)]
    against: Vec<String>,
    /// Kiste's programs; from 08 on also with a network namespace
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        default_value = "05-cgroups,08-network,10-runtime"
    )]
    steps: Vec<String>,
    /// The containers' network namespace; parts b, c and d use the first one
    #[arg(long, value_enum, value_delimiter = ',', default_value = "host,own")]
    network: Vec<NetworkArg>,
    /// The numbers of running containers in parts d and g
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NUMBERS",
        default_value = "1,100,500"
    )]
    crowd: Vec<usize>,
    /// The root file system of containers [default: $KISTE_ROOTFS, or ./rootfs]
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    /// Write a chart of part a to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// start to exit of true
    A,
    /// memory of the runtime
    B,
    /// starts a second
    C,
    /// among many containers
    D,
    /// the kernel's own cost
    E,
    /// system calls
    F,
    /// the commands of an OCI runtime
    G,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NetworkArg {
    Host,
    Own,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kiste-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "namespaces, mounts and cgroups need root: tests/bench/run uses sudo"
    );
    sys::catch_interrupts().context("sigaction")?;
    let load = host::load();
    let default_rootfs =
        || std::env::var_os("KISTE_ROOTFS").map_or("rootfs".into(), PathBuf::from);
    let session = Session::new(&cli.rootfs.clone().unwrap_or_else(default_rootfs))?;
    let peers = peer::find_all(&session, &cli.steps, &cli.against);
    let networks: Vec<Network> = cli.network.iter().map(|it| (*it).into()).collect();
    let all = Contestant::all(&session, &peers.present, &networks);
    let on_first_network = Contestant::all(&session, &peers.present, &networks[..1]);

    let runs = cli.runs as usize;
    let mut tables = Vec::new();
    for part in Part::value_variants()
        .iter()
        .filter(|part| cli.only.is_empty() || cli.only.contains(part))
    {
        eprintln!(
            "measuring {} …",
            part.to_possible_value().map_or(String::new(), |it| it.get_name().into())
        );
        match part {
            Part::A => tables.push(starts::measure(&session, &all, runs)?),
            Part::B => tables.push(memory::measure(&session, &on_first_network, runs)?),
            Part::C => tables.push(rate::measure(&session, &on_first_network, runs)?),
            Part::D => {
                let crowded: Vec<&Contestant> = on_first_network
                    .iter()
                    .filter(|it| cli.takes_part_in_d(it))
                    .collect();
                let reference =
                    on_first_network.iter().find(|it| it.peer.name() == "limit");
                tables.push(crowd::measure(
                    &session,
                    &crowded,
                    reference,
                    &cli.crowd,
                    runs.min(50),
                )?);
            }
            Part::E => tables.push(kernel::measure(&session, runs)?),
            Part::F => tables.extend(syscalls::measure(&session, &all)?),
            Part::G => {
                let runtimes: Vec<_> =
                    peers.present.iter().filter_map(|it| it.oci()).collect();
                tables.extend(life::measure(&session, &runtimes, &cli.crowd, runs)?);
            }
        }
    }
    let report = Report {
        host: host::described(),
        load: [load, host::load()],
        peers: peers
            .present
            .iter()
            .map(|it| [it.name().into(), it.version(), it.differs().into()])
            .collect(),
        missing: peers.missing.clone(),
        tables,
    };
    cli.print(&report)
}

impl Cli {
    /// Returns whether a contestant takes part in part d. An engine needs minutes to
    /// start hundreds of containers, so `--against` must name it.
    fn takes_part_in_d(&self, contestant: &Contestant) -> bool {
        let name = contestant.peer.name();
        contestant.peer.pace() == Pace::Runtime
            || self.against.iter().any(|it| it == name)
    }

    fn print(&self, report: &Report) -> Result<()> {
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(report)?),
            false => print!("{report}"),
        }
        let Some(file) = &self.svg else { return Ok(()) };
        let table = report.tables.iter().find(|table| table.letter == 'a');
        let table = table.context("--svg draws part a, and --only leaves it out")?;
        fs::write(file, chart::svg(table, &report.host))
            .with_context(|| format!("write {}", file.display()))
    }
}

impl From<NetworkArg> for Network {
    fn from(arg: NetworkArg) -> Self {
        match arg {
            NetworkArg::Host => Network::Host,
            NetworkArg::Own => Network::Own,
        }
    }
}
