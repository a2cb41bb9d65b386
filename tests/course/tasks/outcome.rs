//! The outcome of a task's tests, read from the output of the test program.

use super::{Task, Wrong};

/// The words of a program that comes to a task which is still `todo!()`.
pub const UNWRITTEN: &str = "not written yet: task ";

/// The tests that passed and those that failed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The names of the tests that passed.
    pub passed: Vec<String>,
    /// The tests that failed, and the message of each.
    pub failed: Vec<(String, String)>,
}

impl Outcome {
    /// Reads what the test program has printed.
    pub fn read(output: &str) -> Self {
        let mut outcome = Outcome::default();
        for line in output.lines() {
            let Some(line) = line.strip_prefix("test ") else { continue };
            // A test that writes to the terminal itself breaks this line in two.
            let Some((name, result)) = line.split_once(" ... ") else { continue };
            match result {
                "FAILED" => {
                    outcome.failed.push((name.into(), message(output, name)));
                }
                "ok" => outcome.passed.push(name.into()),
                _ => {}
            }
        }
        outcome
    }

    /// Returns the message of a test, if it failed.
    pub fn message_of(&self, test: &str) -> Option<&str> {
        let failed = self.failed.iter().find(|(name, _)| name == test);
        failed.map(|(_, message)| &**message)
    }

    /// Whether all tests of a task were run and passed.
    pub fn is_green(&self, task: &Task) -> bool {
        task.tests.iter().all(|test| self.passed.contains(test))
    }

    /// Returns the number of a task that is not written yet, if a test says so.
    pub fn unwritten(&self) -> Option<&str> {
        let says = |(_, message): &'_ (String, String)| message.contains(UNWRITTEN);
        let (_, message) = self.failed.iter().find(|failed| says(failed))?;
        let (_, rest) = message.split_once(UNWRITTEN)?;
        rest.split(|ch: char| ch != '.' && !ch.is_ascii_digit()).next()
    }

    /// Returns where the step's own code has panicked, if a test says so.
    pub fn panic(&self) -> Option<&str> {
        let at = "panicked at ";
        self.failed.iter().find_map(|(_, message)| {
            let (_, place) = message.split_once(at)?;
            // The line end behind it may be escaped.
            let end = place.find(['\n', '\\']).unwrap_or(place.len());
            let place = place[..end].trim_end_matches(':');
            place.starts_with("steps/").then_some(place)
        })
    }

    /// Returns the wrong answers to a task that fail as this one does: exactly the same
    /// tests, or else more.
    pub fn known_mistakes<'t>(&self, task: &'t Task) -> Vec<&'t Wrong> {
        let failed: Vec<_> =
            task.tests.iter().filter(|it| self.has_failed(it)).collect();
        let expected = |wrong: &'t Wrong| wrong.failing(task);
        let matches = |wrong: &&'t Wrong| {
            let shows = |text: &String| failed.iter().any(|it| self.shows(it, text));
            !failed.is_empty()
                && failed.iter().all(|test| expected(wrong).contains(test))
                && wrong.output.as_ref().is_none_or(shows)
        };
        let (same, more): (Vec<_>, Vec<_>) = { task.wrong.iter().filter(matches) }
            .partition(|wrong| expected(wrong).len() == failed.len());
        if same.is_empty() { more } else { same }
    }

    fn has_failed(&self, test: &str) -> bool {
        self.message_of(test).is_some()
    }

    fn shows(&self, test: &str, text: &str) -> bool {
        self.message_of(test).is_some_and(|message| message.contains(text))
    }
}

/// Returns what a failed test has said, without the place in the test's own source.
fn message(output: &str, test: &str) -> String {
    let begin = format!("---- {test} stdout ----\n");
    let Some((_, rest)) = output.split_once(&begin) else { return String::new() };
    let lines = rest.lines().take_while(|line| {
        !line.starts_with("---- ") && *line != "failures:" && *line != "successes:"
    });
    let is_said = |line: &&str| {
        let is_place = line.starts_with("thread '") && line.contains("panicked at");
        !line.is_empty() && !is_place && !line.starts_with("note: run with `RUST_")
    };
    lines.filter(is_said).collect::<Vec<_>>().join("\n")
}

/// Words a test for a learner: `init::children_are_reaped` is "children are reaped".
pub fn sentence(test: &str) -> String {
    test.rsplit("::").next().unwrap_or(test).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 3 tests
test init::a ... ok
test init::b ... FAILED
test init::c ... FAILED

failures:

---- init::b stdout ----

thread 'init::b' (12) panicked at tests/02_pid/init.rs:3:5:
not written yet: task 2.4
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- init::c stdout ----

thread 'init::c' (13) panicked at tests/02_pid/init.rs:9:5:
a zombie is left
at the end


failures:
    init::b
    init::c
";

    fn task(wrong: &str) -> Task {
        let text = format!(
            "number = \"2.4\"\nminutes = 8\nhints = []\ntools = []\n\
             tests = [\"init::a\", \"init::b\", \"init::c\"]\n{wrong}"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_messages_of_failed_tests_are_read() {
        let outcome = Outcome::read(OUTPUT);
        assert_eq!(outcome.passed, ["init::a"]);
        assert_eq!(outcome.message_of("init::b"), Some("not written yet: task 2.4"));
        assert_eq!(outcome.message_of("init::c"), Some("a zombie is left\nat the end"));
        assert_eq!(outcome.message_of("init::a"), None);
        assert_eq!(outcome.unwritten(), Some("2.4"));
    }

    #[test]
    fn a_known_mistake_has_the_same_failed_tests_and_its_text_in_the_output() {
        let task = task(
            "[[wrong]]\nname = \"both\"\nbecause = \"\"\nfrom = \"\"\nto = \"\"\n\
             fails = [\"init::b\", \"init::c\"]\noutput = \"zombie\"\n\
             [[wrong]]\nname = \"other text\"\nbecause = \"\"\nfrom = \"\"\nto = \"\"\n\
             output = \"a child is lost\"\n\
             [[wrong]]\nname = \"one\"\nbecause = \"\"\nfrom = \"\"\nto = \"\"\n\
             fails = [\"init::b\"]\n",
        );
        let outcome = Outcome::read(OUTPUT);
        let known: Vec<_> =
            outcome.known_mistakes(&task).iter().map(|it| &*it.name).collect();
        assert_eq!(known, ["both"]);
        assert!(Outcome::default().known_mistakes(&task).is_empty());
        let mut one = Outcome::read(OUTPUT);
        one.failed.pop();
        let known = one.known_mistakes(&task);
        assert_eq!(known.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["one"]);
    }

    #[test]
    fn the_name_of_a_test_is_a_sentence() {
        assert_eq!(sentence("init::children_are_reaped"), "children are reaped");
    }
}
