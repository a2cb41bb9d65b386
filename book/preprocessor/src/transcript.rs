//! Turns a `console` fence into HTML in which the prompt, typed text and output differ.
//! Text and order stay, so that the page reads the same without style.

use super::fences::{Fence, Piece};

/// The shell whose prompt begins a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// `$`: the shell of the reader.
    User,
    /// `#`: the shell of root.
    Root,
    /// `/ #`, `inside #`, `victim #`: a shell that a command has opened.
    Inner,
}

/// A line of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A prompt (`/ # `), and the command that is typed behind it.
    Command(Prompt, &'a str, &'a str),
    /// `^C`, `^D`, `^Z`, `^\`
    Key(&'a str),
    /// Any other line is output.
    Output(&'a str),
}

impl<'a> Line<'a> {
    /// Parses a line of a `console` fence.
    pub fn of(line: &'a str) -> Self {
        if matches!(line.trim_end(), "^C" | "^D" | "^Z" | "^\\") {
            return Line::Key(line.trim_end());
        }
        let (place, prompt) = match line.split_once(' ') {
            Some((place, _)) if is_place(place) => (place.len() + 1, Prompt::Inner),
            _ if line.starts_with('$') => (0, Prompt::User),
            _ => (0, Prompt::Root),
        };
        let Some(rest) = line[place..].strip_prefix(['$', '#']) else {
            return Line::Output(line);
        };
        let command = rest.trim_start();
        if !rest.is_empty() && command.len() == rest.len() {
            return Line::Output(line); // as `#!/bin/sh`
        }
        let sign = &line[..line.len() - command.len()];
        Line::Command(prompt, sign, command.trim_end())
    }
}

/// Returns whether the word before `#` is the prompt of a shell in a container, or in
/// the namespaces that the page *Break it* harms.
fn is_place(word: &str) -> bool {
    word.starts_with(['/', '~']) || word == "inside" || word == "victim"
}

/// The sections in which the page uses a second terminal. There each transcript is
/// labelled with its terminal.
pub struct Terminals {
    /// The sections (`## `) with a block in the second terminal, by number.
    sections: Vec<usize>,
    /// The number of the current section.
    section: usize,
}

impl Terminals {
    /// Reads the whole page.
    pub fn of(pieces: &[Piece<'_>]) -> Self {
        let (mut sections, mut section) = (Vec::new(), 0);
        for piece in pieces {
            match piece {
                Piece::Prose(lines) => section += headings(lines),
                Piece::Fence(fence) if is_second(fence) => sections.push(section),
                Piece::Fence(_) => {}
            }
        }
        Terminals { sections, section: 0 }
    }

    /// Counts the sections that begin in this prose.
    pub fn count_sections(&mut self, prose: &[&str]) {
        self.section += headings(prose);
    }

    /// Returns the label of a transcript, such as `Terminal 2`. None if the section
    /// uses only one terminal.
    fn name(&self, fence: &Fence<'_>) -> Option<&'static str> {
        let continues = fence.has("more") && !self.sections.is_empty();
        match self.sections.contains(&self.section) || continues {
            true if is_second(fence) => Some("Terminal 2"),
            true => Some("Terminal 1"),
            false => None,
        }
    }
}

fn headings(prose: &[&str]) -> usize {
    prose.iter().filter(|line| line.starts_with("## ")).count()
}

fn is_second(fence: &Fence<'_>) -> bool {
    fence.label() == "console" && fence.has("second")
}

/// Returns the HTML of a `console` fence. No line of it is empty, since Markdown would
/// end the HTML there.
pub fn html(fence: &Fence<'_>, terminals: &Terminals) -> Vec<String> {
    let lines: Vec<_> = fence.lines.iter().map(|line| Line::of(line)).collect();
    let has_prompt = |prompt| {
        lines
            .iter()
            .any(|line| matches!(line, Line::Command(shown, ..) if *shown == prompt))
    };
    let is_root = has_prompt(Prompt::Root) && !has_prompt(Prompt::User);
    let label = match (terminals.name(fence), is_root) {
        (Some(name), true) => format!("{name}, as root"),
        (Some(name), false) => name.to_string(),
        (None, true) => "As root".to_string(),
        (None, false) => String::new(),
    };

    let mut html = vec!["<figure class=\"transcript\">".to_string()];
    if !label.is_empty() {
        html.push(format!("<figcaption>{label}</figcaption>"));
    }
    let screen = lines.iter().map(line_html).collect::<Vec<_>>().join("\n");
    let screen = format!("<pre><samp>{screen}</samp></pre>");
    html.extend(screen.lines().map(str::to_string));
    html.push("</figure>".to_string());
    html
}

fn line_html(line: &Line<'_>) -> String {
    match line {
        Line::Command(prompt, sign, command) => {
            let class = match prompt {
                Prompt::User | Prompt::Root => "prompt",
                Prompt::Inner => "prompt inner",
            };
            let prompt = format!("<span class=\"{class}\">{}</span>", escaped(sign));
            match command.is_empty() {
                true => prompt,
                false => format!("{prompt}<kbd>{}</kbd>", escaped(command)),
            }
        }
        Line::Key(key) => format!("<kbd class=\"key\">{key}</kbd>"),
        Line::Output(text) if text.trim().is_empty() => "<span></span>".to_string(),
        Line::Output("...") => placeholder("..."),
        Line::Output(text) => escaped(text).replace("[..]", &placeholder("[..]")),
    }
}

/// Marks a placeholder for text that differs from run to run.
fn placeholder(mark: &str) -> String {
    format!("<span class=\"any\" title=\"differs from run to run\">{mark}</span>")
}

/// Escapes the characters that HTML reserves in text.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Line, Prompt};

    #[test]
    fn prompts_are_distinguished_from_output() {
        let typed = |line, prompt, sign, command| {
            assert_eq!(Line::of(line), Line::Command(prompt, sign, command));
        };
        typed("$ ls -l", Prompt::User, "$ ", "ls -l");
        typed("# ls", Prompt::Root, "# ", "ls");
        typed("/ # ls # all", Prompt::Inner, "/ # ", "ls # all");
        typed("/tmp # ls", Prompt::Inner, "/tmp # ", "ls");
        typed("~ $ ls", Prompt::Inner, "~ $ ", "ls");
        typed("inside # ls ", Prompt::Inner, "inside # ", "ls");
        typed("victim # ls", Prompt::Inner, "victim # ", "ls");
        typed("/ #", Prompt::Inner, "/ #", "");
        for output in ["#!/bin/sh", "/bin/sh: no", "inside the box", "a # b", "", "$5"]
        {
            assert_eq!(Line::of(output), Line::Output(output));
        }
        assert_eq!(Line::of("^C"), Line::Key("^C"));
        assert_eq!(Line::of("^C and more"), Line::Output("^C and more"));
    }

    #[test]
    fn typed_and_printed_text_differ() {
        let page = crate::page("```console\n$ echo '<a>' && b\n<a>\n\n/ # \n^D\n```\n");
        let expected = "<figure class=\"transcript\">\n\
            <pre><samp><span class=\"prompt\">$ </span>\
            <kbd>echo '&lt;a&gt;' &amp;&amp; b</kbd>\n\
            &lt;a&gt;\n\
            <span></span>\n\
            <span class=\"prompt inner\">/ # </span>\n\
            <kbd class=\"key\">^D</kbd></samp></pre>\n\
            </figure>\n";
        assert_eq!(page.trim_start(), expected);
    }

    #[test]
    fn placeholders_are_marked_in_output_only() {
        let page = crate::page("```console\n$ [..]\na [..]\n...\n```\n");
        assert!(page.contains("<kbd>[..]</kbd>\na <span class=\"any\""));
        assert!(page.contains(">...</span>"));
    }

    #[test]
    fn html_has_no_empty_line_and_the_indent_of_the_fence() {
        let page = crate::page("1. a\n\n   ```console,root\n   # b\n\n   c\n   ```\n");
        let html = page.lines().skip(2).collect::<Vec<_>>();
        assert!(
            html.iter()
                .all(|line| line.starts_with("   <") || line.starts_with("   c"))
        );
    }

    #[test]
    fn terminals_are_named_in_the_sections_that_use_two() {
        let label = |page: &str| {
            let page = crate::page(page);
            let labels = page.lines().filter_map(|line| {
                line.strip_prefix("<figcaption>")?.strip_suffix("</figcaption>")
            });
            labels.map(str::to_string).collect::<Vec<_>>()
        };
        let one = "## A\n```console\n$ a\n```\n```console,root\n# b\n```\n";
        let two = "## B\n```console\n$ a\n```\n```console,root,second\n# b\n```\n";
        let more = "## C\n```console\n$ a\n```\n```console,more\n/ # b\n```\n";
        assert_eq!(label(one), ["As root"]);
        assert_eq!(label(two), ["Terminal 1", "Terminal 2, as root"]);
        assert_eq!(label(more), [""; 0]);
        assert_eq!(label("```console,root\n$ sudo -s\n# a\n```\n"), [""; 0]);
        let page = label(&[one, two, more].concat());
        let names = ["As root", "Terminal 1", "Terminal 2, as root", "Terminal 1"];
        assert_eq!(page, names);
    }
}
