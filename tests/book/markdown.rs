//! The parts of Markdown that the checks need: fences, headings, links.

use kiste_book::fences::{self, Piece};

/// A fenced block of code.
pub struct Fence<'a> {
    /// The line of its opening, counted from 1.
    pub line: usize,
    /// The text behind the opening backticks: `console,root`.
    pub info: &'a str,
    pub lines: Vec<&'a str>,
}

pub struct Heading {
    pub line: usize,
    pub level: usize,
    pub text: String,
}

pub struct Link {
    pub line: usize,
    pub target: String,
}

/// A line outside of fences, with its number.
pub type Line<'a> = (usize, &'a str);

/// Splits a page into its fences and everything else.
pub fn split(text: &str) -> (Vec<Fence<'_>>, Vec<Line<'_>>) {
    let (mut fences, mut prose) = (Vec::new(), Vec::new());
    let mut line = 1;
    for piece in fences::split(text) {
        match piece {
            Piece::Prose(lines) => {
                prose.extend((line..).zip(lines.iter().copied()));
                line += lines.len();
            }
            Piece::Fence(fences::Fence { info, lines, .. }) => {
                let length = lines.len() + 2;
                fences.push(Fence { line, info, lines });
                line += length;
            }
        }
    }
    (fences, prose)
}

/// Returns the headings of `prose`, as written.
pub fn headings(prose: &[Line<'_>]) -> Vec<Heading> {
    let heading = |&(line, text): &Line<'_>| {
        let level = text.bytes().take_while(|byte| *byte == b'#').count();
        let text = text[level..].strip_prefix(' ')?.trim().to_string();
        (1..=6).contains(&level).then_some(Heading { line, level, text })
    };
    prose.iter().filter_map(heading).collect()
}

/// Returns every id that a link can point to: those of `id` attributes, and those that
/// mdbook 0.5 gives to headings (`id_from_content` and `unique_id` in mdbook-html's
/// `utils.rs`).
pub fn ids(prose: &[Line<'_>]) -> Vec<String> {
    let mut ids = Vec::new();
    for heading in headings(prose) {
        let id = match heading.text.rsplit_once("{#") {
            Some((_, id)) => id.trim_end_matches('}').trim().to_string(),
            None => id_of(&heading.text),
        };
        let numbered = (1..).map(|n| format!("{id}-{n}"));
        let unique =
            std::iter::once(id.clone()).chain(numbered).find(|id| !ids.contains(id));
        ids.extend(unique);
    }
    for (_, line) in prose {
        ids.extend(attributes(line, "id").map(str::to_string));
    }
    ids
}

fn id_of(heading: &str) -> String {
    let mut text = heading.to_string();
    // The target of a link in a heading is no part of the id.
    while let Some((start, rest)) = text.split_once("](") {
        let Some((_, end)) = rest.split_once(')') else { break };
        text = format!("{}{end}", start.replacen('[', "", 1));
    }
    let keep = |ch: char| match ch {
        _ if ch.is_alphanumeric() || ch == '_' || ch == '-' => Some(ch),
        _ if ch.is_whitespace() => Some('-'),
        _ => None,
    };
    text.trim().to_lowercase().chars().filter_map(keep).collect()
}

/// Returns the targets of links and pictures: `[a](b)`, `[a]: b`, `<https://b>`,
/// `href="b"`, `src="b"`.
pub fn links(prose: &[Line<'_>]) -> Vec<Link> {
    let mut links = Vec::new();
    for &(line, text) in prose {
        let text = without_code(text);
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let inline =
            inline.map(|(target, _)| target.split(" \"").next().unwrap_or(target));
        let definition = definition(&text).map(|(_, target)| target);
        let in_brackets =
            text.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
        let autolinks = in_brackets
            .map(|(target, _)| target)
            .filter(|target| target.contains("://") && !target.contains(' '));
        let html = ["href", "src"].into_iter().flat_map(|name| attributes(&text, name));
        let targets = inline.chain(definition).chain(autolinks).chain(html);
        links.extend(
            targets.map(|target| Link { line, target: target.trim().to_string() }),
        );
    }
    links
}

/// Returns the label and the target of a definition: `[label]: target`, alone on a
/// line. A footnote (`[^1]: …`) is none.
pub fn definition(line: &str) -> Option<(&str, &str)> {
    let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
    (!label.starts_with('^')).then_some((label, target.trim()))
}

/// Returns the labels used as `[text][label]`.
pub fn labels_used(line: &str) -> Vec<String> {
    let text = without_code(line);
    let uses = text.split("][").skip(1).filter_map(|rest| rest.split_once(']'));
    uses.map(|(label, _)| label.to_string()).collect()
}

fn attributes<'a>(line: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!(" {name}=\"");
    let starts: Vec<_> =
        line.match_indices(&opening).map(|(at, _)| at + opening.len()).collect();
    starts
        .into_iter()
        .filter_map(|at| line[at..].split_once('"').map(|(value, _)| value))
}

/// Returns the line without its `code spans`.
pub fn without_code(line: &str) -> String {
    let (mut text, mut rest) = (String::new(), line);
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].bytes().take_while(|byte| *byte == b'`').count();
        let (fence, body) = (&rest[start..start + ticks], &rest[start + ticks..]);
        text.push_str(&rest[..start]);
        let Some(end) = body.find(fence) else { return text + &rest[start..] };
        rest = &body[end + ticks..];
    }
    text + rest
}

#[test]
fn fences_are_split_from_prose_and_lose_only_the_indent_of_the_fence() {
    let (fences, prose) =
        split("a\n  ```sh\n  if\n    then\n  ```\nb\n````text\n```\n````\n");
    assert_eq!(fences[0].lines, ["if", "  then"]);
    assert_eq!((fences[1].line, fences[1].info), (7, "text"));
    assert_eq!(fences[1].lines, ["```"]);
    assert_eq!(prose, [(1, "a"), (6, "b")]);
}

#[test]
fn ids_are_the_same_as_those_of_mdbook() {
    let page = "# A `fn main` of [one](x.md)'s own\n## Same\n## Same\n## Odd {#even}\n## End ▸\n";
    let (_, prose) = split(page);
    assert_eq!(
        ids(&prose),
        ["a-fn-main-of-ones-own", "same", "same-1", "even", "end-"]
    );
}

#[test]
fn links_are_found_but_not_in_code() {
    let (_, prose) =
        split("[a](b.md) ![c](d.svg \"e\") `[f](g)` <https://h.org>\n[i]: j.md\n");
    let targets: Vec<_> = links(&prose).into_iter().map(|link| link.target).collect();
    assert_eq!(targets, ["b.md", "d.svg", "https://h.org", "j.md"]);
}
