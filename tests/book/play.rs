//! Plays the transcripts of a page: types what the book types, and compares what comes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use super::compare;
use super::host::{Host, Root, Verdict};
use super::pages::Page;
use super::room::Room;
use super::terminal::{Asking, Seat, Terminal, Who};
use super::transcript::{self, Block, Input, Needs, Part, Place, Prompt, Until};
use super::world::World;

/// A build from nothing takes a while.
const CARGO_PATIENCE: Duration = Duration::from_secs(600);

/// How long a reader waits at most for the other terminal to come to rest.
const TURN: Duration = Duration::from_secs(1);

/// Once a command has hung, the patience of all is so much shorter: the same may be wrong
/// everywhere.
const AGAIN: u32 = 6;

/// The terminals of one page. They stay as they are from block to block, as a reader's
/// do.
struct Desk<'a> {
    host: &'a Host,
    dir: &'a Path,
    terminals: HashMap<(Place, Who), Terminal>,
    /// The ordinary user's, where the tests are root.
    room: Option<Room>,
    /// $XDG_DATA_HOME of a caller who is an ordinary user.
    data: TempDir,
    /// What plays the host, where the page changes it.
    world: Option<World>,
    /// Who typed last at each place: there the inner shell is.
    last: HashMap<Place, Who>,
    /// What the page makes in the workspace, and did not find there.
    made: Option<PathBuf>,
}

/// How much of a page is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lane {
    All,
    /// Only the sections that are marked ▸.
    Fast,
}

impl Lane {
    /// The transcripts of a page that are in it.
    pub fn blocks(self, page: &Page) -> Result<Vec<Block>, String> {
        let mut blocks = transcript::blocks(page)?;
        blocks.retain(|block| self == Lane::All || block.fast_lane);
        Ok(blocks)
    }
}

/// The line of a block that was not played, and why.
pub type Skipped = (usize, String);

/// Plays a page in `dir`. Returns what was skipped, and why; the first mismatch is the
/// error.
pub fn page(page: &Page, lane: Lane, host: &Host, dir: &Path) -> Result<Vec<Skipped>> {
    let blocks = lane.blocks(page).map_err(|problem| anyhow!(problem))?;
    let data = tempfile::tempdir().context("make a place for images")?;
    let mut desk = Desk {
        host,
        dir,
        terminals: HashMap::new(),
        room: None,
        world: None,
        data,
        last: HashMap::new(),
        made: made_by(page, dir),
    };
    let mut skipped = Vec::new();
    // Whether the block that a `second` or `more` block belongs to was played.
    let (mut played, mut section) = (true, 0);
    for (index, block) in blocks.iter().enumerate() {
        let is_first = std::mem::replace(&mut section, block.section) != block.section;
        let leads = !block.more && (block.place == Place::First || is_first);
        match verdict(page, host, block) {
            Verdict::Play if leads && !is_of_use(page, host, &blocks[index..]) => {
                played = false;
                skipped.push((block.line, "the block behind it is not played".into()));
            }
            Verdict::Play if leads || played => {
                played = true;
                if World::is_for(page, host) && desk.world.is_none() {
                    desk.world = Some(World::make(page, dir)?);
                }
                desk.play(block).with_context(|| page.path.display().to_string())?;
            }
            Verdict::Play => {
                skipped.push((block.line, "the block before was not played".into()))
            }
            Verdict::PassOver => played &= !leads,
            Verdict::Skip(reason) => {
                played &= !leads;
                skipped.push((block.line, reason));
            }
        }
    }
    Ok(skipped)
}

/// What changes the host's network is played in a world of its own, or not at all.
/// Whether the first block is played for its own sake, or else for what comes: a section
/// that begins in the second terminal prepares what the first one then does.
fn is_of_use(page: &Page, host: &Host, blocks: &[Block]) -> bool {
    let [block, behind @ ..] = blocks else { return false };
    let is_next = |next: &&Block| next.place == Place::First;
    let next = behind.iter().take_while(|next| next.section == block.section);
    block.place == Place::First || { next }
        .find(is_next)
        .is_none_or(|next| verdict(page, host, next) == Verdict::Play)
}

fn verdict(page: &Page, host: &Host, block: &Block) -> Verdict {
    match host.verdict(block) {
        Verdict::Play => {
            World::missing(page, host).map_or(Verdict::Play, Verdict::Skip)
        }
        verdict => verdict,
    }
}

/// Each chapter has a directory for what it makes: `ch4`.
fn made_by(page: &Page, dir: &Path) -> Option<PathBuf> {
    let made = dir.join(format!("ch{}", page.number()?));
    (!made.exists()).then_some(made)
}

impl Drop for Desk<'_> {
    /// The fast lane ends before the section that undoes what it made.
    fn drop(&mut self) {
        self.terminals.clear();
        if let Some(made) = &self.made {
            _ = std::fs::remove_dir_all(made);
        }
    }
}

impl Desk<'_> {
    fn play(&mut self, block: &Block) -> Result<()> {
        self.turn(block.place)?;
        for part in &block.parts {
            let who = self.who(block, part);
            self.last.insert(block.place, who);
            let patience = patience(self.host);
            self.enter_room(who, &part.input)?;
            let terminal = self.terminal(block.place, who)?;
            let played = play_part(terminal, part, patience);
            HUNG.fetch_or(terminal.hung, Ordering::Relaxed);
            played.with_context(|| format!("line {}: {}", part.line, part.input))?;
        }
        Ok(())
    }

    /// What was started in the other terminals has become what it is to be.
    fn turn(&mut self, place: Place) -> Result<()> {
        let others = self.terminals.iter_mut().filter(|((at, _), _)| *at != place);
        for (_, terminal) in others {
            terminal.wait(TURN, Terminal::is_at_rest)?;
        }
        Ok(())
    }

    fn who(&self, block: &Block, part: &Part) -> Who {
        match (&part.input, block.needs, self.host.root) {
            (Input::Command(Prompt::Root, _), _, Root::BySudo) => Who::Sudo,
            (
                Input::Command(Prompt::User, _),
                Needs::User | Needs::Rootless,
                Root::Already,
            ) => Who::Nobody,
            (Input::Command(Prompt::User | Prompt::Root, _), ..) => Who::Caller,
            _ => self.last.get(&block.place).copied().unwrap_or(Who::Caller),
        }
    }

    /// The ordinary user's room is made when they first come, and has what they are
    /// about to start.
    fn enter_room(&mut self, who: Who, input: &Input) -> Result<()> {
        let (Who::Nobody, Input::Command(_, command)) = (who, input) else {
            return Ok(());
        };
        let room = match self.room.take() {
            Some(room) => room,
            None => Room::make(self.dir)?,
        };
        self.room.insert(room).build_for(command)
    }

    fn terminal(&mut self, place: Place, who: Who) -> Result<&mut Terminal> {
        if !self.terminals.contains_key(&(place, who)) {
            let entrance = self
                .world
                .as_ref()
                .map(|world| world.entrance(self.dir))
                .unwrap_or_default();
            let seat = Seat {
                entrance: &entrance,
                room: self.room.as_ref(),
                data: self.data.path(),
            };
            let terminal = Terminal::open(who, &seat, self.dir, self.host.patience())?;
            self.terminals.insert((place, who), terminal);
        }
        self.terminals.get_mut(&(place, who)).context("the terminal was opened")
    }
}

/// Whether a command of any page has hung.
static HUNG: AtomicBool = AtomicBool::new(false);

fn patience(host: &Host) -> Duration {
    host.patience() / if HUNG.load(Ordering::Relaxed) { AGAIN } else { 1 }
}

fn play_part(terminal: &mut Terminal, part: &Part, patience: Duration) -> Result<()> {
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
        // What comes was caused elsewhere, and may have come already.
        Input::Nothing => "",
    };
    if command.starts_with("cargo ") {
        let is_built = |now: &mut Terminal| {
            now.shown().contains("Running `") || now.asking() != Asking::Nobody
        };
        terminal.wait(CARGO_PATIENCE, is_built)?;
    }
    let printed = |now: &Terminal| compare::output_lines(&now.shown(), command);
    let done = match part.until {
        Until::Prompt => terminal.wait_for_prompt(patience)?,
        Until::Match => terminal.wait(patience, |now| {
            compare::matches(&part.expected, &printed(now)) && now.is_at_rest()
        })?,
    };
    let printed = printed(terminal);
    if done && command.ends_with('&') {
        // What was sent into the background has become what it is to be.
        terminal.wait(TURN, Terminal::is_at_rest)?;
    }
    terminal.forget();
    terminal.hung = !done;
    if !compare::matches(&part.expected, &printed) {
        let difference = compare::difference(&part.expected, &printed);
        bail!("the book (-) and the terminal (+) differ:\n{difference}");
    }
    if !done {
        bail!("it prints what it should, but does not end: is the block `running`?");
    }
    terminal.said = printed;
    Ok(())
}

fn expect_prompt(terminal: &Terminal, prompt: Prompt) -> Result<()> {
    let due = if prompt == Prompt::Inner { Asking::Inner } else { Asking::Outer };
    match (due, terminal.at) {
        (due, at) if due == at => Ok(()),
        (_, Asking::Nobody) => bail!("a command is still running in this terminal"),
        (Asking::Inner, _) => {
            let said: String =
                terminal.said.iter().map(|line| format!("\n  + {line}")).collect();
            bail!("no shell is open in this terminal; before, it said:{said}")
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
            Input::Nothing => write!(f, "what the running command prints"),
        }
    }
}

#[cfg(test)]
#[path = "play_tests.rs"]
mod tests;
