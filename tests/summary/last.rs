//! Prints the last line of `cargo test --workspace`: how many tests were skipped, and
//! what would let them run.

use std::env;
use std::fs;

use anstyle::{AnsiColor, Style};
use test_summary::{Environment, summary};

fn main() {
    // An editor or another test runner asks for the list of tests: there are none.
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    // .cargo/runner names the log. Without it nothing was collected.
    let Some(log) = env::var_os("KISTE_SKIPPED") else { return };
    let skipped = fs::read_to_string(&log).unwrap_or_default();
    _ = fs::remove_file(&log);
    let summary = summary(&skipped, &Environment::here());
    let (color, more) = match skipped.is_empty() {
        true => (AnsiColor::Green, ""),
        false => (AnsiColor::Yellow, "; KISTE_SKIP_LOG=FILE lists them"),
    };
    let style = Style::new().fg_color(Some(color.into()));
    anstream::println!("{style}{summary}{more}{style:#}");
}
