//! Checks that every chapter has notes for its speaker, and a quiz.

use std::path::Path;

use super::pages::{Book, Page};

const NOTES: &str = "book/src/notes.md";
const QUIZ: &str = "book/src/quiz.md";

/// The most lines of a chapter's notes: they are read while speaking.
const MOST_LINES: usize = 60;

/// Checks the notes and the quiz of every chapter.
pub fn check(book: &Book) -> Vec<String> {
    let mut problems = Vec::new();
    for page in book.chapters() {
        let Some(number) = page.number() else { continue };
        problems.extend(problem_with_notes(book, number).map(|what| page.at(1, what)));
        problems.extend(problem_with_quiz(book, number).map(|what| page.at(1, what)));
    }
    problems
}

fn problem_with_notes(book: &Book, number: u32) -> Option<String> {
    let name = format!("notes/{number:02}.md");
    let lines = book.read(&Path::new("book").join(&name)).lines().count();
    let section = section_of(book.page(Path::new(NOTES))?, number);
    if !section.contains(&format!("{{{{#include ../{name}}}}}")) {
        return Some(format!("{NOTES} does not include its {name}"));
    }
    (lines > MOST_LINES)
        .then(|| format!("book/{name} has {lines} lines: at most {MOST_LINES}"))
}

fn problem_with_quiz(book: &Book, number: u32) -> Option<String> {
    let section = section_of(book.page(Path::new(QUIZ))?, number);
    let is_question = |line: &str| line.starts_with(&format!("**{number}."));
    let questions = section.lines().filter(|line| is_question(line)).count();
    let answers = section.matches("<details>").count();
    if !(3..=5).contains(&questions) {
        return Some(format!("{QUIZ} has {questions} questions for it: three to five"));
    }
    (questions != answers).then(|| {
        format!("{QUIZ} has {questions} questions for it, and {answers} answers")
    })
}

/// Returns the section `## Chapter 3: …` of a page, or nothing.
fn section_of(page: &Page, number: u32) -> &str {
    let heading = format!("\n## Chapter {number}:");
    let (_, rest) = page.text.split_once(&heading).unwrap_or_default();
    rest.split("\n## ").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{NOTES, QUIZ, check};

    const PAGE: (&str, &str) = ("book/src/03-mount.md", "");
    const NOTE: (&str, &str) = ("book/notes/03.md", "Say it.\n");
    const INCLUDED: &str =
        "# Notes\n\n## Chapter 3: mounts\n\n{{#include ../notes/03.md}}\n";
    const QUESTIONS: &str = "# Quiz\n\n## Chapter 3: mounts\n\n\
        **3.1** a\n<details>\n**3.2** b\n<details>\n**3.3** c\n<details>\n\n\
        ## Chapter 4: root\n\n**4.1** d\n";

    #[test]
    fn notes_and_a_quiz_are_accepted() {
        accepts(check, &[PAGE, NOTE, (NOTES, INCLUDED), (QUIZ, QUESTIONS)]);
    }

    #[test]
    fn missing_and_long_notes_are_found() {
        let notes = INCLUDED.replace("03", "04");
        refuses(
            check,
            &[PAGE, NOTE, (NOTES, &notes)],
            "does not include its notes/03.md",
        );
        let long = "a\n".repeat(61);
        let files = [PAGE, (NOTE.0, long.as_str()), (NOTES, INCLUDED)];
        refuses(check, &files, "book/notes/03.md has 61 lines: at most 60");
    }

    #[test]
    fn a_quiz_with_too_few_questions_or_answers_is_found() {
        let quiz = QUESTIONS.replace("**3.3** c\n<details>\n", "");
        refuses(check, &[PAGE, (QUIZ, &quiz)], "has 2 questions for it: three to five");
        let quiz = QUESTIONS.replace("c\n<details>\n", "c\n");
        refuses(check, &[PAGE, (QUIZ, &quiz)], "has 3 questions for it, and 2 answers");
    }
}
