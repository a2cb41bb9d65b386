//! The section `process`:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#process>

use std::os::fd::BorrowedFd;

use exec::{CloneFlags, Command};
use kit::Result;
use oci_spec::runtime::Linux;
use pivot_root::Terminal;
use rustix::termios::Winsize;
use security::seccomp::{Filter, Listener};
use security::{
    AppArmorProfile, Capabilities, CapabilitySet, Confinement, NoNewPrivs, OomScoreAdj,
    ProcessAttributes, Rlimit, SelinuxLabel, refuse_duplicates,
};
use user::Account;

use crate::config::{self, Process as Section};
use crate::invalid::invalid;
use crate::log::Log;
use crate::plan::namespaces::Namespaces;
use crate::plan::scheduling::{self, Scheduling};
use crate::plan::seccomp;

/// The process that a container or an exec starts.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// The program, its arguments, its environment and its working directory.
    pub command: Command,
    /// The ids that it runs as.
    pub account: Account,
    /// The terminal that it gets, or that it gets none.
    pub terminal: Terminal,
    /// Its capabilities and its filter of system calls.
    pub confinement: Confinement,
    /// The listener of that filter.
    pub listener: Option<Listener>,
    /// Its labels, its resource limits, and its preference when memory runs out.
    pub attributes: ProcessAttributes,
    /// How the kernel schedules it.
    pub scheduling: Scheduling,
}

/// The file mode creation mask, unless config.json has one.
const UMASK: u32 = 0o022;

/// Makes the plan of a process in a container of this configuration.
///
/// # Errors
/// When a value is invalid.
pub(crate) fn plan(section: &Section, linux: &Linux) -> Result<Process> {
    let (filter, listener) = seccomp::plan(linux.seccomp().as_ref())?;
    let user = &section.user;
    let groups = user.additional_gids.clone().unwrap_or_default();
    Ok(Process {
        command: command(section)?,
        account: Account { groups, ..Account::of_id(user.uid, user.gid) },
        terminal: terminal(section),
        confinement: confinement(section, filter)?,
        listener,
        attributes: attributes(section)?,
        scheduling: scheduling::plan(section, linux)?,
    })
}

fn command(section: &Section) -> Result<Command> {
    let argv = section.args.clone().unwrap_or_default();
    if argv.is_empty() {
        return Err(invalid("process.args: there is no command"));
    }
    if !section.cwd.is_absolute() {
        let cwd = &section.cwd;
        return Err(invalid(format_args!(
            "process.cwd {cwd:?}: it must be an absolute path"
        )));
    }
    Ok(Command {
        argv: argv.into_iter().map(Into::into).collect(),
        env: section.env.iter().flatten().map(Into::into).collect(),
        workdir: Some(section.cwd.clone()),
        umask: Some(section.user.umask.unwrap_or(UMASK)),
    })
}

fn terminal(section: &Section) -> Terminal {
    let size = section.console_size.map(|size| Winsize {
        ws_row: size.height as u16,
        ws_col: size.width as u16,
        ws_xpixel: 0,
        ws_ypixel: 0,
    });
    match section.terminal {
        Some(true) => Terminal::of_size(size),
        _ => Terminal::none(),
    }
}

fn attributes(section: &Section) -> Result<ProcessAttributes> {
    let oom_score_adj = section.oom_score_adj.map(|it| OomScoreAdj::new(it.into()));
    Ok(ProcessAttributes {
        apparmor: apparmor(section.apparmor_profile.as_deref())?,
        selinux: selinux(section.selinux_label.as_deref())?,
        rlimits: rlimits(section.rlimits.as_deref().unwrap_or_default())?,
        oom_score_adj: oom_score_adj
            .transpose()
            .map_err(|why| invalid(format_args!("process.oomScoreAdj: {why}")))?,
    })
}

fn confinement(section: &Section, filter: Option<Filter>) -> Result<Confinement> {
    let no_new_privs = match section.no_new_privileges {
        Some(true) => NoNewPrivs::Set,
        _ => NoNewPrivs::Unset,
    };
    let capabilities = section.capabilities.as_ref();
    let capabilities = capabilities.map(capability_sets).transpose()?;
    let capabilities = capabilities.unwrap_or_default();
    Ok(Confinement { capabilities, no_new_privs, filter })
}

/// Returns the five sets. A set that config.json does not have is empty.
fn capability_sets(section: &config::Capabilities) -> Result<Capabilities> {
    Ok(Capabilities {
        bounding: capability_set(&section.bounding)?,
        effective: capability_set(&section.effective)?,
        permitted: capability_set(&section.permitted)?,
        inheritable: capability_set(&section.inheritable)?,
        ambient: capability_set(&section.ambient)?,
    })
}

fn capability_set(names: &Option<Vec<String>>) -> Result<CapabilitySet> {
    names.iter().flatten().map(|name| name.parse().map_err(invalid)).collect()
}

fn rlimits(section: &[config::Rlimit]) -> Result<Vec<Rlimit>> {
    let limit = |it: &config::Rlimit| {
        Rlimit::new(&it.kind.to_string(), it.soft, it.hard)
            .map_err(|why| invalid(format_args!("process.rlimits: {why}")))
    };
    let limits = section.iter().map(limit).collect::<Result<Vec<_>>>()?;
    refuse_duplicates(&limits)?;
    Ok(limits)
}

fn apparmor(profile: Option<&str>) -> Result<Option<AppArmorProfile>> {
    let Some(profile) = profile.filter(|it| !it.is_empty()) else { return Ok(None) };
    let profile: AppArmorProfile = profile
        .parse()
        .map_err(|why| invalid(format_args!("process.apparmorProfile: {why}")))?;
    profile.check()?;
    Ok(Some(profile))
}

fn selinux(label: Option<&str>) -> Result<Option<SelinuxLabel>> {
    label.filter(|it| !it.is_empty()).map(SelinuxLabel::new).transpose()
}

impl Process {
    /// Warns of the capabilities that the process does not get, because the caller does
    /// not have them. In a user namespace of its own it gets all.
    ///
    /// # Errors
    /// The kernel's, from capget(2).
    pub fn warn_of_lost_capabilities(
        &self,
        namespaces: &Namespaces,
        log: &Log,
    ) -> Result<()> {
        if namespaces.has(CloneFlags::CLONE_NEWUSER) {
            return Ok(());
        }
        // A capability that is not inheritable cannot be ambient, which many a
        // config.json overlooks: runc says nothing, either.
        let ambient = CapabilitySet::EMPTY;
        let asked = Capabilities { ambient, ..self.confinement.capabilities };
        let (_, lost) = asked.granted()?;
        if !lost.is_empty() {
            let why = "this kernel or this caller does not have them";
            log.warn(&format!("process.capabilities: {lost} cannot be given: {why}"));
        }
        Ok(())
    }

    /// Makes the working directory, as runc does, unless it is there.
    ///
    /// # Errors
    /// As [`pivot_root::make_workdir`].
    pub fn make_workdir(&self, root: BorrowedFd<'_>) -> Result<()> {
        let workdir = self.command.workdir.as_deref();
        workdir.map_or(Ok(()), |path| pivot_root::make_workdir(root, path))
    }
}
