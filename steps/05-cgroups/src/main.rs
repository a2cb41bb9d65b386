//! Step 5: a container that can use so much and no more.

mod lesson;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use cgroups::Cgroup;
use clap::Parser;
use exec::{CommandArgs, Job, Spawn};
use kit::{DoctorArgs, ExplainArgs, Id, RunDir, RunDirArgs, doctor, program};
use mount::{MissingTarget, mount_all};
use pivot_root::{Root, TerminalArgs};

use crate::lesson::LESSON;

/// Step 5 of Kiste: limits of its own
///
/// cgroups: the command can use so much memory, CPU time and processes, and no more.
#[derive(Parser)]
#[command(name = env!("CARGO_BIN_NAME"), version, styles = kit::styles())]
enum Cli {
    /// Run a command and exit with its status
    Run(Run),
    /// Check what this step needs from the kernel and the host
    Doctor(DoctorArgs),
    /// Remove the containers that runs killed with -9 have left behind
    Gc(RunDirArgs),
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    explain: ExplainArgs,
    #[command(flatten)]
    uts: uts::Args,
    #[command(flatten)]
    pid: pid::Args,
    #[command(flatten)]
    mount: mount::Args,
    #[command(flatten)]
    root: pivot_root::Args,
    #[command(flatten)]
    terminal: TerminalArgs,
    #[command(flatten)]
    run_dirs: RunDirArgs,
    #[command(flatten)]
    command: CommandArgs,
    // Last: its heading in --help is above all options that follow.
    #[command(flatten)]
    cgroup: cgroups::Args,
}

fn main() -> ExitCode {
    program::main(|| {
        mount::run_read_only()?;
        match LESSON.parse() {
            Cli::Run(args) => run(&args),
            Cli::Gc(args) => cgroups::gc_command(&args),
            Cli::Doctor(args) => doctor::run(
                args.format(),
                &[doctor::basics(), pivot_root::checks(), cgroups::doctor()].concat(),
            ),
        }
    })
}

// ANCHOR: run
fn run(args: &Run) -> kit::Result<ExitCode> {
    args.explain.start();
    let limits = args.cgroup.limits()?;
    let id = Id::random()?;
    let names = args.uts.names(&id);
    let pid_1 = args.pid.pid_1();
    let terminal = args.terminal.plan()?;
    let command = args
        .command
        .with_hostname(&names.hostname)
        .with_defaults(terminal.environment());
    let pid_file = args.command.pid_file()?;
    let mounts = args.mount.requests()?;
    let mounts = pivot_root::with_workdir(mounts, args.command.workdir());
    let (rootfs, shm) = (args.root.rootfs(), args.root.shm_size());

    let run_dir = RunDir::create(&args.run_dirs.parent(), &id)?;
    cgroups::gc_before_run(&run_dir);
    // 05: its limits
    let cgroup = Cgroup::create(&args.cgroup.placement(&id), &limits, &run_dir)?;
    let started = Instant::now();

    let namespaces = uts::NAMESPACE | pid::NAMESPACES | mount::NAMESPACE;
    let mut child = Spawn::new(namespaces)
        .job(Job::Session)
        .into_cgroup(cgroup.as_fd()) // 05: v2: the child starts in it
        .before_start(|child| cgroups::note_first_process(&run_dir, child)) // 05: gc
        .spawn(|parent| {
            cgroup.enter()?; // 05: v1: enters it here
            cgroups::unshare_namespace()?; // 05: its view of cgroups
            uts::set_names(&names)?; // 01: its host name
            mount::bind_propagating(&mounts)?; // 03: with :rslave
            args.mount.propagation.isolate()?; // 03: later mounts stay inside
            let root = Root::open(&rootfs, &mounts)?; // 04: its /
            pivot_root::mount_defaults(root.as_fd(), shm)?; // 04: /proc, /sys, /dev
            cgroup.show_in(root.as_fd())?; // 05: /sys/fs/cgroup
            mount_all(root.as_fd(), &mounts, MissingTarget::Create)?; // 03: its mounts
            terminal.open(root.as_fd(), parent)?; // 04: its own terminal
            root.enter()?; // 04: the host's files are gone
            args.mount.propagation.share()?;
            pid::become_command(&command, pid_1, parent) // 02: becomes the command
        })
        .or_else(|error| cgroup.add_oom_hint(error))?; // 05: out of memory?

    let _pid_file = pid_file.write(&child)?;
    let mut relay = terminal.relay(child.descriptor())?;
    let status = child.wait_at(&mut relay)?;
    args.cgroup.report(&cgroup, started.elapsed());
    cgroup.remove_or_keep(run_dir);
    Ok(status.into())
}
// ANCHOR_END: run
