//! Runs the transcripts of a page: types the commands into a terminal, and compares
//! the output with the page.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use super::compare;
use super::host::{Host, RootAccess, Verdict};
use super::pages::Page;
use super::stand_in::StandIn;
use super::terminal::{PromptState, RunAs, Surroundings, Terminal};
use super::transcript::{self, Block, Input, Needs, Part, Place, Prompt, Until};
use super::user_home::UserHome;

/// How long cargo may build.
const CARGO_TIMEOUT: Duration = Duration::from_secs(600);

/// How long to wait at most until another terminal, or a background process, is idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// After one command has hung, the timeout of the later ones is divided by this: they
/// probably hang for the same reason.
const HUNG_DIVISOR: u32 = 6;

/// The terminals of one page. They keep their state from block to block, as a reader's
/// do.
struct Session<'a> {
    host: &'a Host,
    dir: &'a Path,
    terminals: HashMap<(Place, RunAs), Terminal>,
    /// The home of an ordinary user, if the tests run as root.
    user_home: Option<UserHome>,
    /// $XDG_DATA_HOME, if the tests run as an ordinary user.
    data_home: TempDir,
    /// The namespaces that stand in for the host, if the page changes it.
    stand_in: Option<StandIn>,
    /// The user who typed last in each terminal, and so in its inner shell.
    last_user: HashMap<Place, RunAs>,
    /// The directory that the page makes in the workspace, to be removed at the end.
    /// `None` if it existed before.
    chapter_dir: Option<PathBuf>,
}

/// How much of a page is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lane {
    All,
    /// Only the sections marked ▸.
    Fast,
    /// Only the victim and this chapter's section of the page *Break it*: the chapter's
    /// step is broken.
    Broken(u32),
}

impl Lane {
    /// Returns the transcripts of a page that are in this lane.
    pub fn blocks(self, page: &Page) -> Result<Vec<Block>, String> {
        let mut blocks = transcript::blocks(page)?;
        match self {
            Lane::All => {}
            Lane::Fast => blocks.retain(|block| block.fast_lane),
            Lane::Broken(chapter) => {
                let chapter = format!("## Chapter {chapter}:");
                blocks.retain(|block| {
                    let above = block.section.checked_sub(1);
                    let heading = above.and_then(|line| page.text.lines().nth(line));
                    let is_in = |heading: &str| {
                        heading == "## A victim" || heading.starts_with(&chapter)
                    };
                    block.broken && heading.is_some_and(is_in)
                });
                blocks.iter_mut().for_each(|block| block.broken = false);
            }
        }
        Ok(blocks)
    }
}

/// The line of a block that was not run, and why.
pub type Skipped = (usize, String);

/// Runs a page in `dir`. Returns the skipped blocks with the reasons; the first
/// mismatch is the error.
pub fn run(page: &Page, lane: Lane, host: &Host, dir: &Path) -> Result<Vec<Skipped>> {
    let blocks = lane.blocks(page).map_err(|problem| anyhow!(problem))?;
    let data_home = tempfile::tempdir().context("make a place for images")?;
    let mut session = Session {
        host,
        dir,
        terminals: HashMap::new(),
        user_home: None,
        stand_in: None,
        data_home,
        last_user: HashMap::new(),
        chapter_dir: new_chapter_dir(page, dir),
    };
    let mut skipped = Vec::new();
    // Whether the block that a `second` or `more` block belongs to was run.
    let (mut was_run, mut section) = (true, 0);
    for (index, block) in blocks.iter().enumerate() {
        let begins_section =
            std::mem::replace(&mut section, block.section) != block.section;
        let leads = !block.more && (block.place == Place::First || begins_section);
        match verdict(page, host, block) {
            Verdict::Run if leads && !is_needed(page, host, &blocks[index..]) => {
                was_run = false;
                skipped.push((block.line, "the block that follows is not run".into()));
            }
            Verdict::Run if leads || was_run => {
                was_run = true;
                if StandIn::is_for(page, host) && session.stand_in.is_none() {
                    session.stand_in = Some(StandIn::make(page, dir)?);
                }
                session
                    .run_block(block)
                    .with_context(|| page.path.display().to_string())?;
            }
            Verdict::Run => {
                skipped.push((block.line, "the block before was not run".into()))
            }
            Verdict::Ignore => was_run &= !leads,
            Verdict::Skip(reason) => {
                was_run &= !leads;
                skipped.push((block.line, reason));
            }
        }
    }
    Ok(skipped)
}

/// Returns whether the first of these blocks is needed. If a section begins in the
/// second terminal, that block prepares the next block of the first terminal, and is
/// needed only if the next one is run.
fn is_needed(page: &Page, host: &Host, blocks: &[Block]) -> bool {
    let [block, rest @ ..] = blocks else { return false };
    let is_prepared = |next: &&Block| next.place == Place::First;
    let next = rest.iter().take_while(|next| next.section == block.section);
    block.place == Place::First || { next }
        .find(is_prepared)
        .is_none_or(|next| verdict(page, host, next) == Verdict::Run)
}

fn verdict(page: &Page, host: &Host, block: &Block) -> Verdict {
    match host.verdict(block) {
        Verdict::Run => {
            StandIn::missing(page, host).map_or(Verdict::Run, Verdict::Skip)
        }
        verdict => verdict,
    }
}

/// Returns the directory in which a chapter makes its files, such as `ch4`, if it does
/// not exist yet.
fn new_chapter_dir(page: &Page, dir: &Path) -> Option<PathBuf> {
    let chapter_dir = dir.join(format!("ch{}", page.number()?));
    (!chapter_dir.exists()).then_some(chapter_dir)
}

impl Drop for Session<'_> {
    /// Removes the page's files: the fast lane leaves out the section *Undo*.
    fn drop(&mut self) {
        self.terminals.clear();
        if let Some(chapter_dir) = &self.chapter_dir {
            _ = std::fs::remove_dir_all(chapter_dir);
        }
    }
}

impl Session<'_> {
    fn run_block(&mut self, block: &Block) -> Result<()> {
        self.wait_for_other_terminals(block.place)?;
        for part in &block.parts {
            let who = self.run_as(block, part);
            self.last_user.insert(block.place, who);
            let timeout = timeout(self.host);
            self.prepare_user_home(who, &part.input)?;
            let terminal = self.terminal(block.place, who)?;
            let result = run_part(terminal, part, timeout);
            HUNG.fetch_or(terminal.hung, Ordering::Relaxed);
            result.with_context(|| format!("line {}: {}", part.line, part.input))?;
        }
        Ok(())
    }

    /// Waits until the programs in the other terminals have started and are idle.
    fn wait_for_other_terminals(&mut self, place: Place) -> Result<()> {
        let others = self.terminals.iter_mut().filter(|((at, _), _)| *at != place);
        for (_, terminal) in others {
            terminal.wait(IDLE_TIMEOUT, Terminal::is_idle)?;
        }
        Ok(())
    }

    fn run_as(&self, block: &Block, part: &Part) -> RunAs {
        match (&part.input, block.needs, self.host.root) {
            (Input::Command(Prompt::Root, _), _, RootAccess::BySudo) => RunAs::Sudo,
            (
                Input::Command(Prompt::User, _),
                Needs::User | Needs::Rootless,
                RootAccess::Already,
            ) => RunAs::Nobody,
            (Input::Command(Prompt::User | Prompt::Root, _), ..) => RunAs::Caller,
            _ => self.last_user.get(&block.place).copied().unwrap_or(RunAs::Caller),
        }
    }

    /// Makes the ordinary user's home when it is first needed, and builds the program
    /// that the user is about to start.
    fn prepare_user_home(&mut self, who: RunAs, input: &Input) -> Result<()> {
        let (RunAs::Nobody, Input::Command(_, command)) = (who, input) else {
            return Ok(());
        };
        let user_home = match self.user_home.take() {
            Some(user_home) => user_home,
            None => UserHome::make(self.dir)?,
        };
        self.user_home.insert(user_home).build_for(command)
    }

    fn terminal(&mut self, place: Place, who: RunAs) -> Result<&mut Terminal> {
        if !self.terminals.contains_key(&(place, who)) {
            let enter_command = self
                .stand_in
                .as_ref()
                .map(|stand_in| stand_in.enter_command(self.dir))
                .unwrap_or_default();
            let surroundings = Surroundings {
                enter_command: &enter_command,
                user_home: self.user_home.as_ref(),
                data_home: self.data_home.path(),
            };
            let terminal =
                Terminal::open(who, &surroundings, self.dir, self.host.timeout())?;
            self.terminals.insert((place, who), terminal);
        }
        self.terminals.get_mut(&(place, who)).context("the terminal was opened")
    }
}

/// Whether a command of any page has hung.
static HUNG: AtomicBool = AtomicBool::new(false);

fn timeout(host: &Host) -> Duration {
    host.timeout() / if HUNG.load(Ordering::Relaxed) { HUNG_DIVISOR } else { 1 }
}

fn run_part(terminal: &mut Terminal, part: &Part, timeout: Duration) -> Result<()> {
    let command = match &part.input {
        Input::Command(prompt, command) => {
            expect_prompt(terminal, *prompt)?;
            if command.is_empty() {
                return Ok(());
            }
            terminal.type_in(format!("{command}\n").as_bytes())?;
            command.as_str()
        }
        Input::Key(key) => {
            terminal.type_in(&[*key])?;
            ""
        }
        // Another terminal caused the output, which may have come already.
        Input::Nothing => "",
    };
    if command.starts_with("cargo ") {
        let is_built = |now: &mut Terminal| {
            now.shown().contains("Running `") || now.prompt_state() != PromptState::Busy
        };
        terminal.wait(CARGO_TIMEOUT, is_built)?;
    }
    let output = |now: &Terminal| compare::output_lines(&now.shown(), command);
    let done = match part.until {
        Until::Prompt => terminal.wait_for_prompt(timeout)?,
        Until::Match => terminal.wait(timeout, |now| {
            compare::matches(&part.expected, &output(now)) && now.is_idle()
        })?,
    };
    let printed = output(terminal);
    if done && command.ends_with('&') {
        // Waits until the background process has started and is idle.
        terminal.wait(IDLE_TIMEOUT, Terminal::is_idle)?;
    }
    terminal.forget();
    terminal.hung = !done;
    if !compare::matches(&part.expected, &printed) {
        let difference = compare::difference(&part.expected, &printed);
        bail!("the book (-) and the terminal (+) differ:\n{difference}");
    }
    if !done {
        bail!(
            "the output is right, but the command does not end: is the block `running`?"
        );
    }
    terminal.last_output = printed;
    Ok(())
}

fn expect_prompt(terminal: &Terminal, prompt: Prompt) -> Result<()> {
    let expected =
        if prompt == Prompt::Inner { PromptState::Inner } else { PromptState::Outer };
    match (expected, terminal.last_prompt) {
        (expected, actual) if expected == actual => Ok(()),
        (_, PromptState::Busy) => bail!("a command is still running in this terminal"),
        (PromptState::Inner, _) => {
            let last_output: String = terminal
                .last_output
                .iter()
                .map(|line| format!("\n  + {line}"))
                .collect();
            bail!("no shell is open in this terminal; before, it printed:{last_output}")
        }
        (_, _) => bail!(
            "a shell is still open in this terminal: type `exit`, or use `second`"
        ),
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Command(_, command) => write!(f, "`{command}`"),
            Input::Key(key) => write!(f, "the key ^{}", char::from(key + b'@')),
            Input::Nothing => write!(f, "the output of the running command"),
        }
    }
}

#[cfg(test)]
#[path = "run_page_tests.rs"]
mod tests;
