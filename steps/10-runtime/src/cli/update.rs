//! `update`: changes the limits of a container.

mod merge;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use cgroups::Cgroup;
use kit::{
    Context, Durability, ExplainArgs, Failure, FailureKind, Hint, Id, Result, Size,
};
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::plan::resources;
use crate::state::{Container, Status, not_running};

/// The longest document of resources that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The file in the directory of a container with the resources of the last update.
const RESOURCES: &str = "resources.json";

#[derive(clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    explain: ExplainArgs,
    /// Read the limits from a file of JSON, or from the standard input (-); no other
    /// option of limits counts then
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    #[command(flatten)]
    limits: Limits,
    /// The container
    id: Id,
}

#[derive(clap::Args)]
struct Limits {
    /// Memory limit (512m; -1 for no limit)
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    memory: Option<i64>,
    /// Memory and swap together (-1 for no limit)
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    memory_swap: Option<i64>,
    /// Memory that is reclaimed last when the host runs short
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    memory_reservation: Option<i64>,
    /// Accepted as runc does, without effect: Linux has no such limit any more
    #[arg(long, hide = true, value_name = "SIZE")]
    kernel_memory: Option<String>,
    /// The same for TCP buffers
    #[arg(long, hide = true, value_name = "SIZE")]
    kernel_memory_tcp: Option<String>,
    /// CPU time in each period, in microseconds (-1 for no limit)
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Period of --cpu-quota, in microseconds
    #[arg(long, value_name = "TIME")]
    cpu_period: Option<u64>,
    /// Unused CPU time that a later period may use, too, in microseconds
    #[arg(long, value_name = "TIME")]
    cpu_burst: Option<u64>,
    /// Share of CPU time when there is not enough for all (2 to 262144)
    #[arg(long, value_name = "SHARES", alias = "cpu-shares")]
    cpu_share: Option<u64>,
    /// 1: it runs only when no other wants to
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// Period of real-time scheduling, in microseconds (cgroup v1)
    #[arg(long, value_name = "TIME")]
    cpu_rt_period: Option<u64>,
    /// Real-time scheduling in each period, in microseconds (cgroup v1)
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPUs on which it may run (0-2,5)
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that it may use (0-1)
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Limit of processes and threads (-1 for no limit)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Share of block I/O when there is not enough for all (10 to 1000)
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
}

impl Update {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        self.explain.start();
        let (container, run_dir) = Container::lock(&global.root(), &self.id)?;
        if matches!(container.status()?, Status::Stopped | Status::Creating) {
            return Err(not_running());
        }
        let asked = self.asked()?;
        let merged = merge::merge(before(&container)?, &asked);
        let resources = parse(merged.clone())
            .with_context(|| format!("the resources of container {}", self.id))?;
        container.require_cgroup()?;
        Cgroup::update_at(&container.state.cgroup, &resources::limits(&resources)?)?;
        let path = container.directory.join(RESOURCES);
        kit::write_atomically(
            &path,
            merged.to_string().as_bytes(),
            0o600,
            Durability::Kill,
        )
        .with_context(|| format!("write {}", path.display()))?;
        run_dir.leave();
        Ok(ExitCode::SUCCESS)
    }

    fn asked(&self) -> Result<Value> {
        let Some(path) = &self.resources else { return Ok(self.limits.to_json()) };
        let name = path.display();
        let text = match path.as_os_str() == "-" {
            true => {
                let mut text = Vec::new();
                let mut input = std::io::stdin().lock().take(LONGEST);
                input.read_to_end(&mut text).context("read the standard input")?;
                text
            }
            false => kit::read_document(path, LONGEST)
                .with_context(|| format!("read {name}"))?,
        };
        let value: Value = serde_json::from_slice(&text)
            .with_context(|| format!("{name}: no JSON"))
            .hint("it is an object as linux.resources of config.json")?;
        parse(value.clone()).with_context(|| format!("{name}: no resources"))?;
        Ok(value)
    }
}

impl Limits {
    /// Returns the options as `linux.resources` of config.json.
    fn to_json(&self) -> Value {
        let object = |pairs: Vec<(&str, Option<Value>)>| {
            let set = pairs.into_iter().filter_map(|(key, it)| Some((key.into(), it?)));
            Value::Object(set.collect::<Map<_, _>>())
        };
        json!({
            "memory": object(vec![
                ("limit", self.memory.map(Value::from)),
                ("swap", self.memory_swap.map(Value::from)),
                ("reservation", self.memory_reservation.map(Value::from)),
            ]),
            "cpu": object(vec![
                ("quota", self.cpu_quota.map(Value::from)),
                ("period", self.cpu_period.map(Value::from)),
                ("burst", self.cpu_burst.map(Value::from)),
                ("shares", self.cpu_share.map(Value::from)),
                ("idle", self.cpu_idle.map(Value::from)),
                ("realtimePeriod", self.cpu_rt_period.map(Value::from)),
                ("realtimeRuntime", self.cpu_rt_runtime.map(Value::from)),
                ("cpus", self.cpuset_cpus.clone().map(Value::from)),
                ("mems", self.cpuset_mems.clone().map(Value::from)),
            ]),
            "pids": object(vec![("limit", self.pids_limit.map(Value::from))]),
            "blockIO": object(vec![("weight", self.blkio_weight.map(Value::from))]),
        })
    }
}

/// Returns the resources of the last update, or of config.json.
fn before(container: &Container) -> Result<Value> {
    let path = container.directory.join(RESOURCES);
    let text = kit::if_exists(kit::read_document(&path, LONGEST))
        .with_context(|| format!("read {}", path.display()))?;
    if let Some(text) = text {
        return serde_json::from_slice(&text)
            .with_context(|| path.display().to_string());
    }
    let linux = container.config()?.linux;
    let resources = linux.as_ref().and_then(|it| it.resources().clone());
    Ok(serde_json::to_value(resources.unwrap_or_default())?)
}

fn parse(value: Value) -> Result<LinuxResources> {
    serde_json::from_value(value)
        .map_err(|error| Failure::new(error).with_kind(FailureKind::Usage).into())
}

fn size(text: &str) -> Result<i64, String> {
    match text {
        "-1" => Ok(-1),
        text => {
            let Size(bytes) = text.parse()?;
            i64::try_from(bytes).map_err(|_| format!("{text} is too much"))
        }
    }
}
