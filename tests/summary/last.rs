//! Prints the last line of `cargo test --workspace`: how many tests were not run, and
//! what would let them run.

use std::env;
use std::fs;

use anstyle::{AnsiColor, Style};
use test_summary::{Here, Sudo, summary};

fn main() {
    // An editor or another test runner asks what there is to test: nothing.
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    // .cargo/runner names the log. Without it nobody gathered anything.
    let Some(log) = env::var_os("KISTE_SKIPPED") else { return };
    let skipped = fs::read_to_string(&log).unwrap_or_default();
    _ = fs::remove_file(&log);
    let color = if skipped.is_empty() { AnsiColor::Green } else { AnsiColor::Yellow };
    let style = Style::new().fg_color(Some(color.into()));
    anstream::println!("{style}{}{style:#}", summary(&skipped, &here()));
}

fn here() -> Here {
    let sudo = match env::var("KISTE_SUDO").as_deref() {
        Ok("never") => Sudo::TurnedOff,
        _ if kiste_tests::host::has("sudo") => Sudo::Installed,
        _ => Sudo::Missing,
    };
    Here { is_root: nix::unistd::geteuid().is_root(), sudo }
}
