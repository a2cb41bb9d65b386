//! The caller's terminal: its window size, and raw mode, in which keys go into the
//! container as they are and Ctrl-C is interpreted there.

use std::io::{IsTerminal, stderr, stdin, stdout};

use anyhow::{Context, Result};
use nix::unistd::{getpgrp, tcgetpgrp};
use rustix::termios::{
    OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Keeps the caller's terminal in raw mode. Dropping it restores the settings.
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
            // `run ls | less`: less prints on this terminal too, and expects that a
            // newline returns the cursor.
            raw.output_modes = before.output_modes;
        }
        tcsetattr(stdin(), OptionalActions::Drain, &raw)
            .context("tcsetattr(stdin, raw mode)")?;
        Ok(RawMode { before, raw })
    }

    /// Restores the input settings: Ctrl-C sends us SIGINT again. Output stays raw
    /// until the container's last output is shown.
    pub(crate) fn restore_input(&self) {
        let mut settings = self.before.clone();
        settings.output_modes = self.raw.output_modes;
        // `Now`, since `Drain` would wait until somebody reads the terminal, perhaps
        // for ever. An error is ignored: the terminal may have been closed.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &settings);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // the terminal may have been closed
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Whether we may read and set the terminal: a background job may not. On a terminal
/// that is not our session's (ENOTTY), we are no background job.
pub(crate) fn in_foreground() -> bool {
    match tcgetpgrp(stdin()) {
        Ok(group) => group == getpgrp(),
        Err(error) => error == nix::errno::Errno::ENOTTY,
    }
}

/// The size of the caller's terminal, whichever standard stream is connected to it.
pub(crate) fn window_size() -> Option<Winsize> {
    tcgetwinsize(stdin())
        .or_else(|_| tcgetwinsize(stdout()))
        .or_else(|_| tcgetwinsize(stderr()))
        .ok()
}
