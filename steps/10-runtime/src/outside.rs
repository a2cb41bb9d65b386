//! The start of a container as the runtime sees it. `inside` tells the other half.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use cgroups::Cgroup;
use exec::{Child, Job, Spawn};
use kit::{Context, LONGEST_STATE, ProcessIdentity, Result, RunDir};
use network::{MovedDevice, NetDevice};
use nix::unistd::Pid;

use crate::create_options::CreateOptions;
use crate::hooks::Point;
use crate::inside;
use crate::invalid::invalid;
use crate::listener::Connection;
use crate::log::Log;
use crate::plan::Plan;
use crate::state::{Phase, State, Status};

/// A container that has started.
pub(crate) struct Started {
    pub child: Child,
    pub state: State,
    /// The host's devices that it has. They are moved back unless the caller keeps them
    /// there, once nothing can fail any more.
    pub net_devices: Vec<MovedDevice>,
}

/// Starts the container, up to the gate if there is one.
///
/// # Errors
/// When a part of it cannot be made, or a hook fails. Then nothing is left.
pub(crate) fn start(
    plan: &Plan,
    run_dir: &RunDir,
    options: &CreateOptions<'_>,
    log: &Log,
) -> Result<Started> {
    let state = OnceCell::new();
    started(plan, run_dir, options, &state).inspect_err(|_| {
        // The container existed for a moment.
        if let Some(state) = state.get() {
            let state = State::for_hook(state, Status::Stopped);
            plan.hooks.run_all(Point::Poststop, &state, log);
        }
    })
}

// ANCHOR: outside
fn started(
    plan: &Plan,
    run_dir: &RunDir,
    options: &CreateOptions<'_>,
    state: &OnceCell<State>,
) -> Result<Started> {
    Cgroup::require_unused(&plan.cgroup)?; // 05: `delete` kills what is there
    run_dir.write_state(&to_json(&plan.state_before_start()?)?)?;
    // 05: its limits
    let cgroup = Cgroup::at(&plan.cgroup, &plan.resources, run_dir.keeper())?;
    let listener = Connection::of(&plan.process)?; // 09: of system calls
    let namespaces = &plan.namespaces;
    let files = &plan.files;
    files.copy_sources(&namespaces.ids)?; // 06: those that only we can make
    let net_devices = OnceCell::new(); // moved back if the start fails
    let mut spawn = Spawn::new(namespaces.new)
        .job(Job::Session)
        .on_parent_death(options.on_parent_death)
        .into_cgroup(cgroup.as_fd()) // 05: v2: it starts in it
        .before_start(|child| {
            note(plan, run_dir, state, child)?; // for later commands
            cgroup.admit(child)?; // 05: in the scope that systemd makes
            plan.process.attributes.prepare(child)?; // 09: what only we can set
            namespaces.ids.write(child, [])?; // 06: its ids outside
            files.id_maps.map_as_inside(&files.mounts, child)?; // 06: and of its files
            move_devices(plan, child, &net_devices) // 08: the host's that it gets
        })
        .at_sync_point(|_| {
            let state = hook_state(state, Status::Creating);
            plan.hooks.run(Point::Prestart, &state)?;
            plan.hooks.run(Point::CreateRuntime, &state)
        });
    if namespaces.need_intermediate() {
        spawn = spawn.through(|| {
            cgroup.enter()?; // 05: v1: before its files are out of sight
            namespaces.enter()
        });
    }
    let mut child = spawn
        .spawn(|parent| {
            inside::become_command(plan, options, &cgroup, listener.as_ref(), parent)
        })
        .or_else(|error| cgroup.add_oom_hint(error))?; // 05: out of memory?

    options.handles.send(&mut child)?;
    let noted = state.get().with_context(|| format!("{}: no state", plan.id))?;
    let mut created = State { phase: Phase::Created, ..noted.clone() };
    created.cgroup.note_inodes()?; // a later command acts on no other cgroup
    run_dir.write_state(&to_json(&created)?)?;
    cgroup.keep(); // it lives on without us
    let net_devices = net_devices.into_inner().unwrap_or_default();
    Ok(Started { child, state: created, net_devices })
}
// ANCHOR_END: outside

impl Plan {
    /// Returns the state before there is a process. Until then this one, the runtime,
    /// takes its place: if it is killed, `delete` finds the cgroup.
    fn state_before_start(&self) -> Result<State> {
        let mut state = self.state(std::process::id() as i32);
        state.process = ProcessIdentity::current()?;
        Ok(state)
    }

    /// Returns the state of the container whose first process has this id here.
    pub(crate) fn state(&self, pid: i32) -> State {
        let process =
            ProcessIdentity { pid, start_time: 0, boot: None, namespaces: None };
        State {
            process,
            oci_version: self.oci_version.clone(),
            id: self.id.to_string(),
            bundle: self.bundle.clone(),
            rootfs: self.files.rootfs.path.clone(),
            annotations: BTreeMap::clone(&self.annotations),
            created: self.created.clone(),
            owner: rustix::process::geteuid().as_raw(),
            phase: Phase::Creating,
            cgroup: self.cgroup.clone(),
        }
    }
}

/// Writes the state while the first process waits.
fn note(
    plan: &Plan,
    run_dir: &RunDir,
    state: &OnceCell<State>,
    child: Pid,
) -> Result<()> {
    let process = ProcessIdentity::of_process(child.as_raw())?;
    let mut noted = State { process, ..plan.state(child.as_raw()) };
    noted.cgroup.note_inodes()?;
    let noted = state.get_or_init(|| noted);
    run_dir.write_state(&to_json(noted)?)
}

/// Moves the network devices into the network namespace of the process, before any hook
/// and before its sysctls, which may name them.
fn move_devices(
    plan: &Plan,
    child: Pid,
    moved: &OnceCell<Vec<MovedDevice>>,
) -> Result<()> {
    plan.net_devices.iter().try_for_each(NetDevice::check)?; // before any of them moves
    let move_to = |device: &NetDevice| device.move_to(child);
    let devices = plan.net_devices.iter().map(move_to).collect::<Result<_>>()?;
    moved.get_or_init(|| devices);
    Ok(())
}

/// Returns the state for the stdin of a hook.
fn hook_state(state: &OnceCell<State>, status: Status) -> String {
    state.get().map(|state| state.for_hook(status)).unwrap_or_default()
}

/// Formats a state. A state that a later command would not read is refused: no command
/// would find the container.
fn to_json(state: &State) -> Result<String> {
    let text = serde_json::to_string(state)?;
    match text.len() as u64 <= LONGEST_STATE {
        true => Ok(text),
        false => Err(invalid(format_args!(
            "annotations: the state has {} bytes with them, and at most {LONGEST_STATE} are read",
            text.len()
        ))),
    }
}
