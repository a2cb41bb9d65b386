//! The narration of `--explain`: one line for each kernel call that matters.
//!
//! It is the one thing in Kiste that is global to the process: a call site should be as
//! short as the idea it shows, and carry no tracing.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};

use crate::failure::shortened;

/// How `--explain` speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line a call, for people.
    Text,
    /// A JSON object a line, for machines.
    Json,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The runtime, on the host.
    Parent,
    /// The process that becomes the container's command.
    Child,
    /// The command's process below `--init`.
    Grandchild,
}

/// One call, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Who made it.
    pub who: Who,
    /// Its name, as its man page spells it.
    pub call: String,
    /// What it acted on.
    pub args: String,
    /// What the kernel answered.
    pub result: String,
    /// Why it is made.
    pub why: String,
}

impl Line {
    fn text(&self) -> String {
        let bold = Style::new().bold();
        let dim = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
        let who = format!("{:?}", self.who).to_lowercase();
        let width = (self.call.len()
            + self.args.chars().count()
            + self.result.chars().count()
            + 5)
        .max(1);
        let pad = " ".repeat(46usize.saturating_sub(width));
        format!(
            "{who:<10} {bold}{}{bold:#}({}) = {}{pad}  {dim}# {}{dim:#}\n",
            self.call, self.args, self.result, self.why
        )
    }
}

enum Sink {
    Off,
    Print(Format),
    Forward(Box<dyn Fn(Line) + Send>),
}

struct Narrator {
    who: Who,
    sink: Sink,
}

static NARRATOR: Mutex<Narrator> =
    Mutex::new(Narrator { who: Who::Parent, sink: Sink::Off });

fn narrator() -> MutexGuard<'static, Narrator> {
    NARRATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to narrate on stderr. Without it nothing is told, and telling costs nothing.
pub fn start(format: Format) {
    narrator().sink = Sink::Print(format);
}

/// From now on this process is `who`, and hands what it tells to `forward`: after a
/// clone, the child's lines go to the parent, so that they come out in order and in one
/// format.
pub fn forward(who: Who, forward: impl Fn(Line) + Send + 'static) {
    let mut narrator = narrator();
    narrator.who = who;
    if !matches!(narrator.sink, Sink::Off) {
        narrator.sink = Sink::Forward(Box::new(forward));
    }
}

/// Tells one call of this process.
pub(crate) fn tell(call: &str, args: &dyn Display, result: String, why: &str) {
    let narrator = narrator();
    if !matches!(narrator.sink, Sink::Off) {
        let (call, args, why) = (call.into(), shortened(args.to_string()), why.into());
        narrator.put(Line { who: narrator.who, call, args, result, why });
    }
}

/// Whether anybody listens.
pub fn is_on() -> bool {
    !matches!(narrator().sink, Sink::Off)
}

/// Tells a line that another process made.
pub fn retell(line: Line) {
    narrator().put(line);
}

impl Narrator {
    fn put(&self, line: Line) {
        // The narration is a courtesy: a closed stderr must not stop a container.
        let _ = match &self.sink {
            Sink::Off => Ok(()),
            Sink::Print(Format::Text) => {
                anstream::stderr().write_all(line.text().as_bytes())
            }
            Sink::Print(Format::Json) => serde_json::to_string(&line)
                .map_err(std::io::Error::from)
                .and_then(|json| writeln!(std::io::stderr(), "{json}")),
            Sink::Forward(forward) => {
                forward(line);
                Ok(())
            }
        };
    }
}
