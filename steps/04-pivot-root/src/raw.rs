//! The caller's terminal in raw mode: keys go inside as they are, and what Ctrl-C means
//! is decided there.

use std::io::{IsTerminal, stdin, stdout};

use anyhow::{Context, Result};
use nix::unistd::{getpgrp, tcgetpgrp};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The caller's terminal in raw mode. Dropping it gives it back as it was.
pub(crate) struct RawMode {
    before: Termios,
    raw: Termios,
}

impl RawMode {
    pub(crate) fn enter() -> Result<Self> {
        let before = tcgetattr(stdin()).context("tcgetattr(stdin)")?;
        let mut raw = before.clone();
        raw.make_raw();
        if !stdout().is_terminal() {
            // `run ls | less`: others print on this terminal too, and count on its
            // newlines.
            raw.output_modes = before.output_modes;
        }
        tcsetattr(stdin(), OptionalActions::Drain, &raw)
            .context("tcsetattr(stdin, raw mode)")?;
        Ok(RawMode { before, raw })
    }

    /// The keys mean again what they meant, Ctrl-C that we are to end; what is still to
    /// be printed goes out as it is.
    pub(crate) fn give_keys_back(&self) {
        let mut settings = self.before.clone();
        settings.output_modes = self.raw.output_modes;
        // At once: nobody may be reading what a drain would wait for. It may have been
        // closed.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &settings);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // it may have been closed
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Whether we may read and set the terminal: a job in the background may not. Where it
/// is not the terminal of our session, there are no jobs on it (ENOTTY).
pub(crate) fn in_foreground() -> bool {
    match tcgetpgrp(stdin()) {
        Ok(group) => group == getpgrp(),
        Err(error) => error == nix::errno::Errno::ENOTTY,
    }
}
