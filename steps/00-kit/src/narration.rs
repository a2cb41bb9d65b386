//! The narration of `--explain`: one line for each kernel call that matters.
//!
//! The narrator is the only process-wide state in Kiste. Because it is global, call
//! sites need no tracing argument and stay short.

use std::fmt::{self, Display};
use std::io::Write;
use std::panic::Location;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};

use crate::failure::shortened;

/// The format of the output of `--explain` and `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Text,
    /// JSON for machines.
    Json,
}

/// The number of the step to which a call is attributed: the step whose code makes it.
/// A function with `#[track_caller]` attributes its calls to the step that called it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Step(u8);

impl Step {
    /// Finds the step of the calling code by its directory: `steps/05-cgroups/…` is 5.
    /// None for code outside `steps`.
    fn of(caller: &Location<'_>) -> Option<Step> {
        let (_, below) = caller.file().rsplit_once("steps/")?;
        below.split_once('-')?.0.parse().ok()
    }
}

impl FromStr for Step {
    type Err = std::num::ParseIntError;

    fn from_str(number: &str) -> Result<Step, Self::Err> {
        number.parse().map(Step)
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// The value of `--explain`: `text`, `json`, `05`, `json,05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainOptions {
    /// The format of the lines.
    pub format: Format,
    /// The step whose calls are narrated. If unset, the calls of all steps are.
    pub only: Option<Step>,
}

impl FromStr for ExplainOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<ExplainOptions, String> {
        let (mut format, mut only) = (None, None);
        for word in text.split(',') {
            let is_first = match word {
                "text" => format.replace(Format::Text).is_none(),
                "json" => format.replace(Format::Json).is_none(),
                number => match number.parse() {
                    Ok(step) => only.replace(step).is_none(),
                    Err(_) => {
                        return Err(format!(
                            "{number:?} is neither a format (text, json) nor a step \
                             (05)"
                        ));
                    }
                },
            };
            if !is_first {
                return Err("one format and one step at most: json,05".into());
            }
        }
        Ok(ExplainOptions { format: format.unwrap_or(Format::Text), only })
    }
}

/// The process that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caller {
    /// The runtime, on the host.
    Parent,
    /// The container's first process: the command, or the init of `--init`.
    Child,
    /// The command, when it is the child of the init of `--init`.
    Grandchild,
}

/// A narrated call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The process that made the call.
    pub who: Caller,
    /// The step whose code made the call.
    pub step: Option<Step>,
    /// The name of the call, as its man page spells it.
    pub call: String,
    /// The operands.
    pub args: String,
    /// The kernel's answer.
    pub result: String,
    /// The reason for the call.
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
    who: Caller,
    only: Option<Step>,
    sink: Sink,
    /// The format in which the lines of all processes are printed.
    format: Format,
}

static NARRATOR: Mutex<Narrator> = Mutex::new(Narrator {
    who: Caller::Parent,
    only: None,
    sink: Sink::Off,
    format: Format::Text,
});

fn narrator() -> MutexGuard<'static, Narrator> {
    NARRATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to narrate on stderr. Before that, narrating costs nothing.
///
/// # Errors
/// When `options.only` is a step that this program does not contain. A program contains
/// the steps from 0 to the one whose code calls this function.
#[track_caller]
pub fn start(options: ExplainOptions) -> Result<(), String> {
    let last = Step::of(Location::caller());
    if let (Some(step), Some(last)) = (options.only, last)
        && step > last
    {
        let all: Vec<_> = (0..=last.0).map(|step| Step(step).to_string()).collect();
        return Err(format!(
            "no step {step} is in this program, but {}",
            all.join(", ")
        ));
    }
    let mut narrator = narrator();
    narrator.only = options.only;
    narrator.format = options.format;
    narrator.sink = Sink::Print(options.format);
    Ok(())
}

/// Makes this process narrate as `who`, and hand its lines to `forward`. After a clone
/// the child sends its lines to the parent, which prints them in order and in one
/// format.
pub fn forward(who: Caller, forward: impl Fn(Line) + Send + 'static) {
    let mut narrator = narrator();
    narrator.who = who;
    if !matches!(narrator.sink, Sink::Off) {
        narrator.sink = Sink::Forward(Box::new(forward));
    }
}

/// Narrates one call of this process.
#[track_caller]
pub(crate) fn narrate(call: &str, args: &dyn Display, result: String, why: &str) {
    let narrator = narrator();
    let step = Step::of(Location::caller());
    let is_wanted = narrator.only.is_none() || narrator.only == step;
    if is_wanted && !matches!(narrator.sink, Sink::Off) {
        let (call, args, why) = (call.into(), shortened(args.to_string()), why.into());
        narrator.emit(Line { who: narrator.who, step, call, args, result, why });
    }
}

/// Tells whether the narration has been started.
pub fn is_on() -> bool {
    !matches!(narrator().sink, Sink::Off)
}

/// Returns the format of stderr: JSON as soon as the narration is JSON.
pub(crate) fn format() -> Format {
    narrator().format
}

/// Prints a line that another process has narrated.
pub fn relay(line: Line) {
    narrator().emit(line);
}

impl Narrator {
    fn emit(&self, line: Line) {
        // A closed stderr must not stop a container.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explain_takes_a_format_a_step_or_both_in_any_order() {
        let parse = |text: &str| text.parse::<ExplainOptions>();
        let (text, json) = (Format::Text, Format::Json);
        let five = Some(Step(5));
        assert_eq!(parse("text"), Ok(ExplainOptions { format: text, only: None }));
        assert_eq!(parse("05"), Ok(ExplainOptions { format: text, only: five }));
        assert_eq!(parse("json,05"), Ok(ExplainOptions { format: json, only: five }));
        assert_eq!(parse("5,json"), Ok(ExplainOptions { format: json, only: five }));
        assert_eq!(Step(5).to_string(), "05");
        for wrong in ["", "xml", "text,json", "04,05", "05,", "256", "cgroups"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_step_of_a_call_is_found_by_its_source_directory() {
        assert_eq!(Step::of(Location::caller()), Some(Step(0)));
    }
}
