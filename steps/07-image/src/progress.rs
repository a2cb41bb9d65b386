//! Progress bars, on a terminal only.

use std::io::{IsTerminal, Read, stderr};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress bars of one command.
#[derive(Debug)]
pub(crate) struct ProgressBars(MultiProgress);

impl ProgressBars {
    pub(crate) fn new() -> Self {
        let target = if stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        ProgressBars(MultiProgress::with_draw_target(target))
    }

    /// Adds a bar for one layer; `size` in bytes, where it is known.
    pub(crate) fn add(&self, name: &str, size: Option<u64>) -> LayerBar {
        let bar =
            self.0.add(size.map_or_else(ProgressBar::no_length, ProgressBar::new));
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
        LayerBar(bar)
    }

    /// Removes the bars from the terminal.
    pub(crate) fn finish(&self) {
        // A terminal that is gone is no reason to fail.
        let _ = self.0.clear();
    }
}

/// The progress bar of one layer.
pub(crate) struct LayerBar(ProgressBar);

impl LayerBar {
    /// Returns a reader that moves the bar.
    pub(crate) fn wrap<R: Read>(&self, input: R) -> impl Read + use<R> {
        self.0.wrap_read(input)
    }
}
