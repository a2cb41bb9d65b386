//! Progress bars, on a terminal only.

use std::io::{IsTerminal, stderr};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Makes the group of the progress bars of one command.
pub(crate) fn bars() -> MultiProgress {
    MultiProgress::with_draw_target(match stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    })
}

/// Adds a bar for one layer; `size` in bytes, where it is known.
pub(crate) fn layer_bar(
    bars: &MultiProgress,
    name: &str,
    size: Option<u64>,
) -> ProgressBar {
    let bar = bars.add(size.map_or_else(ProgressBar::no_length, ProgressBar::new));
    let template = match size {
        Some(_) => {
            "{msg:28} [{bar:30}] {bytes:>11} of {total_bytes:11} {bytes_per_sec}"
        }
        None => "{msg:28} {bytes:>11} {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(name.to_string());
    bar
}
