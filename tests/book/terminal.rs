//! A terminal with a bash in it, as a reader has one: a pty, 24 rows of 100 columns.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use kiste_tests::host;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use tempfile::NamedTempFile;

use super::compare;
use super::rest::{self, Patience, Watch};
use super::room::Room;

/// The prompt of the outer bash: nothing else prints it.
const PROMPT: &str = "<kiste-book>";

/// Where the echo of what was typed does not come, it has come after this.
const NO_ECHO: Duration = Duration::from_secs(1);

pub struct Terminal {
    /// `None` once it is closed.
    screen: Option<PtyMaster>,
    shell: Child,
    /// What came since something was typed, or dealt with, last.
    seen: Vec<u8>,
    /// The line that was typed last, or nothing.
    typed: String,
    last_read: Instant,
    watch: Watch,
    /// Who waits for a command now.
    pub at: Asking,
    /// The command that was typed last has neither ended nor printed what it should.
    pub hung: bool,
    /// What the command before has printed.
    pub said: Vec<String>,
    _rc: NamedTempFile,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asking {
    /// The bash of the terminal.
    Outer,
    /// A shell that was started in it.
    Inner,
    /// Nobody: a command runs.
    Nobody,
}

/// Who sits at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Caller,
    /// Root, by sudo.
    Sudo,
    /// Nobody in particular, when the caller is root.
    Nobody,
}

/// Where a terminal stands.
pub struct Seat<'a> {
    /// What is put before the shell, to enter the network that plays the host's.
    pub entrance: &'a [String],
    /// The ordinary user's, where the tests are root.
    pub room: Option<&'a Room>,
    /// Where a caller's images go, and not to those they have.
    pub data: &'a Path,
}

impl Terminal {
    /// Opens one in `dir`.
    pub fn open(
        who: Who,
        seat: &Seat<'_>,
        dir: &Path,
        patience: Duration,
    ) -> Result<Self> {
        let (screen, slave) = pty().context("open a pty")?;
        let mut rc = NamedTempFile::new().context("write bash's start file")?;
        writeln!(rc, "stty rows 24 cols 100; PS1='{PROMPT}'; PS2=''")?;
        writeln!(rc, "unset HISTFILE PROMPT_COMMAND MAILCHECK")?;
        fs::set_permissions(rc.path(), fs::Permissions::from_mode(0o644))?;
        let mut bash = bash(who, seat.entrance, seat.room, rc.path(), dir, slave)?;
        if who == Who::Caller {
            bash.env("XDG_DATA_HOME", seat.data);
        }
        let shell = bash.spawn().context("start bash")?;
        let mut terminal = Terminal {
            screen: Some(screen),
            shell,
            seen: Vec::new(),
            typed: String::new(),
            last_read: Instant::now(),
            watch: Watch::default(),
            at: Asking::Nobody,
            hung: false,
            said: Vec::new(),
            _rc: rc,
        };
        if !terminal.wait(patience, |terminal| terminal.asking() == Asking::Outer)? {
            bail!("bash does not start: {}", terminal.shown());
        }
        terminal.at = Asking::Outer;
        Ok(terminal)
    }

    pub fn type_in(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen.clear();
        self.typed = String::from_utf8_lossy(bytes).into_owned();
        self.at = Asking::Nobody;
        self.last_read = Instant::now();
        self.watch.begin_again();
        self.screen()?.write_all(bytes).context("type into the terminal")
    }

    /// What the screen shows since something was typed, the prompt that followed taken
    /// off.
    pub fn shown(&self) -> String {
        let text = compare::shown(&self.seen);
        match self.asking() {
            Asking::Outer => text[..text.len() - PROMPT.len()].to_string(),
            Asking::Inner => {
                text[..text.rfind('\n').map_or(0, |end| end + 1)].to_string()
            }
            Asking::Nobody => text,
        }
    }

    /// Who asks for a command, going by the last line.
    pub fn asking(&self) -> Asking {
        let text = compare::shown(&self.seen);
        let last = text.rsplit('\n').next().unwrap_or_default();
        let inner =
            last.strip_suffix("# ").or(last.strip_suffix("$ ")).map(str::trim_end);
        if text.ends_with(PROMPT) {
            Asking::Outer
        } else if inner.is_some_and(|place| place.len() <= 40 && !place.contains(' ')) {
            Asking::Inner
        } else {
            Asking::Nobody
        }
    }

    /// Reads until a shell asks for a command: true; or until the patience ends: false.
    pub fn wait_for_prompt(&mut self, patience: Duration) -> Result<bool> {
        let asked = self.wait(patience, |now| match now.asking() {
            Asking::Outer => true,
            Asking::Inner => now.is_at_rest(),
            Asking::Nobody => false,
        })?;
        self.at = self.asking();
        Ok(asked)
    }

    /// What has been seen is dealt with; what is shown from now on is new.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.typed.clear();
    }

    /// What was typed has been taken, and all that runs in this terminal waits: nothing
    /// more comes until something is typed, or happens elsewhere.
    pub fn is_at_rest(&mut self) -> bool {
        let is_taken = match self.typed.strip_suffix('\n') {
            Some(line) => compare::has_echo(&compare::shown(&self.seen), line),
            None => self.typed.is_empty() || !self.seen.is_empty(),
        };
        (is_taken || self.last_read.elapsed() >= NO_ECHO)
            && self.watch.is_at_rest(self.shell.id() as i32)
    }

    /// Reads until `done`: true; or until the patience ends: false.
    pub fn wait(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool> {
        let mut patience = Patience::new(patience);
        while !done(self) {
            if patience.is_used_up(self.shell.id() as i32) {
                return Ok(false);
            }
            self.read_what_comes()?;
        }
        Ok(true)
    }

    fn read_what_comes(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let screen = self.screen.as_mut().context("the terminal is closed")?;
        let mut fds = [PollFd::new(screen.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(20u8)).context("poll the terminal")? == 0 {
            return Ok(());
        }
        match screen.read(&mut bytes) {
            Ok(count) if count > 0 => self.seen.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EIO: nobody has the other end open any more.
            _ => {
                bail!("the terminal's shell has ended: {}", compare::shown(&self.seen))
            }
        }
        self.last_read = Instant::now();
        self.watch.begin_again();
        Ok(())
    }

    fn screen(&mut self) -> Result<&mut PtyMaster> {
        self.screen.as_mut().context("the terminal is closed")
    }
}

impl Drop for Terminal {
    /// Closing the pty hangs up: whatever runs in it gets SIGHUP. It has five seconds,
    /// and then nothing of it is left.
    fn drop(&mut self) {
        let family = host::family(self.shell.id() as i32);
        self.screen = None;
        for _ in 0..1000 {
            if !matches!(self.shell.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        rest::end(&family, Duration::from_secs(5));
        _ = self.shell.wait();
    }
}

/// Both sides, close-on-exec: a master that another terminal's bash inherits would
/// never hang up.
fn pty() -> Result<(PtyMaster, File)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let mut options = File::options();
    let slave = options
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master)?)?;
    Ok((master, slave))
}

/// bash on the slave side, which becomes its controlling terminal.
fn bash(
    who: Who,
    entrance: &[String],
    room: Option<&Room>,
    rc: &Path,
    dir: &Path,
    slave: File,
) -> Result<Command> {
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(entrance);
    match who {
        Who::Caller => {}
        Who::Sudo => _ = command.args(["sudo", "-n", "-E"]),
        Who::Nobody => {
            _ = command
                .args(room.context("an ordinary user without a room")?.entrance())
        }
    }
    command.args(["bash", "--noprofile", "--noediting", "--rcfile"]).arg(rc).arg("-i");
    command
        .current_dir(dir)
        .env_clear()
        .envs(env::vars().filter(|(name, value)| is_kept(name, value)));
    if let (Who::Nobody, Some(room)) = (who, room) {
        let path = env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", room.bin().display()));
        command.env("HOME", room.home()).env("USER", "nobody").env("LOGNAME", "nobody");
        command
            .env("XDG_RUNTIME_DIR", room.run())
            .env("XDG_DATA_HOME", room.home().join("share"));
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

/// A reader's environment has nothing of what `cargo test` adds to that of its tests.
fn is_kept(name: &str, value: &str) -> bool {
    // That asks for more of the tests; a reader's rootless steps are to stay rootless.
    if (name, value) == ("KISTE_SUDO", "always") {
        return false;
    }
    let of_cargo_test =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "KISTE_SKIP"];
    let of_reader = ["CARGO_", "RUST", "KISTE_", "XDG_"];
    let words = [
        "HOME",
        "LOGNAME",
        "PATH",
        "TMPDIR",
        "USER",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ];
    let is_like =
        |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    words.contains(&name) || (is_like(&of_reader) && !is_like(&of_cargo_test))
}
