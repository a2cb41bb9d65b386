//! Bars for what takes long: on a terminal only.

use std::io::{IsTerminal, Read, stderr};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars of one command.
#[derive(Debug)]
pub(crate) struct Progress(MultiProgress);

impl Progress {
    pub(crate) fn new() -> Self {
        let target = if stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Progress(MultiProgress::with_draw_target(target))
    }

    /// A bar for one layer.
    pub(crate) fn layer(&self, name: &str, size: Option<u64>) -> Bar {
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
        Bar(bar)
    }

    /// Takes the bars away.
    pub(crate) fn finish(&self) {
        // A terminal that is gone is no reason to fail.
        let _ = self.0.clear();
    }
}

/// A bar that follows what is read.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn wrap<R: Read>(&self, input: R) -> impl Read + use<R> {
        self.0.wrap_read(input)
    }
}
