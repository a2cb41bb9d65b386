//! The start of a container as its first process sees it. `outside` tells the other
//! half.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cgroups::Cgroup;
use exec::{BeforeExec, Channel, CloneFlags, Command, Gate};
use kit::Result;
use pid::Pid1;
use pivot_root::RootView;
use security::{Confinement, Sysctl};
use user::{Ids, User};

use crate::create_options::CreateOptions;
use crate::dumpable::hide_until_exec;
use crate::hooks::Point;
use crate::listener::Connection;
use crate::plan::{CgroupNamespace, Plan, Process};
use crate::state::{State, Status};

// ANCHOR: inside
/// Makes everything that the container sees, and becomes its command.
pub(crate) fn become_command(
    plan: &Plan,
    options: &CreateOptions<'_>,
    cgroup: &Cgroup,
    listener: Option<&Connection>,
    parent: &Channel,
) -> Result<Infallible> {
    let (namespaces, process) = (&plan.namespaces, &plan.process);
    let ids = &namespaces.ids;
    if !namespaces.need_intermediate() {
        cgroup.enter()?; // 05: v1: enters it here
    }
    let files = &plan.files;
    mount::bind_propagating(&files.mounts)?; // 03: that receive the host's later mounts
    files.propagation.isolate()?; // 03: later mounts stay inside
    mount::bind_sources(&files.mounts)?; // 03: as the caller reaches them
    let view = RootView::open_in_child(&files.rootfs)?; // 04: in the same way
    ids.enter_with(plan.keyring, parent)?; // 06: becomes root of its user namespace
    if namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
        network::turn_on_loopback()?; // 08: the engine makes its other links
    }
    if namespaces.cgroup == CgroupNamespace::New {
        cgroups::unshare_namespace()?; // 05: its view of cgroups
    }
    set_names(plan)?; // 01: its host name
    let root = files.open_root(&view)?; // 04: its /
    let later = files.mount(root.as_fd(), cgroup)?; // 04: its mounts and devices
    process.make_workdir(root.as_fd())?; // 04: where the command starts
    write_all(root.as_fd(), &plan.sysctls)?; // 09: settings of its namespaces
    // 09: what of the kernel it does not see or change
    security::make_read_only(root.as_fd(), &plan.readonly_paths)?;
    security::mask(root.as_fd(), &plan.masked_paths)?;
    process.terminal.open(root.as_fd(), parent)?; // 04: its own terminal
    if plan.hooks.has(&[Point::Prestart, Point::CreateRuntime]) {
        parent.sync()?; // the runtime's hooks
    }
    let state = plan.state(std::process::id() as i32); // as it is seen inside
    plan.hooks.run(Point::CreateContainer, &state.for_hook(Status::Creating))?;
    let home = ids.account(root.as_fd(), Some(&User::of_id(process.account.uid)))?;
    files.enter(root, later)?; // 04: the host's files are gone
    let hook_state = state.for_hook(Status::Created);
    let start_hooks = || plan.hooks.run(Point::StartContainer, &hook_state);
    let has_start_hooks = plan.hooks.has(&[Point::StartContainer]);
    let hooks = has_start_hooks.then_some(&start_hooks as &dyn Fn() -> Result<()>);
    let gate = options.gate.map_or(Gate::Parent, |fifo| Gate::Fifo(fifo.as_fd()));
    let (home, inherited, state) = (home.home(), &options.inherited, &state);
    let stage = FinalStage { ids, home, inherited, gate, hooks, listener, state };
    stage.become_command(process, parent)
}
// ANCHOR_END: inside

/// The final stage of a start, which `exec` has, too: from the container's root to the
/// user and the command.
pub(crate) struct FinalStage<'a> {
    /// The ids of the container.
    pub ids: &'a Ids,
    /// The home directory of the user.
    pub home: Option<&'a str>,
    /// The descriptors of the caller that the process inherits.
    pub inherited: &'a [BorrowedFd<'static>],
    /// The go-ahead for which it waits.
    pub gate: Gate<'a>,
    /// Runs the startContainer hooks. They are programs of the container, so they get no
    /// more rights than its command, and no descriptors: as in runc and crun, they run as
    /// its user, with its capabilities, no_new_privs and its seccomp filter. The
    /// specification says only when and where they run.
    pub hooks: Option<&'a dyn Fn() -> Result<()>>,
    /// The listener of its seccomp filter.
    pub listener: Option<&'a Connection>,
    /// The state of the container, as this process knows it.
    pub state: &'a State,
}

impl FinalStage<'_> {
    // ANCHOR: final-stage
    /// Becomes the user, gives up all rights but those of the process, and becomes its
    /// command.
    pub fn become_command(
        &self,
        process: &Process,
        parent: &Channel,
    ) -> Result<Infallible> {
        hide_until_exec()?;
        let command = process.command.clone().with_defaults(environment(self.home));
        let command = command.enter_workdir_early(); // 00: where only root may go
        process.scheduling.apply()?;
        process.attributes.apply()?; // 09: its labels and its limits
        let rights = &process.confinement;
        let (capabilities, _) = rights.capabilities.granted()?; // if we have them
        let rights = Confinement { capabilities, ..rights.clone() };
        rights.before_user_change()?; // 09: what no exec gives back
        self.ids.become_user(&process.account, parent)?; // 06: becomes that user
        rights.after_user_change()?; // 09: its capabilities
        hide_until_exec()?; // again: a change of user may undo it
        let message = self.listener.map(|it| it.message(self.state)).transpose()?;
        let on_load = |filter: OwnedFd| match (self.listener, &message) {
            (Some(listener), Some(message)) => listener.send(message, filter.as_fd()),
            _ => Ok(()),
        };
        let before_exec = BeforeExec {
            inherited: self.inherited.to_vec(),
            kept: self.listener.map(AsFd::as_fd).into_iter().collect(),
            gate: self.gate,
            // 09: and the filter
            confine: Some(&|| rights.confine_with_listener(on_load)),
            hooks: self.hooks,
        };
        // 02: becomes the command
        pid::become_command_after(&command, Pid1::Command, &before_exec, parent)
    }
    // ANCHOR_END: final-stage
}

fn write_all(root: BorrowedFd<'_>, sysctls: &[Sysctl]) -> Result<()> {
    sysctls.iter().try_for_each(|sysctl| sysctl.write(root))
}

fn set_names(plan: &Plan) -> Result<()> {
    match (&plan.hostname, &plan.domainname) {
        (Some(hostname), domainname) => {
            let (hostname, domainname) = (hostname.clone(), domainname.clone());
            uts::set_names(&uts::Names { hostname, domainname })
        }
        (None, Some(domainname)) => uts::set_domainname(domainname),
        (None, None) => Ok(()),
    }
}

/// Returns the variable that a command has although config.json does not set it.
fn environment(home: Option<&str>) -> Command {
    let env = home.map(|home| format!("HOME={home}").into()).into_iter().collect();
    Command { env, ..Command::default() }
}
