//! The sections of a chapter, and how long a person works in each.

use kiste_book::fences::{self, Fence, Piece};
use kiste_book::minutes::mark;
use kiste_book::transcript::Line;

/// A section (`## `) of a chapter.
#[derive(Debug, PartialEq)]
pub struct Section<'a> {
    /// The line of its heading, counted from 1.
    pub line: usize,
    /// The heading, without ▸.
    pub name: &'a str,
    /// Whether ▸ marks it as a part of the fast lane.
    pub is_fast: bool,
    /// The minutes below its heading.
    pub minutes: Option<u32>,
    /// The work of a person in it, without the tasks.
    pub work: Work,
}

/// The text and the commands of a section. Folded text and the tasks do not count.
#[derive(Debug, Default, PartialEq)]
pub struct Work {
    /// Words of prose.
    pub words: u32,
    /// Commands, which are typed, and whose output is read.
    pub commands: u32,
    /// Listings of code.
    pub listings: u32,
}

impl Work {
    /// Returns the minutes that this takes: 45 seconds for a command, a minute for a
    /// listing, and a minute for 220 words.
    pub fn minutes(&self) -> f64 {
        f64::from(self.commands) * 0.75
            + f64::from(self.listings)
            + f64::from(self.words) / 220.0
    }
}

/// Returns the sections of a chapter.
pub fn sections(markdown: &str) -> Vec<Section<'_>> {
    let (mut sections, mut line) = (Vec::<Section<'_>>::new(), 1);
    // Whether the text is folded, or belongs to the tasks.
    let (mut is_folded, mut is_task) = (false, false);
    for piece in fences::split(markdown) {
        match piece {
            Piece::Prose(lines) => {
                for text in lines {
                    if let Some(heading) = text.strip_prefix("## ") {
                        sections.push(Section::new(line, heading));
                        is_task = false;
                    } else if let Some(section) = sections.last_mut() {
                        is_folded |= text.contains("<details>");
                        is_task |= text.contains("**Task ");
                        section.minutes = section.minutes.or_else(|| mark(text));
                        if !is_folded && !is_task {
                            section.work.words += words(text);
                        }
                        is_folded &= !text.contains("</details>");
                    }
                    line += 1;
                }
            }
            Piece::Fence(fence) => {
                line += fence.lines.len() + 2;
                if let Some(section) = sections.last_mut()
                    && !is_folded
                    && !is_task
                {
                    section.work.add(&fence);
                }
            }
        }
    }
    sections
}

impl<'a> Section<'a> {
    fn new(line: usize, heading: &'a str) -> Self {
        let name = heading.strip_suffix(" ▸");
        Section {
            line,
            name: name.unwrap_or(heading),
            is_fast: name.is_some(),
            minutes: None,
            work: Work::default(),
        }
    }
}

impl Work {
    fn add(&mut self, fence: &Fence<'_>) {
        let is_typed = !fence.info.contains("norun=");
        match fence.label() {
            "rust" => self.listings += 1,
            "console" if is_typed => self.commands += commands(&fence.lines),
            _ => {}
        }
    }
}

fn commands(lines: &[&str]) -> u32 {
    let is_command = |line: &&&str| matches!(Line::of(line), Line::Command(_, _, typed) if !typed.is_empty());
    count(lines.iter().filter(is_command))
}

/// Counts the words of a line, without HTML and the targets of links.
fn words(line: &str) -> u32 {
    let mut text = String::new();
    for (index, part) in line.split("](").enumerate() {
        text +=
            if index == 0 { part } else { part.split_once(')').map_or("", |it| it.1) };
    }
    let outside =
        text.split('<').enumerate().map(|(index, part)| match part.split_once('>') {
            Some((_, rest)) if index > 0 => rest,
            _ => part,
        });
    let text = outside.collect::<Vec<_>>().join(" ");
    count(text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)))
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).expect("a page is short")
}

#[cfg(test)]
mod tests {
    use super::{Work, sections, words};

    #[test]
    fn a_section_has_its_minutes_and_its_work() {
        let page = "# One\n\nNothing counts here.\n\n## Build it ▸\n<!-- 5 min -->\n\n\
            Three [more](a.md#b) words.\n\n```rust,ignore\nfn f() {}\n```\n\n\
            ```console\n$ a\nb\n/ # c\n/ #\n```\n\n```console,norun=it is long\n$ d\n```\n\n\
            <details><summary>Four</summary>\n\nfive\n\n```rust\n```\n\n</details>\n\n\
            1. **Task 0.1** — six\n\n```rust\n```\n\n## See it\n\nSeven\n";
        let sections = sections(page);
        let names: Vec<_> = sections
            .iter()
            .map(|it| (it.line, it.name, it.is_fast, it.minutes))
            .collect();
        assert_eq!(
            names,
            [(5, "Build it", true, Some(5)), (39, "See it", false, None)]
        );
        assert_eq!(sections[0].work, Work { words: 3, commands: 2, listings: 1 });
        assert_eq!(sections[1].work, Work { words: 1, ..Work::default() });
    }

    #[test]
    fn work_takes_time() {
        let work = Work { words: 440, commands: 4, listings: 2 };
        assert!((work.minutes() - 7.0).abs() < 0.01);
    }

    #[test]
    fn words_are_neither_html_nor_addresses() {
        assert_eq!(words("a <b class=\"c\">d</b> [e f](g#h) — `i`"), 5);
    }
}
