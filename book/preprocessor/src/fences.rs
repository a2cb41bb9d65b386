//! Separates the fenced blocks of a page from its prose.

/// A part of a page.
pub enum Piece<'a> {
    /// Lines outside of fences.
    Prose(Vec<&'a str>),
    /// A fenced block.
    Fence(Fence<'a>),
}

/// A fenced block, as written: `` ```console,root ``, its lines, `` ``` ``.
pub struct Fence<'a> {
    /// The blanks before the opening backticks, as in a list.
    pub indent: &'a str,
    /// The backticks.
    pub ticks: &'a str,
    /// The text behind the backticks.
    pub info: &'a str,
    /// The lines between the opening and the closing backticks, without the indent.
    pub lines: Vec<&'a str>,
}

impl<'a> Fence<'a> {
    /// Returns the first word of `info`: `console` of `console,root`.
    pub fn label(&self) -> &'a str {
        self.info.split([',', ' ']).next().unwrap_or_default()
    }

    /// Returns whether `word` stands behind the label.
    pub fn has(&self, word: &str) -> bool {
        self.info.split(',').skip(1).any(|it| it == word)
    }

    /// Returns the same fence around other lines, without the indent.
    pub fn with_lines(&self, lines: &[&str]) -> Vec<String> {
        let opening = format!("{}{}", self.ticks, self.info);
        let lines = lines.iter().map(ToString::to_string);
        [opening].into_iter().chain(lines).chain([self.ticks.to_string()]).collect()
    }
}

/// Splits a page into its fences and the prose around them.
pub fn split(markdown: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut prose, mut open) = (Vec::new(), None::<Fence<'_>>);
    for line in markdown.lines() {
        let text = line.trim_start();
        let (indent, ticks) = (&line[..line.len() - text.len()], ticks(text));
        match &mut open {
            None if ticks.len() >= 3 => {
                pieces.push(Piece::Prose(std::mem::take(&mut prose)));
                let info = text[ticks.len()..].trim();
                open = Some(Fence { indent, ticks, info, lines: Vec::new() });
            }
            None => prose.push(line),
            Some(fence) if closes(text, fence.ticks) => {
                pieces.extend(open.take().map(Piece::Fence));
            }
            Some(fence) => {
                fence.lines.push(line.strip_prefix(fence.indent).unwrap_or(text));
            }
        }
    }
    pieces.push(Piece::Prose(prose));
    pieces.extend(open.map(Piece::Fence));
    pieces
}

fn ticks(text: &str) -> &str {
    &text[..text.len() - text.trim_start_matches('`').len()]
}

fn closes(text: &str, opening: &str) -> bool {
    text.starts_with(opening) && text.trim_end().trim_matches('`').is_empty()
}

#[cfg(test)]
mod tests {
    use super::{Fence, Piece, split};

    fn fences(markdown: &str) -> Vec<Fence<'_>> {
        let fences = split(markdown).into_iter().filter_map(|piece| match piece {
            Piece::Fence(fence) => Some(fence),
            Piece::Prose(_) => None,
        });
        fences.collect()
    }

    #[test]
    fn the_lines_of_a_fence_in_a_list_lose_its_indent() {
        let fences = fences("- a\n  ```sh\n  if\n    then\n\n  ```\nb\n");
        assert_eq!((fences[0].indent, fences[0].label()), ("  ", "sh"));
        assert_eq!(fences[0].lines, ["if", "  then", ""]);
    }

    #[test]
    fn a_fence_of_four_backticks_may_contain_one_of_three() {
        let fences = fences("````markdown\n```console,root\n```\n````\n");
        assert_eq!(fences.len(), 1);
        assert_eq!(fences[0].lines, ["```console,root", "```"]);
    }

    #[test]
    fn words_are_those_behind_the_label() {
        let fences = fences("```console,root,norun=it is second\n$ a\n```\n");
        assert!(fences[0].has("root"));
        assert!(!fences[0].has("console") && !fences[0].has("second"));
    }

    #[test]
    fn a_page_without_changes_stays_as_it_is() {
        let page = "a\n\n1. b\n\n   ```sh\n   c\n   ```\n\nd\n";
        assert_eq!(crate::page(page), page);
    }
}
