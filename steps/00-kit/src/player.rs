//! The player of `--explain=step`: shows one call, draws the picture, and waits for the
//! Enter key.
//!
//! The parent waits before it goes on. The child only sends its lines to the parent, so
//! it may be ahead of what is shown; but it does not become the command until the parent
//! has shown its last line.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use anstyle::{AnsiColor, Style};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use crate::interrupt;
use crate::line::Line;
use crate::picture::Picture;
use crate::source;

/// The time between two looks at the signals and at the terminal's foreground, in
/// milliseconds.
const TICK: u16 = 20;

/// Shows the calls one by one.
pub(crate) struct Player {
    terminal: File,
    picture: Picture,
    shown: usize,
    /// True once the reader has asked for the end: no call is shown any more.
    is_over: bool,
}

impl Player {
    /// Makes a player on the terminal of this process.
    pub(crate) fn at_terminal() -> Result<Self, String> {
        let tty = File::options().read(true).write(true).open("/dev/tty");
        let is_shown = io::stdin().is_terminal() && io::stderr().is_terminal();
        match tty {
            Ok(terminal) if is_shown => Ok(Player {
                terminal,
                picture: Picture::default(),
                shown: 0,
                is_over: false,
            }),
            _ => Err("step waits for the Enter key, so stdin and stderr must be a \
                      terminal"
                .into()),
        }
    }

    /// Shows a call, and returns when the reader wants the next one.
    pub(crate) fn play(&mut self, line: &Line) -> io::Result<()> {
        if self.is_over {
            return Ok(());
        }
        self.shown += 1;
        let before = self.picture.clone();
        self.picture.apply(line);
        let text = self.text(line, &self.picture.text(&before));
        // Before the prompt is there: a Ctrl-C that answers it is for this process.
        let mut owner = None;
        self.take_foreground(&mut owner);
        anstream::stderr().write_all(text.as_bytes())?;
        let key = self.wait_for_enter(&mut owner);
        if let Some(owner) = owner {
            // The owner may have ended meanwhile: then nobody misses the terminal.
            let _ = tcsetpgrp(&self.terminal, owner);
        }
        match key? {
            Key::Next => Ok(()),
            Key::Quit => {
                self.is_over = true;
                // The signal ends the run as Ctrl-C does, with everything undone.
                raise(Signal::SIGINT)?;
                Ok(())
            }
            Key::Interrupted => {
                self.is_over = true;
                Ok(())
            }
        }
    }

    fn text(&self, line: &Line, picture: &str) -> String {
        let (bold, dim) =
            (Style::new().bold(), Style::new().fg_color(Some(AnsiColor::Cyan.into())));
        let Line { who, call, args, result, why, at, .. } = line;
        let code = source::statement_at(at).unwrap_or_default();
        let code: String = code.iter().map(|line| format!("      {line}\n")).collect();
        format!(
            "\n{bold}{}. {who}: {call}({args}) = {result}{bold:#}\n   {why}\n   \
             {dim}{at}{dim:#}\n{code}\n{picture}\n\
             {dim}Enter: the next call; q: end{dim:#} ",
            self.shown
        )
    }

    /// Waits for a line on the terminal. The child may take the foreground meanwhile, so
    /// this process takes it again.
    fn wait_for_enter(&mut self, owner: &mut Option<Pid>) -> io::Result<Key> {
        loop {
            self.take_foreground(owner);
            if interrupt::pending().is_some() {
                return Ok(Key::Interrupted);
            }
            let mut ready = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, TICK) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut line = [0; 256];
            match self.terminal.read(&mut line) {
                Ok(0) => return Ok(Key::Quit),
                Ok(_) if line[0] == b'q' => return Ok(Key::Quit),
                Ok(_) => return Ok(Key::Next),
                // The child has taken the foreground since.
                Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the foreground of the terminal, and remembers the process group that had
    /// it. All signals are blocked by then, SIGTTOU too, so the kernel allows it:
    /// tcsetpgrp(3).
    fn take_foreground(&self, owner: &mut Option<Pid>) {
        match tcgetpgrp(&self.terminal) {
            Ok(group) if group != getpgrp() => {
                *owner = Some(group);
                // Without it, the read fails with EIO, and this is tried again.
                let _ = tcsetpgrp(&self.terminal, getpgrp());
            }
            _ => {}
        }
    }
}

enum Key {
    Next,
    Quit,
    Interrupted,
}
