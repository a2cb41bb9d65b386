//! Step 9: a container that is fit for a program that one does not trust.

mod lesson;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use cgroups::Cgroup;
use exec::{BeforeExec, CommandArgs, Job, Spawn};
use image::Base;
use kit::{DoctorArgs, ExplainArgs, Id, RunDir, RunDirArgs, doctor, program};
use mount::{MissingTarget, mount_all};
use pivot_root::TerminalArgs;

use crate::lesson::LESSON;

/// Step 9 of Kiste: locked down
///
/// Capabilities, seccomp and masks: root inside may do what a container needs, and
/// nothing that reaches the host.
#[derive(clap::Parser)]
#[command(name = env!("CARGO_BIN_NAME"), version, styles = kit::styles())]
enum Cli {
    /// Run a command and exit with its status
    Run(Run),
    #[command(flatten)]
    Image(image::cli::ImageCommand),
    /// Check what this step needs from the kernel and the host
    Doctor(DoctorArgs),
    /// Create, list and remove networks
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Show a seccomp profile, or what it decides on a system call
    Show(security::cli::Show),
    /// Draw the host, its bridges and their containers
    ShowNetworks(network::DirArgs),
    /// Remove what killed runs have left behind, and what no image uses
    Gc(network::GcArgs),
    /// Answer DNS questions about the names of a network (started by `run`)
    #[command(hide = true)]
    DnsResponder(network::DnsResponderArgs),
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
    image: image::Args,
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
    #[command(flatten)]
    network: network::Args,
    #[command(flatten)]
    security: security::Args,
}

fn main() -> ExitCode {
    program::main(|| {
        mount::run_read_only()?;
        match LESSON.parse_as(image::command_line::<Cli>()) {
            Cli::Run(args) => run(&args),
            Cli::Image(command) => command.run(),
            Cli::Network(command) => command.run(),
            Cli::Show(args) => args.run(),
            Cli::ShowNetworks(args) => args.show(),
            Cli::Gc(args) => args.run(),
            Cli::DnsResponder(args) => args.run(),
            Cli::Doctor(args) => doctor::run(
                args.format(),
                &[
                    user::basics(),
                    pivot_root::checks(),
                    cgroups::doctor(),
                    user::checks(&user::helpers()),
                    image::checks(&std::env::temp_dir(), &user::helpers()),
                    network::checks(network::find_pasta().as_deref()),
                    security::checks(),
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
    let mounts = [network::mount_points(), args.mount.requests()?].concat();
    let mounts = pivot_root::with_workdir(mounts, args.command.workdir());
    let (rootfs, shm) = (args.root.rootfs(), args.root.shm_size());
    let image = args.image.plan()?; // 07: its image, if it has one
    let terminal = args.terminal.plan()?;
    let network = args.network.plan()?;
    let security = args.security.plan()?; // 09: what it may do

    let run_dir = RunDir::create(&args.run_dirs.parent(), &id)?;
    cgroups::gc_before_run(&run_dir);
    let ids = ids.reserve(&run_dir)?; // 06: which no other container has
    // 05: its limits
    let cgroup = Cgroup::create(&args.cgroup.placement(&id), &limits, &run_dir)?;
    cgroup.limit_devices(security.device_rules().as_ref())?; // 09: which devices
    // 08: its address, its ports, and the bridge
    let mut network = network::connect(&network, &id, &names.hostname, &run_dir)?;
    // 07: the directory or image that it is made of
    let base = Base::create(image.as_ref(), &rootfs, &mounts, &ids, &run_dir)?;
    ids.copy_sources(&mounts)?; // 06: those that only root reaches
    let started = Instant::now();

    // In one call: the others then belong to the new user namespace.
    let namespaces = ids.namespace()
        | network.namespace()
        | uts::NAMESPACE
        | pid::NAMESPACES
        | mount::NAMESPACE
        | security::time_namespace();
    security.check_sysctls(namespaces)?; // 09: settings of its own, none of the host
    let mut child = Spawn::new(namespaces)
        .job(Job::Session)
        .into_cgroup(cgroup.as_fd()) // 05: v2: the child starts in it
        .before_start(|child| {
            cgroups::note_first_process(&run_dir, child)?; // 05: for gc
            ids.write(child, base.views())?; // 06: its ids outside
            security.attributes.prepare(child)?; // 09: what only we can give it
            network.plug_in(child) // 08: a cable, from the bridge to it
        })
        .spawn(|parent| {
            cgroup.enter()?; // 05: v1: enters it here
            mount::bind_propagating(&mounts)?; // 03: with :rslave
            args.mount.propagation.isolate()?; // 03: later mounts stay inside
            mount::bind_sources(&mounts)?; // 03: as the caller reaches them
            base.open_in_child(&ids)?; // 07: the directory, in the same way
            ids.enter(parent)?; // 06: becomes root of its user namespace
            network.configure()?; // 08: its end of the cable
            cgroups::unshare_namespace()?; // 05: its view of cgroups
            uts::set_names(&names)?; // 01: its host name
            // 07: the layers, and 04: its /
            let root = base.mount(&mounts)?;
            pivot_root::mount_defaults(root.as_fd(), shm)?; // 04: /proc, /sys, /dev
            cgroup.show_in(root.as_fd())?; // 05: /sys/fs/cgroup
            network.mount_etc(root.as_fd())?; // 08: the names on its network
            mount_all(root.as_fd(), &mounts, MissingTarget::Create)?; // 03: its mounts
            security.protect(root.as_fd())?; // 09: the kernel's files
            terminal.open(root.as_fd(), parent)?; // 04: its own terminal
            // 06: the user that the command runs as
            let account = base.account(args.user.user(), root.as_fd(), &ids)?;
            // 09: and its other groups
            let account =
                ids.add_groups(account, root.as_fd(), args.security.groups())?;
            // 07: the image's program and variables, then those of every command
            let environment = exec::environment(&names.hostname, account.home());
            let command = base.command(args.command.plan())?.with_defaults(environment);
            let command = command.with_defaults(terminal.environment());
            root.enter()?; // 04: the host's files are gone
            args.mount.propagation.share()?;
            let command = command.enter_workdir_early(); // 00: where only root may go
            security.attributes.apply()?; // 09: its label and its limits
            // 09: the command's rights, and no program's more
            let confinement = security.confinement(account.uid)?;
            confinement.before_user_change()?;
            ids.become_user(&account, parent)?; // 06: becomes that user
            confinement.after_user_change()?; // 09: with its rights
            let confine = || confinement.confine(); // 09: the filter
            let before_exec =
                BeforeExec { confine: Some(&confine), ..BeforeExec::default() };
            // 02: becomes the command
            pid::become_command_after(&command, pid_1, &before_exec, parent)
        })
        .or_else(|error| cgroup.add_oom_hint(error)) // 05: out of memory?
        // 07: is the command the name of an image?
        .or_else(|error| base.add_image_hint(error, &args.command.plan()))?;
    child.set_stop_signal(base.stop_signal()); // 07: in place of SIGTERM

    let _pid_file = pid_file.write(&child)?;
    let mut relay = terminal.relay(child.descriptor())?;
    let status = child.wait_at(&mut network.watch(&mut relay))?; // 08: and its names
    args.cgroup.report(&cgroup, started.elapsed());
    network.undo_or_warn();
    let _run_dir = cgroup.remove_or_keep(run_dir); // 07: gc waits until we are done
    base.finish(&args.command.shown())?; // 07: kept as a layer, or removed
    Ok(status.into())
}
// ANCHOR_END: run
