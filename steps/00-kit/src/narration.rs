//! The narration of `--explain`: one line for each kernel call that matters.
//!
//! The narrator is the only process-wide state in Kiste. Because it is global, call
//! sites need no tracing argument and stay short.

use std::fmt::Display;
use std::io::Write;
use std::panic::Location;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::failure::shortened;
use crate::player::Player;
use crate::source;

pub use crate::line::{Caller, Line, Step};

/// The format of the output of `--explain` and `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Text,
    /// JSON for machines.
    Json,
}

/// The pace of the narration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The lines appear as the calls are made.
    AtOnce,
    /// Each line waits for the Enter key, and a picture comes with it.
    StepByStep,
}

/// The value of `--explain`: `text`, `json`, `step`, `05`, `json,05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainOptions {
    /// The format of the lines.
    pub format: Format,
    /// The pace of the lines.
    pub pace: Pace,
    /// The step whose calls are narrated. If unset, the calls of all steps are.
    pub only: Option<Step>,
}

impl FromStr for ExplainOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<ExplainOptions, String> {
        let (mut how, mut only) = (None, None);
        for word in text.split(',') {
            let is_first = match word {
                "text" => how.replace((Format::Text, Pace::AtOnce)).is_none(),
                "json" => how.replace((Format::Json, Pace::AtOnce)).is_none(),
                "step" => how.replace((Format::Text, Pace::StepByStep)).is_none(),
                number => match number.parse() {
                    Ok(step) => only.replace(step).is_none(),
                    Err(_) => {
                        return Err(format!(
                            "{number:?} is neither a format (text, json, step) nor the \
                             number of a step (05)"
                        ));
                    }
                },
            };
            if !is_first {
                return Err("one format and one step at most: json,05".into());
            }
        }
        let (format, pace) = how.unwrap_or((Format::Text, Pace::AtOnce));
        Ok(ExplainOptions { format, pace, only })
    }
}

enum Sink {
    Off,
    Print(Format),
    Play(Box<Player>),
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
/// the steps from 0 to the one whose code calls this function. When the narration is to
/// go step by step, and there is no terminal for the Enter key.
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
    let sink = match options.pace {
        Pace::AtOnce => Sink::Print(options.format),
        Pace::StepByStep => Sink::Play(Box::new(Player::at_terminal()?)),
    };
    let mut narrator = narrator();
    narrator.only = options.only;
    narrator.format = options.format;
    narrator.sink = sink;
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
    let mut narrator = narrator();
    let caller = Location::caller();
    let step = Step::of(caller);
    let is_wanted = narrator.only.is_none() || narrator.only == step;
    if is_wanted && !matches!(narrator.sink, Sink::Off) {
        let (call, args, why) = (call.into(), shortened(args.to_string()), why.into());
        let (who, at) = (narrator.who, source::place(caller));
        narrator.emit(Line { who, step, call, args, result, why, at });
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
    fn emit(&mut self, line: Line) {
        // A closed stderr must not stop a container.
        let _ = match &mut self.sink {
            Sink::Off => Ok(()),
            Sink::Print(Format::Text) => {
                anstream::stderr().write_all(line.text().as_bytes())
            }
            Sink::Print(Format::Json) => serde_json::to_string(&line)
                .map_err(std::io::Error::from)
                .and_then(|json| writeln!(std::io::stderr(), "{json}")),
            Sink::Play(player) => player.play(&line),
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
        let options = |format, pace, only| Ok(ExplainOptions { format, pace, only });
        let at_once = |format, only| options(format, Pace::AtOnce, only);
        let five = Some(Step(5));
        assert_eq!(parse("text"), at_once(Format::Text, None));
        assert_eq!(parse("05"), at_once(Format::Text, five));
        assert_eq!(parse("json,05"), at_once(Format::Json, five));
        assert_eq!(parse("5,json"), at_once(Format::Json, five));
        assert_eq!(parse("step"), options(Format::Text, Pace::StepByStep, None));
        assert_eq!(parse("step,05"), options(Format::Text, Pace::StepByStep, five));
        assert_eq!(Step(5).to_string(), "05");
        for wrong in
            ["", "xml", "text,json", "step,text", "04,05", "05,", "256", "cgroups"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
