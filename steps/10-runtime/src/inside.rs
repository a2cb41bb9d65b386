//! The start of a container as its first process sees it. `outside` tells the other
//! half.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::os::fd::AsFd;

use cgroups::Cgroup;
use exec::{BeforeExec, Channel, CloneFlags, Command, Gate};
use kit::{Result, Size};
use mount::{MissingTarget, Propagation, mount_all};
use pid::Pid1;
use pivot_root::RootView;
use user::User;

use crate::hooks::Point;
use crate::outside::{Way, hook_state};
use crate::plan::{CgroupNamespace, Plan};
use crate::state::{State, Status};

/// The size of /dev/shm.
const SHM: Size = Size(64 << 20);

// ANCHOR: inside
/// Makes everything that the container sees, and becomes its command.
pub(crate) fn become_command(
    plan: &Plan,
    way: &Way<'_>,
    cgroup: &Cgroup,
    state: &OnceCell<State>,
    parent: &Channel,
) -> Result<Infallible> {
    let (namespaces, process) = (&plan.namespaces, &plan.process);
    let ids = &namespaces.ids;
    if !namespaces.need_intermediate() {
        cgroup.enter()?; // 05: v1: enters it here
    }
    Propagation::Private.isolate()?; // 03: later mounts stay inside
    mount::bind_sources(&plan.mounts)?; // 03: as the caller reaches them
    let is_mapped = namespaces.has(CloneFlags::CLONE_NEWUSER);
    let view = is_mapped.then(|| RootView::open_in_child(&plan.rootfs)).transpose()?;
    ids.enter_with(plan.keyring, parent)?; // 06: becomes root of its user namespace
    if namespaces.cgroup == CgroupNamespace::New {
        cgroups::unshare_namespace()?; // 05: its view of cgroups
    }
    set_names(plan)?; // 01: its host name
    let root = user::open_root(view.as_ref(), &plan.rootfs, &plan.mounts)?; // 04: its /
    pivot_root::mount_defaults(root.as_fd(), SHM)?; // 04: /proc, /sys, /dev
    cgroup.show_in(root.as_fd())?; // 05: /sys/fs/cgroup
    mount_all(root.as_fd(), &plan.mounts, MissingTarget::Create)?; // 03: its mounts
    process.terminal.open(root.as_fd(), parent)?; // 04: its own terminal
    if plan.hooks.has(&[Point::Prestart, Point::CreateRuntime]) {
        parent.sync()?; // the runtime's hooks
    }
    let own_state = |status| hook_state(state, status);
    plan.hooks.run(Point::CreateContainer, &own_state(Status::Creating))?;
    let home = ids.account(root.as_fd(), Some(&User::of_id(process.account.uid)))?;
    root.enter()?; // 04: the host's files are gone
    let command = process.command.clone().with_defaults(environment(home.home()));
    let command = command.enter_workdir_early(); // 00: where only root may go
    ids.become_user(&process.account, parent)?; // 06: becomes that user
    let before_exec = BeforeExec {
        inherited: way.inherited.clone(),
        gate: way.gate.map_or(Gate::Parent, |fifo| Gate::Fifo(fifo.as_fd())),
        confine: Some(&|| {
            plan.hooks.run(Point::StartContainer, &own_state(Status::Created))
        }),
    };
    pid::become_command_after(&command, Pid1::Command, &before_exec, parent)
}
// ANCHOR_END: inside

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
