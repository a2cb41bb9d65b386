//! Checks that all chapters have the same structure, so that a reader who knows one
//! chapter finds the way in the next.

use super::markdown;
use super::pages::{Book, Page};

/// The sections of a chapter. ▸ marks the fast lane.
const SECTIONS: [&str; 13] = [
    "What you will have ▸",
    "Watch it leak ▸",
    "By hand",
    "The mechanism",
    "Build it ▸",
    "See it",
    "Prove it ▸",
    "A terminal of its own",
    "More proofs",
    "What can go wrong",
    "Exercises",
    "What the real ones do",
    "Undo, and further reading",
];

/// The sections that only some chapters have.
const OPTIONAL: [&str; 2] = ["A terminal of its own", "More proofs"];

/// The beginning of the line that leads in: what of Docker a reader knows already.
const DOCKER: &str = "**In Docker's terms:** ";

/// The required content of sections: the section, the required text, and its
/// description.
const CONTENTS: [(&str, &str, &str); 9] = [
    ("What you will have ▸", "{{#include img/", "a picture, by include"),
    ("The mechanism", "https://man7.org/linux/man-pages/", "a link to a man page"),
    TASK,
    ("Build it ▸", "{{#include ../../steps/", "code, by an include anchor"),
    ("What can go wrong", "|---|", "a table: symptom, cause, how to confirm it, fix"),
    ("Exercises", "**Predict**", "an exercise **Predict**"),
    ("Exercises", "<details>", "a folded answer (<details>)"),
    ("Exercises", "**Change**", "an exercise **Change**"),
    ("Exercises", "**Extend**", "an exercise **Extend**"),
];

/// Only the chapters of Part I ask for tasks.
const TASK: (&str, &str, &str) = ("Build it ▸", "**Task ", "a numbered task");

/// Checks that every chapter has its sections and their content.
pub fn check(book: &Book) -> Vec<String> {
    book.chapters().flat_map(check_chapter).collect()
}

fn check_chapter(page: &Page) -> Vec<String> {
    let (_, prose) = markdown::split(&page.text);
    let headings = markdown::headings(&prose);
    let sections: Vec<_> =
        headings.iter().filter(|heading| heading.level == 2).collect();
    let names: Vec<_> = sections.iter().map(|heading| heading.text.as_str()).collect();
    let mut problems = Vec::new();
    let is_due = |name: &&str| !OPTIONAL.contains(name) || names.contains(name);
    let due_names: Vec<_> = SECTIONS.into_iter().filter(is_due).collect();
    if names != due_names {
        let pairs = names.iter().zip(&due_names);
        let first_wrong = pairs.take_while(|(name, due)| name == due).count();
        let line = sections
            .get(first_wrong)
            .map_or(page.text.lines().count(), |heading| heading.line);
        let due = due_names
            .get(first_wrong)
            .map_or("the end".to_string(), |due| format!("`## {due}`"));
        problems.push(page.at(line, format!("here should be {due}")));
        return problems;
    }
    let lines: Vec<_> = page.text.lines().collect();
    if !lines[..sections[0].line].iter().any(|line| line.starts_with(DOCKER)) {
        problems.push(page.at(1, format!("the head lacks a line `{DOCKER}`")));
    }
    let due = CONTENTS.into_iter().filter(|due| page.has_tasks() || *due != TASK);
    for (name, words, what) in due {
        let index = names
            .iter()
            .position(|known| *known == name)
            .expect("sections are complete");
        let start = sections[index].line;
        let end = sections.get(index + 1).map_or(lines.len(), |next| next.line - 1);
        if !lines[start..end].iter().any(|line| line.contains(words)) {
            problems.push(page.at(start, format!("`{name}` lacks {what}")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{CONTENTS, DOCKER, OPTIONAL, SECTIONS, check};

    const PAGE: &str = "book/src/01-uts.md";

    fn chapter() -> String {
        let mut page = format!("# A name of its own\n\n{DOCKER}none\n");
        for section in SECTIONS.iter().filter(|name| !OPTIONAL.contains(name)) {
            page += &format!("\n## {section}\n\n");
            let needed = CONTENTS.iter().filter(|(name, ..)| name == section);
            needed.for_each(|(_, words, _)| page += &format!("{words}\n"));
        }
        page
    }

    #[test]
    fn a_chapter_on_the_template_is_accepted() {
        accepts(check, &[(PAGE, &chapter()), ("book/src/errno.md", "# No chapter\n")]);
    }

    #[test]
    fn a_chapter_that_does_not_lead_in_by_docker_is_found() {
        let page = chapter().replace(DOCKER, "") + DOCKER;
        refuses(
            check,
            &[(PAGE, &page)],
            "the head lacks a line `**In Docker's terms:**",
        );
    }

    #[test]
    fn a_missing_section_is_found() {
        let page = chapter().replace("## See it\n", "");
        refuses(check, &[(PAGE, &page)], "here should be `## See it`");
    }

    #[test]
    fn optional_sections_come_behind_prove_it() {
        for section in OPTIONAL {
            let more = format!("\n## {section}\n");
            let page = chapter()
                .replace("\n## What can go", &format!("{more}\n## What can go"));
            accepts(check, &[(PAGE, &page)]);
            let words = format!("here should be `## {section}`");
            refuses(check, &[(PAGE, &(chapter() + &more))], &words);
        }
    }

    #[test]
    fn a_section_after_the_last_one_is_found() {
        let page = chapter() + "\n## More\n";
        refuses(check, &[(PAGE, &page)], "here should be the end");
    }

    #[test]
    fn sections_in_another_order_are_found() {
        let page = chapter()
            .replace("## See it\n", "## X\n")
            .replace("## By hand\n", "## See it\n");
        refuses(check, &[(PAGE, &page)], "here should be `## By hand`");
    }

    #[test]
    fn a_chapter_of_part_2_needs_no_task() {
        let page = chapter().replace("**Task \n", "\n");
        accepts(check, &[("book/src/09-security.md", &page)]);
        refuses(check, &[("book/src/08-network.md", &page)], "lacks a numbered task");
    }

    #[test]
    fn a_section_without_its_required_content_is_found() {
        for (name, words, what) in CONTENTS {
            let page = chapter().replacen(&format!("{words}\n"), "\n", 1);
            refuses(check, &[(PAGE, &page)], &format!("`{name}` lacks {what}"));
        }
    }
}
