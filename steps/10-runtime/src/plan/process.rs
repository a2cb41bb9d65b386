//! The section `process`:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#process>

use exec::Command;
use kit::Result;
use oci_spec::runtime::Process as Section;
use pivot_root::Terminal;
use rustix::termios::Winsize;
use user::Account;

use crate::plan::invalid;

/// The process that a container or an exec starts.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// The program, its arguments, its environment and its working directory.
    pub command: Command,
    /// The ids that it runs as.
    pub account: Account,
    /// The terminal that it gets, or that it gets none.
    pub terminal: Terminal,
}

/// The file mode creation mask, unless config.json has one.
const UMASK: u32 = 0o022;

pub(crate) fn plan(section: &Section) -> Result<Process> {
    let argv = section.args().clone().unwrap_or_default();
    if argv.is_empty() {
        return Err(invalid("process.args: config.json has no command"));
    }
    if !section.cwd().is_absolute() {
        return Err(invalid(format_args!(
            "process.cwd {:?}: it must be an absolute path",
            section.cwd()
        )));
    }
    let user = section.user();
    let command = Command {
        argv: argv.into_iter().map(Into::into).collect(),
        env: section.env().iter().flatten().map(Into::into).collect(),
        workdir: Some(section.cwd().clone()),
        umask: Some(user.umask().unwrap_or(UMASK)),
    };
    let groups = user.additional_gids().clone().unwrap_or_default();
    let account = Account { groups, ..Account::of_id(user.uid(), user.gid()) };
    let size = section.console_size().as_ref().map(|size| Winsize {
        ws_row: size.height() as u16,
        ws_col: size.width() as u16,
        ws_xpixel: 0,
        ws_ypixel: 0,
    });
    let terminal = match section.terminal() {
        Some(true) => Terminal::of_size(size),
        _ => Terminal::none(),
    };
    Ok(Process { command, account, terminal })
}
