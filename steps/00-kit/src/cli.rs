//! The command line of a step's program, and its help, which teaches. `-h` is short:
//! it has the everyday options and those that the step adds. `--help` has all
//! options, examples, and the chapter.

use std::ffi::OsString;

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;
use clap::{Arg, Command, Parser};

use crate::output::print_usage_error_as_json;

/// The lesson in the help of a step's program and of its `run`.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    /// The program's name, which is also its chapter's: `05-cgroups`.
    pub step: &'static str,
    /// The title of its chapter in the book.
    pub chapter: &'static str,
    /// Commands to type in the repository exactly as written here, and the result
    /// that each of them shows.
    pub examples: &'static [(&'static str, &'static str)],
    /// The options of `run` that `-h` shows in addition to the everyday ones.
    pub adds: &'static [&'static str],
}

/// The everyday options: `-h` shows them in every step whose `run` has them.
const EVERYDAY_OPTIONS: &[&str] = &[
    "explain",
    "hostname",
    "init",
    "volume",
    "rootfs",
    "image",
    "user",
    "env",
    "workdir",
    "memory",
    "cpus",
    "pids_limit",
    "network",
    "publish",
];

impl Lesson {
    /// Parses the command line of this program. `--help` and a usage error end the
    /// program.
    pub fn parse<C: Parser>(&self) -> C {
        self.parse_as(C::command())
    }

    /// Parses the command line by `command`, which is a changed form of the one of
    /// `C`.
    pub fn parse_as<C: Parser>(&self, command: Command) -> C {
        let matches = self.with_help(command).try_get_matches();
        matches
            .and_then(|matches| C::from_arg_matches(&matches))
            .unwrap_or_else(|error| exit_with(&error))
    }

    fn with_help(&self, command: Command) -> Command {
        let is_short = |arg: &Arg| {
            let id = arg.get_id().as_str();
            EVERYDAY_OPTIONS.contains(&id) || self.adds.contains(&id)
        };
        command.after_long_help(self.epilog()).mut_subcommand("run", |run| {
            with_place_of_options(run).after_long_help(self.epilog()).mut_args(|arg| {
                let hidden = !is_short(&arg);
                arg.hide_short_help(hidden)
            })
        })
    }

    fn epilog(&self) -> String {
        let bold = Style::new().bold();
        let mut text = format!("{bold}Examples:{bold:#}\n");
        for (line, shows) in self.examples {
            text += &format!("  {line}\n          {shows}\n");
        }
        let Lesson { step, chapter, .. } = self;
        let number =
            step.split('-').next().and_then(|number| number.parse::<u8>().ok());
        let number = number.expect("a step's name begins with its number");
        text + &format!("\nChapter {number}, {chapter}: book/src/{step}.md")
    }
}

/// Prints a usage error, or the help that was asked for, and ends the program. With
/// `--explain=json` a usage error is JSON, although the narration has not begun.
pub(crate) fn exit_with(error: &clap::Error) -> ! {
    let asks_for_json = |word: OsString| {
        let options = word.to_str().and_then(|word| word.strip_prefix("--explain="));
        options.is_some_and(|options| options.split(',').any(|word| word == "json"))
    };
    if error.use_stderr() && std::env::args_os().any(asks_for_json) {
        print_usage_error_as_json(&error.to_string());
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// Adds to the short help that options come before the command. `--help` says so at
/// COMMAND, which `-h` has no room to explain.
fn with_place_of_options(run: Command) -> Command {
    // An OCI runtime finds the command in config.json.
    if !run.get_arguments().any(Arg::is_trailing_var_arg_set) {
        return run;
    }
    let Some(about) = run.get_about().map(ToString::to_string) else { return run };
    let short = format!("{about}; our options come before it");
    run.long_about(about).about(short)
}

/// The colours of `--help`.
pub fn styles() -> Styles {
    Styles::styled()
        .header(Style::new().bold())
        .usage(Style::new().bold())
        .literal(Style::new().fg_color(Some(AnsiColor::Cyan.into())))
        .placeholder(Style::new().dimmed())
}
