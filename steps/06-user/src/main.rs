//! Step 6: a container whose root is an ordinary user outside, and which needs no root
//! to start.

mod lesson;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use cgroups::Cgroup;
use clap::Parser;
use exec::{CommandArgs, Job, Spawn};
use kit::{DoctorArgs, ExplainArgs, Id, RunDir, RunDirArgs, doctor, program};
use mount::{MissingTarget, mount_all};
use pivot_root::{RootView, TerminalArgs};

use crate::lesson::LESSON;

/// Step 6 of Kiste: users of its own
///
/// The user namespace: root inside is an ordinary user outside, and starting a container
/// needs no root.
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
    user: user::Args,
    #[command(flatten)]
    command: CommandArgs,
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
                &[
                    user::basics(),
                    pivot_root::checks(),
                    cgroups::doctor(),
                    user::checks(&user::helpers()),
                ]
                .concat(),
            ),
        }
    })
}

// ANCHOR: run
fn run(args: &Run) -> kit::Result<ExitCode> {
    args.explain.start();
    let limits = args.cgroup.limits()?;
    let id = Id::random()?;
    let ids = args.user.ids(&id)?; // 06: its user and group ids
    let names = args.uts.names(&id);
    let pid_1 = args.pid.pid_1();
    let pid_file = args.command.pid_file()?;
    let mounts = args.mount.requests()?;
    let mounts = pivot_root::with_workdir(mounts, args.command.workdir());
    let (rootfs, shm) = (args.root.rootfs(), args.root.shm_size());
    let terminal = args.terminal.plan()?;

    let run_dir = RunDir::create(&args.run_dirs.parent(), &id)?;
    cgroups::gc_before_run(&run_dir);
    let ids = ids.reserve(&run_dir)?; // 06: which no other container has
    // 05: its limits
    let cgroup = Cgroup::create(&args.cgroup.placement(&id), &limits, &run_dir)?;
    let started = Instant::now();

    ids.copy_sources(&mounts)?; // 06: those that only root reaches
    let view = ids.root_view(&rootfs)?;
    let namespaces =
        ids.namespace() | uts::NAMESPACE | pid::NAMESPACES | mount::NAMESPACE;
    let mut child = Spawn::new(namespaces)
        .job(Job::Session)
        .into_cgroup(cgroup.as_fd()) // 05: v2: the child starts in it
        .before_start(|child| {
            cgroups::note_first_process(&run_dir, child)?; // 05: for gc
            // 06: its ids outside
            ids.write(child, view.iter().map(RootView::detached))
        })
        .spawn(|parent| {
            cgroup.enter()?; // 05: v1: enters it here
            mount::bind_propagating(&mounts)?; // 03: with :rslave
            args.mount.propagation.isolate()?; // 03: later mounts stay inside
            mount::bind_sources(&mounts)?; // 03: as the caller reaches them
            let own_view = ids.root_view_in_child(&rootfs)?; // 04: in the same way
            ids.enter(parent)?; // 06: becomes root of its user namespace
            cgroups::unshare_namespace()?; // 05: its view of cgroups
            uts::set_names(&names)?; // 01: its host name
            // 04: its /
            let view = view.as_ref().or(own_view.as_ref());
            let root = user::open_root(view, &rootfs, &mounts)?;
            pivot_root::mount_defaults(root.as_fd(), shm)?; // 04: /proc, /sys, /dev
            cgroup.show_in(root.as_fd())?; // 05: /sys/fs/cgroup
            mount_all(root.as_fd(), &mounts, MissingTarget::Create)?; // 03: its mounts
            terminal.open(root.as_fd(), parent)?; // 04: its own terminal
            // 06: the user that the command runs as
            let account = ids.account(root.as_fd(), args.user.user())?;
            let command = args.command.at_home(&names.hostname, account.home());
            let command = command.with_defaults(terminal.environment());
            root.enter()?; // 04: the host's files are gone
            args.mount.propagation.share()?;
            let command = command.enter_workdir_early(); // 00: where only root may go
            ids.become_user(&account, parent)?; // 06: becomes that user
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
