//! Uses the library of step 5 without a command line: starts a container with all
//! limits, and finds each limit in the kernel's files.
//!
//! clone3(2) copies only the calling thread, so a process that starts containers has
//! one thread. A test harness has several, so this test has no harness.

#[allow(dead_code, reason = "the other tests of step 5 use the rest")]
#[path = "05_cgroups/kernel.rs"]
mod kernel;

use cgroups::{BlkioWeight, Cgroup, CpuShares, Cpus, Limits, Max, Placement, Swap};
use exec::{CloneFlags, Command, Spawn};
use kiste_tests::{Fixture, host, step};
use kit::{Id, RunDir};

fn main() -> kit::Result<()> {
    let needs = ["root", "cgroup-cpuset", "cgroup-swap", "cgroup-blkio-weight"];
    let fixture = Fixture::of(step!("05-cgroups"), &needs);
    if let Some(fixture) = fixture.filter(|fixture| fixture.step().is_ours()) {
        a_container_with_all_limits_starts_without_a_command_line(&fixture)?;
        println!("a_container_with_all_limits_starts_without_a_command_line: ok");
        a_container_is_found_by_its_path_and_killed(&fixture)?;
        println!("a_container_is_found_by_its_path_and_killed: ok");
    }
    Ok(())
}

fn a_container_with_all_limits_starts_without_a_command_line(
    fixture: &Fixture,
) -> kit::Result<()> {
    // The limits are data. A command line or a config.json can make them as well.
    let limits = Limits {
        memory: Some(Max::At(64 << 20)),
        swap: Some(Swap::Asked(Max::At(96 << 20))),
        memory_reservation: Some(Max::At(32 << 20)),
        cpus: Some(Cpus { quota: Max::At(50_000), period: 100_000 }),
        cpu_shares: Some(CpuShares(512)),
        cpuset_cpus: "0".parse().ok(),
        pids: Some(Max::At(20)),
        blkio_weight: Some(BlkioWeight(1000)),
        ..Limits::default()
    };
    // The run directory shows that the container is alive. The cgroup is made after it.
    let placement = placement(fixture)?;
    let run_dir = RunDir::create(&fixture.run_dirs(), &placement.id)?;
    let cgroup = Cgroup::create(&placement, &limits, &run_dir)?;
    // On version 2 clone3(2) creates the child in the cgroup. On version 1 the child
    // enters it.
    let spawn = Spawn::new(CloneFlags::CLONE_NEWPID).into_cgroup(cgroup.as_fd());
    let child = spawn.spawn(|parent| {
        cgroup.enter()?;
        cgroups::unshare_namespace()?;
        exec::become_command(&sleep(), parent)
    })?;
    assert_the_kernel_has_these_limits(child.pid().as_raw());
    cgroup.kill()?;
    assert_eq!(child.wait()?.code(), 128 + 9);
    cgroup.remove()
}

fn a_container_is_found_by_its_path_and_killed(fixture: &Fixture) -> kit::Result<()> {
    let placement = placement(fixture)?;
    let run_dir = RunDir::create(&fixture.run_dirs(), &placement.id)?;
    let cgroup = Cgroup::create(&placement, &Limits::default(), &run_dir)?;
    let spawn = Spawn::new(CloneFlags::CLONE_NEWPID).into_cgroup(cgroup.as_fd());
    let child = spawn.spawn(|parent| {
        cgroup.enter()?;
        exec::become_command(&sleep(), parent)
    })?;
    cgroup.keep();

    // As in another program, only the path is known.
    let path = placement.parent.as_path().join(placement.id.as_str());
    let cgroup = Cgroup::find(&path)?;
    cgroup.kill()?;
    assert_eq!(child.wait()?.code(), 128 + 9);
    drop(cgroup);
    assert!(
        Cgroup::find(&path).is_ok(),
        "dropping a cgroup that `find` returned does not remove it"
    );
    Cgroup::find(&path)?.remove()?;
    assert!(Cgroup::find(&path).is_err());
    Ok(())
}

fn placement(fixture: &Fixture) -> kit::Result<Placement> {
    let parent = fixture.cgroup_parent().parse().expect("a plain name");
    Ok(Placement { parent, id: Id::random()?, session_bus: None })
}

fn sleep() -> Command {
    let argv = vec!["sleep".into(), "100".into()];
    Command { argv, env: vec!["PATH=/usr/bin:/bin".into()], ..Command::default() }
}

/// Compares each limit with the files of the cgroup that the process is in.
fn assert_the_kernel_has_these_limits(pid: i32) {
    assert_eq!(kernel::memory(pid), (64 << 20).to_string());
    assert_eq!(kernel::memory_and_swap(pid), (96 << 20).to_string());
    assert_eq!(kernel::reservation(pid), (32 << 20).to_string());
    assert_eq!(kernel::cpus(pid), "50000 100000");
    assert_eq!(kernel::cpu_share(pid), kernel::by_version("59", "512"));
    assert_eq!(kernel::value(pid, "cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(kernel::value(pid, "pids.max", "pids.max"), "20");
    let is_bfq = host::cgroup_file(pid, "io.bfq.weight").is_some();
    let weight = if is_bfq { "1000" } else { "10000" };
    assert_eq!(kernel::io_share(pid), kernel::by_version(weight, "1000"));
}
