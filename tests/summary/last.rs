//! Prints the last line of `cargo test --workspace`: how many tests were skipped, and
//! what would let them run. In a chapter's check it prints which tasks are done.

use std::env;
use std::fs;

use anstyle::{AnsiColor, Style};
use test_summary::{Environment, Sudo, summary, tasks};

fn main() {
    // An editor or another test runner asks for the list of tests: there are none.
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    // .cargo/runner names the log. Without it nothing was collected.
    let Some(log) = env::var_os("KISTE_SKIPPED") else { return };
    let skipped = fs::read_to_string(&log).unwrap_or_default();
    _ = fs::remove_file(&log);
    let summary = summary(&skipped, &environment());
    if let Ok(chapter) = env::var("KISTE_CHECK") {
        let verdict = tasks::verdict(&chapter, &skipped);
        anstream::print!("{}", verdict.text);
        if skipped.contains("skipped: ") {
            anstream::println!("{summary}");
        }
        std::process::exit(i32::from(!verdict.is_checked));
    }
    let color = if skipped.is_empty() { AnsiColor::Green } else { AnsiColor::Yellow };
    let style = Style::new().fg_color(Some(color.into()));
    anstream::println!("{style}{summary}{style:#}");
}

fn environment() -> Environment {
    let sudo = match env::var("KISTE_SUDO").as_deref() {
        Ok("never") => Sudo::TurnedOff,
        _ if kiste_tests::host::has("sudo") => Sudo::Installed,
        _ => Sudo::Missing,
    };
    Environment { is_root: nix::unistd::geteuid().is_root(), sudo }
}
