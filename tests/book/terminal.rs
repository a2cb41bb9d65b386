//! A terminal that runs bash, like that of the book's reader: a pty of 24 rows and 100
//! columns.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use kiste_tests::host;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::PtyMaster;
use tempfile::NamedTempFile;

use super::compare;
use super::idle::{self, IdleTimeout, IdleWatch};
use super::user_home::UserHome;

/// The prompt of the terminal's bash. Nothing else prints it.
const PROMPT: &str = "<kiste-book>";

/// If the typed text is not echoed within this time, the terminal does not echo.
const ECHO_TIMEOUT: Duration = Duration::from_secs(1);

pub struct Terminal {
    /// The master side of the pty. `None` once it is closed.
    master: Option<PtyMaster>,
    shell: Child,
    /// The output since something was typed, or since `forget`.
    output: Vec<u8>,
    /// The line that was typed last. Empty if none was.
    typed: String,
    last_read: Instant,
    watch: IdleWatch,
    /// The result of the last wait for a prompt. `Busy` since something was typed.
    pub last_prompt: PromptState,
    /// Whether the last command has neither ended nor printed the expected output.
    pub hung: bool,
    /// The output of the previous command.
    pub last_output: Vec<String>,
    _rc: NamedTempFile,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PromptState {
    /// The bash of the terminal.
    Outer,
    /// A shell that was started in the terminal.
    Inner,
    /// No shell: a command runs.
    Busy,
}

/// The user who types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunAs {
    Caller,
    /// Root, by sudo.
    Sudo,
    /// The user nobody, if the caller is root.
    Nobody,
}

/// The environment in which a terminal is opened.
pub struct Surroundings<'a> {
    /// The command prefix (`nsenter …`) that runs the shell in the test's namespaces
    /// instead of the host's. Empty if the page needs none.
    pub enter_command: &'a [String],
    /// The home of the ordinary user, if the tests run as root.
    pub user_home: Option<&'a UserHome>,
    /// A temporary $XDG_DATA_HOME for a shell that runs as the caller, so that the
    /// caller's own images are not touched.
    pub data_home: &'a Path,
}

impl Terminal {
    /// Opens a terminal in `dir`.
    pub fn open(
        who: RunAs,
        surroundings: &Surroundings<'_>,
        dir: &Path,
        timeout: Duration,
    ) -> Result<Self> {
        let (master, slave) = kiste_tests::pty().context("open a pty")?;
        let mut rc = NamedTempFile::new().context("write bash's start file")?;
        writeln!(rc, "stty rows 24 cols 100; PS1='{PROMPT}'; PS2=''")?;
        writeln!(rc, "unset HISTFILE PROMPT_COMMAND MAILCHECK")?;
        fs::set_permissions(rc.path(), fs::Permissions::from_mode(0o644))?;
        let mut bash = bash(
            who,
            surroundings.enter_command,
            surroundings.user_home,
            rc.path(),
            dir,
            slave,
        )?;
        if who == RunAs::Caller {
            bash.env("XDG_DATA_HOME", surroundings.data_home);
        }
        let shell = bash.spawn().context("start bash")?;
        let mut terminal = Terminal {
            master: Some(master),
            shell,
            output: Vec::new(),
            typed: String::new(),
            last_read: Instant::now(),
            watch: IdleWatch::default(),
            last_prompt: PromptState::Busy,
            hung: false,
            last_output: Vec::new(),
            _rc: rc,
        };
        if !terminal
            .wait(timeout, |terminal| terminal.prompt_state() == PromptState::Outer)?
        {
            bail!("bash does not start: {}", terminal.shown());
        }
        terminal.last_prompt = PromptState::Outer;
        Ok(terminal)
    }

    pub fn type_in(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.clear();
        self.typed = String::from_utf8_lossy(bytes).into_owned();
        self.last_prompt = PromptState::Busy;
        self.last_read = Instant::now();
        self.watch.begin_again();
        self.master()?.write_all(bytes).context("type into the terminal")
    }

    /// Returns the text printed since something was typed, without the prompt at its
    /// end.
    pub fn shown(&self) -> String {
        let text = compare::shown(&self.output);
        match self.prompt_state() {
            PromptState::Outer => text[..text.len() - PROMPT.len()].to_string(),
            PromptState::Inner => {
                text[..text.rfind('\n').map_or(0, |end| end + 1)].to_string()
            }
            PromptState::Busy => text,
        }
    }

    /// Returns the shell that waits for a command, judging by the last line.
    pub fn prompt_state(&self) -> PromptState {
        let text = compare::shown(&self.output);
        let last = text.rsplit('\n').next().unwrap_or_default();
        let inner =
            last.strip_suffix("# ").or(last.strip_suffix("$ ")).map(str::trim_end);
        if text.ends_with(PROMPT) {
            PromptState::Outer
        } else if inner.is_some_and(|place| place.len() <= 40 && !place.contains(' ')) {
            PromptState::Inner
        } else {
            PromptState::Busy
        }
    }

    /// Reads until a shell shows its prompt. Returns false if that takes too long.
    pub fn wait_for_prompt(&mut self, timeout: Duration) -> Result<bool> {
        let has_prompt = self.wait(timeout, |now| match now.prompt_state() {
            PromptState::Outer => true,
            PromptState::Inner => now.is_idle(),
            PromptState::Busy => false,
        })?;
        self.last_prompt = self.prompt_state();
        Ok(has_prompt)
    }

    /// Forgets the output so far. From now on, only new output counts.
    pub fn forget(&mut self) {
        self.output.clear();
        self.typed.clear();
    }

    /// Returns whether the terminal has read the typed text, and all its programs are
    /// idle. Then it prints nothing more until somebody types, or until another
    /// terminal causes output.
    pub fn is_idle(&mut self) -> bool {
        let is_read = match self.typed.strip_suffix('\n') {
            Some(line) => compare::has_echo(&compare::shown(&self.output), line),
            None => self.typed.is_empty() || !self.output.is_empty(),
        };
        (is_read || self.last_read.elapsed() >= ECHO_TIMEOUT)
            && self.watch.is_idle(self.shell.id() as i32)
    }

    /// Reads until `done` returns true. Returns false if that takes too long.
    pub fn wait(
        &mut self,
        timeout: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool> {
        let mut timeout = IdleTimeout::new(timeout);
        while !done(self) {
            if timeout.has_expired(self.shell.id() as i32) {
                return Ok(false);
            }
            self.read_output()?;
        }
        Ok(true)
    }

    fn read_output(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let master = self.master.as_mut().context("the terminal is closed")?;
        let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(20u8)).context("poll the terminal")? == 0 {
            return Ok(());
        }
        match master.read(&mut bytes) {
            Ok(count) if count > 0 => self.output.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EIO: no process has the other end open any more.
            _ => {
                bail!(
                    "the terminal's shell has ended: {}",
                    compare::shown(&self.output)
                )
            }
        }
        self.last_read = Instant::now();
        self.watch.begin_again();
        Ok(())
    }

    fn master(&mut self) -> Result<&mut PtyMaster> {
        self.master.as_mut().context("the terminal is closed")
    }
}

impl Drop for Terminal {
    /// Closes the pty, so that its programs get SIGHUP. Waits up to five seconds for
    /// bash to end, and then kills the programs that are still alive.
    fn drop(&mut self) {
        let processes = host::process_tree(self.shell.id() as i32);
        self.master = None;
        for _ in 0..1000 {
            if !matches!(self.shell.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        idle::kill_all(&processes, Duration::from_secs(5));
        _ = self.shell.wait();
    }
}

/// Composes the command that starts bash with the slave side of the pty as its
/// controlling terminal.
fn bash(
    who: RunAs,
    enter_command: &[String],
    user_home: Option<&UserHome>,
    rc: &Path,
    dir: &Path,
    slave: File,
) -> Result<Command> {
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(enter_command);
    match who {
        RunAs::Caller => {}
        RunAs::Sudo => _ = command.args(["sudo", "-n", "-E"]),
        RunAs::Nobody => {
            _ = command.args(
                user_home.context("an ordinary user without a home")?.enter_command(),
            )
        }
    }
    command.args(["bash", "--noprofile", "--noediting", "--rcfile"]).arg(rc).arg("-i");
    command
        .current_dir(dir)
        .env_clear()
        .envs(env::vars().filter(|(name, value)| is_kept(name, value)));
    if let (RunAs::Nobody, Some(user_home)) = (who, user_home) {
        let path = env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", user_home.bin().display()));
        command
            .env("HOME", user_home.home())
            .env("USER", "nobody")
            .env("LOGNAME", "nobody");
        command
            .env("XDG_RUNTIME_DIR", user_home.run())
            .env("XDG_DATA_HOME", user_home.home().join("share"));
    }
    command.envs([
        ("TERM", "dumb"),
        ("LC_ALL", "C.UTF-8"),
        ("CARGO_TERM_COLOR", "never"),
    ]);
    command
        .stdin(Stdio::from(slave.try_clone()?))
        .stdout(Stdio::from(slave.try_clone()?));
    command.stderr(Stdio::from(slave));
    Ok(command)
}

/// Returns whether a variable stays in the environment. Variables that `cargo test`
/// sets are removed, because a reader of the book does not have them.
fn is_kept(name: &str, value: &str) -> bool {
    // With KISTE_SUDO=always, which is set for the tests only, the steps that a reader
    // runs as an ordinary user would become root.
    if (name, value) == ("KISTE_SUDO", "always") {
        return false;
    }
    let removed_prefixes =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "KISTE_SKIP"];
    let kept_prefixes = ["CARGO_", "RUST", "KISTE_", "XDG_"];
    let kept_names = [
        "HOME",
        "LOGNAME",
        "PATH",
        "TMPDIR",
        "USER",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ];
    let has_prefix =
        |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    kept_names.contains(&name)
        || (has_prefix(&kept_prefixes) && !has_prefix(&removed_prefixes))
}
