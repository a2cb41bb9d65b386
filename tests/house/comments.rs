//! The grammar of comments: a sentence begins with its subject or its verb.

/// Words with which a sentence hides its subject.
const PRONOUNS: [&str; 7] = ["What", "Who", "Whoever", "That", "Of", "One", "Those"];

/// Returns the numbers of the lines, from 1, whose comment begins with such a word and
/// is no question.
pub fn lines_begun_with_pronoun(text: &str, mark: &str) -> Vec<usize> {
    let comments: Vec<_> = text.lines().map(|line| comment(line, mark)).collect();
    let is_wrong = |at: &usize| {
        comments[*at].is_some_and(|line| {
            let first_word = line.split(|c: char| !c.is_alphabetic()).next().unwrap();
            PRONOUNS.contains(&first_word) && !is_question(&comments[*at..])
        })
    };
    (0..comments.len()).filter(is_wrong).map(|at| at + 1).collect()
}

/// Returns the text of a comment, if the line has nothing else.
fn comment<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let text = line.trim_start().strip_prefix(mark)?;
    text.trim_start_matches(['/', '!']).strip_prefix(' ')
}

/// Returns whether the sentence that begins here ends with a question mark.
fn is_question(comments: &[Option<&str>]) -> bool {
    let block: Vec<_> = comments.iter().map_while(|line| *line).collect();
    let text = block.join(" ") + " ";
    let end = text.find(". ").unwrap_or(text.len());
    text[..end].contains("? ")
}

#[test]
fn a_comment_that_begins_with_a_pronoun_is_found_and_a_question_is_not() {
    let text = [
        "/// That goes wrong.",
        "let a = 1; // What",
        "// What may",
        "// this be? Of course.",
        "//! One",
        "// Once.",
        "// Onesided, that is",
        "# Who",
    ]
    .join("\n");
    let lines = |mark| lines_begun_with_pronoun(&text, mark);
    assert_eq!(lines("//"), [1, 5]);
    assert_eq!(lines("#"), [8]);
}
