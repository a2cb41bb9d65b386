//! Parses a `console` fence: the typed text, and the expected output. The rules for
//! authors are in the book's README.md; run_page.rs runs the parsed blocks.

use std::path::Path;

pub use kiste_book::transcript::Prompt;

use kiste_book::transcript::Line;

use super::markdown::{self, Fence};
use super::pages::{Book, Page};

/// A `console` fence.
pub struct Block {
    pub line: usize,
    /// The line of the section that contains it.
    pub section: usize,
    /// Whether that section is marked ▸.
    pub fast_lane: bool,
    pub needs: Needs,
    pub place: Place,
    /// It continues in a shell that an earlier block left open, or shows more output of
    /// a command that is still running.
    pub more: bool,
    /// Its last command does not end.
    pub running: bool,
    /// It needs a machine on which cgroup v2 is the only hierarchy.
    pub v2: bool,
    /// It shows what a step does that is broken on purpose.
    pub broken: bool,
    /// The program that it needs and that not every machine has.
    pub tool: Option<String>,
    /// The reason why it is not run.
    pub norun: Option<String>,
    pub parts: Vec<Part>,
}

/// The user that the block needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Needs {
    Anyone,
    Root,
    /// An ordinary user, also when the tests run as root.
    User,
    /// An ordinary user who may make user namespaces.
    Rootless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    First,
    Second,
}

/// Typed text, and the expected output until the next text is typed.
#[derive(Debug, PartialEq)]
pub struct Part {
    pub line: usize,
    pub input: Input,
    pub expected: Vec<String>,
    pub until: Until,
}

#[derive(Debug, PartialEq)]
pub enum Input {
    Command(Prompt, String),
    /// `^C` is 3.
    Key(u8),
    /// Nothing is typed: the running command prints the output.
    Nothing,
}

/// The sign that the output of a part is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// A shell shows its prompt.
    Prompt,
    /// The expected output has come, and the terminal is idle: the command goes on.
    Match,
}

/// Returns the transcripts of a page, in order. The first that cannot be parsed is the
/// error.
pub fn blocks(page: &Page) -> Result<Vec<Block>, String> {
    let (fences, prose) = markdown::split(&page.text);
    let headings = markdown::headings(&prose);
    let section = |line: usize| {
        let mut sections = headings.iter().filter(|h| h.level == 2 && h.line < line);
        sections.next_back().map_or((0, false), |h| (h.line, h.text.ends_with('▸')))
    };
    let consoles = fences.iter().filter(|fence| is_console(fence));
    let blocks = consoles.map(|fence| {
        let block = block(fence).map_err(|(line, what)| page.at(line, what))?;
        let (section, fast_lane) = section(block.line);
        Ok(Block { section, fast_lane, ..block })
    });
    blocks.collect()
}

/// Checks that every transcript can be parsed.
pub fn check(book: &Book) -> Vec<String> {
    book.pages.iter().filter_map(|page| blocks(page).err()).collect()
}

/// Checks that every page with a transcript that can run is in `pages_run`.
pub fn check_run(book: &Book, pages_run: &[&str]) -> Vec<String> {
    let can_run = |page: &Page| {
        blocks(page).is_ok_and(|all| all.iter().any(|b| b.norun.is_none() && !b.broken))
    };
    let is_missing =
        |page: &&Page| !pages_run.iter().any(|path| Path::new(path) == page.path);
    let pages = book.pages.iter().filter(is_missing).filter(|page| can_run(page));
    pages
        .map(|page| page.at(1, "no test runs this page: add it to tests/book.rs"))
        .collect()
}

fn is_console(fence: &Fence<'_>) -> bool {
    fence.info == "console" || fence.info.starts_with("console,")
}

type Problem = (usize, String);

fn block(fence: &Fence<'_>) -> Result<Block, Problem> {
    let mut block = parse_info(fence).map_err(|what| (fence.line, what))?;
    for (line, text) in (fence.line + 1..).zip(&fence.lines) {
        let input = match Line::of(text) {
            Line::Command(Prompt::Root, ..) if block.needs != Needs::Root => {
                return Err((
                    line,
                    "`# ` types as root, but the fence is not `console,root`".into(),
                ));
            }
            Line::Command(prompt, _, command) => {
                Input::Command(prompt, command.to_string())
            }
            Line::Key(key) => Input::Key(control(key)),
            Line::Output(_) => {
                if block.parts.is_empty() {
                    block.parts.push(Part::new(line, Input::Nothing));
                }
                block.parts.last_mut().expect("a part").expected.push(text.to_string());
                continue;
            }
        };
        block.parts.push(Part::new(line, input));
    }
    finish(block).map_err(|what| (fence.line, what))
}

/// Parses the words after `console`. The block has no parts yet.
fn parse_info(fence: &Fence<'_>) -> Result<Block, String> {
    let mut block = Block {
        line: fence.line,
        section: 0,
        fast_lane: false,
        needs: Needs::Anyone,
        place: Place::First,
        more: false,
        running: false,
        v2: false,
        broken: false,
        tool: None,
        norun: None,
        parts: Vec::new(),
    };
    for word in fence.info.split(',').skip(1) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("root", "") => block.needs = Needs::Root,
            ("user", "") => block.needs = Needs::User,
            ("rootless", "") => block.needs = Needs::Rootless,
            ("second", "") => block.place = Place::Second,
            ("more", "") => block.more = true,
            ("running", "") => block.running = true,
            ("v2", "") => block.v2 = true,
            ("broken", "") => block.broken = true,
            ("tool", name) if !name.is_empty() => block.tool = Some(name.into()),
            ("norun", why) if why.contains(' ') => block.norun = Some(why.to_string()),
            ("norun", _) => {
                return Err(
                    "norun needs its reason, in words: norun=it never ends".into()
                );
            }
            _ => return Err(format!("`{word}` is not known after `console`")),
        }
    }
    Ok(block)
}

/// Decides when each part is complete, and refuses a block that cannot be run.
fn finish(mut block: Block) -> Result<Block, String> {
    let Some(first) = block.parts.first() else {
        return Err("an empty transcript".into());
    };
    let continues =
        !matches!(first.input, Input::Command(Prompt::User | Prompt::Root, _));
    // A broken step is tried in the shell of the page's first section.
    if continues && !block.more && !block.broken && block.norun.is_none() {
        return Err(
            "it begins with neither `$ ` nor `# `: is it `console,more`?".into()
        );
    }
    for index in 1..block.parts.len() {
        if matches!(block.parts[index].input, Input::Key(_)) {
            block.parts[index - 1].until = Until::Match;
        }
    }
    if block.running {
        block.parts.last_mut().expect("there is a first part").until = Until::Match;
    }
    Ok(block)
}

impl Part {
    fn new(line: usize, input: Input) -> Self {
        Part { line, input, expected: Vec::new(), until: Until::Prompt }
    }
}

/// Returns the byte of a control key: `^C` is 3.
fn control(key: &str) -> u8 {
    key.as_bytes()[1] - b'@'
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{Input, Place, Prompt, Until, block, check, check_run, markdown};

    const PAGE: &str = "book/src/01-uts.md";

    #[test]
    fn commands_keys_and_output_are_told_apart() {
        let text = "```console,root,second\n# sh\n/ # sleep 9\n^C\n~ # echo a\n# a\n/ #\n```\n";
        let block = block(&markdown::split(text).0[0]).expect("it can be read");
        let inputs: Vec<_> = block.parts.iter().map(|part| &part.input).collect();
        let typed = |prompt, text: &str| Input::Command(prompt, text.to_string());
        assert_eq!(block.place, Place::Second);
        assert_eq!(*inputs[0], typed(Prompt::Root, "sh"));
        assert_eq!(*inputs[1], typed(Prompt::Inner, "sleep 9"));
        assert_eq!(*inputs[2], Input::Key(3));
        assert_eq!(block.parts[1].until, Until::Match);
        assert_eq!(*inputs[5], typed(Prompt::Inner, ""));
    }

    #[test]
    fn a_prompt_that_begins_with_inside_belongs_to_the_inner_shell() {
        let text =
            "```console,root\n# sh\ninside # id\ninside $ id\ninside: # id\n```\n";
        let block = block(&markdown::split(text).0[0]).expect("it can be read");
        let inputs: Vec<_> = block.parts.iter().map(|part| &part.input).collect();
        let id = Input::Command(Prompt::Inner, "id".to_string());
        assert_eq!(inputs[1..], [&id, &id]);
        assert_eq!(block.parts[2].expected, ["inside: # id"]);
    }

    #[test]
    fn well_formed_transcripts_are_accepted() {
        let page = "```console\n$ echo\n#!/bin/sh\n```\n```console,norun=it never ends\n^C\n```\n";
        accepts(check, &[(PAGE, page)]);
    }

    #[test]
    fn an_unknown_word_is_found() {
        refuses(
            check,
            &[(PAGE, "```console,rot\n$ a\n```\n")],
            "01-uts.md:1: `rot` is not known",
        );
    }

    #[test]
    fn a_norun_block_without_a_reason_is_found() {
        refuses(
            check,
            &[(PAGE, "```console,norun\n$ a\n```\n")],
            "norun needs its reason",
        );
    }

    #[test]
    fn a_root_prompt_in_a_block_not_marked_root_is_found() {
        refuses(
            check,
            &[(PAGE, "```console\n$ a\n# b\n```\n")],
            "01-uts.md:3: `# ` types as root",
        );
    }

    #[test]
    fn output_before_the_first_command_is_found() {
        refuses(check, &[(PAGE, "```console\nhello\n```\n")], "begins with neither");
    }

    #[test]
    fn an_empty_transcript_is_found() {
        refuses(check, &[(PAGE, "```console\n```\n")], "an empty transcript");
    }

    #[test]
    fn a_page_that_no_test_runs_is_found() {
        let check = |book: &_| check_run(book, &["README.md"]);
        refuses(check, &[(PAGE, "```console\n$ a\n```\n")], "no test runs this page");
        accepts(check, &[(PAGE, "```console,norun=it is slow\n$ a\n```\n")]);
    }
}
