//! Errors a person can act on: what was attempted, on what, the kernel's reason, and
//! the mend.

use std::fmt::{self, Display};
use std::io;
use std::panic::PanicHookInfo;

use anyhow::Result;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Exit code when Kiste itself failed. 126 and 127 are for a command that could not be
/// executed.
pub(crate) const KISTE_FAILED: u8 = 125;

/// How the message of `todo!` begins.
const TODO: &str = "not yet implemented";
/// How a task that is not done is told: `not written yet: task 2.4`.
const NOT_WRITTEN: &str = "not written yet";

/// Why something failed, in a form that crosses from child to parent whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What was attempted, on what: `pivot_root(./rootfs)`.
    what: String,
    /// The kernel's reason, where it was the kernel that refused.
    errno: Option<i32>,
    /// The cause where it is known, and the command that mends it.
    hint: Option<String>,
    /// What the program exits with.
    exit_code: u8,
    /// What kind of failure it is, for callers that answer differently.
    #[serde(default)]
    kind: FailureKind,
}

/// The kind of a failure. A program exits by its code alone; a server makes its status
/// code of the kind (404, 409, 403, 400, 500).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// A named object does not exist.
    NotFound,
    /// The object is in a state, or a name in a use, that does not allow this.
    Conflict,
    /// The caller may not do this.
    Refused,
    /// The request itself is wrong.
    Usage,
    /// Any other failure.
    #[default]
    Other,
}

impl Failure {
    /// A failure in Kiste's own words; exit code 125.
    pub fn new(what: impl Display) -> Self {
        Failure {
            what: what.to_string(),
            errno: None,
            hint: None,
            exit_code: KISTE_FAILED,
            kind: FailureKind::Other,
        }
    }

    /// A system call that failed.
    pub(crate) fn of_call(
        name: &str,
        operands: &dyn Display,
        error: &io::Error,
    ) -> Self {
        let mut failure = Failure::new(format_args!("{name}({operands})"));
        match error.raw_os_error() {
            Some(errno) => failure.errno = Some(errno),
            None => failure.what = format!("{}: {error}", failure.what),
        }
        failure
    }

    /// A panic: `todo!("task 2.4")` stands for a task of the book that a learner has
    /// not done yet, and anything else is a bug.
    pub fn of_panic(panic: &PanicHookInfo<'_>) -> Self {
        match panic.payload_as_str().and_then(|text| text.strip_prefix(TODO)) {
            Some("") => {
                let place = panic.location().map(ToString::to_string);
                Failure::new(format_args!(
                    "{NOT_WRITTEN}: {}",
                    place.unwrap_or_default()
                ))
            }
            Some(task) => Failure::new(format_args!("{NOT_WRITTEN}{task}")),
            None => Failure::new(format_args!("a bug in Kiste: {panic}")),
        }
    }

    /// The same failure, with the exit code that it ends in.
    pub fn exit(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }

    /// The same failure, of this kind.
    pub fn kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// Its kind.
    pub fn failure_kind(&self) -> FailureKind {
        self.kind
    }

    /// The same failure, with the cause and the mend.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The failure as it crosses a process boundary: all its context in one line, of a
    /// length that fits into a message, and that somebody reads.
    pub fn of(error: &anyhow::Error) -> Self {
        let causes: Vec<String> = error.chain().map(cause).collect();
        let what = shortened(named(causes.join(": ")));
        match error.downcast_ref::<Failure>() {
            // The text of `{:#}` already ends in the reason.
            Some(failure) => {
                let hint = failure.hint.clone().map(shortened);
                Failure { what, errno: None, hint, ..*failure }
            }
            None => Failure::new(what),
        }
    }

    /// The exit code that the program ends in.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// The cause and the mend, where they are known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The kernel's reason: `Operation not permitted (EPERM)`.
    pub(crate) fn reason(&self) -> String {
        self.errno.map(|number| reason(Errno::from_raw(number))).unwrap_or_default()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.errno {
            Some(_) => write!(f, ": {}", self.reason()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// One of the causes of an error, in words; nix would say `EMFILE: Too many open
/// files`.
fn cause(cause: &(dyn std::error::Error + 'static)) -> String {
    cause.downcast_ref().map_or_else(|| cause.to_string(), |errno| reason(*errno))
}

/// The standard library shows errors by their numbers, `(os error 28)`: people know
/// them by their names.
fn named(text: String) -> String {
    let Some((before, rest)) = text.split_once("(os error ") else { return text };
    let Some((number, after)) = rest.split_once(')') else { return text };
    let Ok(number) = number.parse() else { return text };
    format!("{before}({:?}){}", Errno::from_raw(number), named(after.into()))
}

/// What the kernel said, in strerror(3)'s words and by its name: `No such file or
/// directory (ENOENT)`.
pub fn reason(errno: Errno) -> String {
    let words = io::Error::from(errno).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    format!("{words} ({errno:?})")
}

/// One error that tells them all, for who goes on past errors.
///
/// # Errors
/// All of them, with the hint and the exit code of the first; none when there is none.
pub fn together(errors: Vec<anyhow::Error>) -> Result<()> {
    let Some(first) = errors.first() else { return Ok(()) };
    let all: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
    Err(Failure { what: all.join("; "), errno: None, ..Failure::of(first) }.into())
}

/// The kernel's reason at the root of `error`, if it was the kernel that refused.
pub fn errno(error: &anyhow::Error) -> Option<Errno> {
    error
        .downcast_ref::<Failure>()
        .and_then(|failure| failure.errno)
        .map(Errno::from_raw)
}

/// The longest text about one call, in characters: an argument may have 128 KiB
/// (execve(2)).
const LONGEST: usize = 4096;

/// A text that may come from an image: what would steer a terminal is shown, not sent.
pub fn readable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
        .collect()
}

/// A text that is too long keeps its beginning and its end: the call, and the reason.
/// Names may come from an image.
pub(crate) fn shortened(text: String) -> String {
    let text = if text.chars().any(char::is_control) { readable(&text) } else { text };
    let length = text.chars().count();
    if length <= LONGEST {
        return text;
    }
    let beginning: String = text.chars().take(LONGEST / 2).collect();
    let end: String = text.chars().skip(length - LONGEST / 2).collect();
    format!("{beginning} … {end}")
}

/// Adds the cause and the mend to an error.
pub trait Hint<T> {
    /// Adds `hint`, unless a room below has already said what it knows.
    fn hint(self, hint: impl Display) -> Result<T>;

    /// Adds `hint` if the kernel's reason is `errno`.
    fn hint_on(self, errno: Errno, hint: impl Display) -> Result<T>;
}

impl<T> Hint<T> for Result<T> {
    fn hint(self, hint: impl Display) -> Result<T> {
        self.map_err(|mut error| match error.downcast_mut::<Failure>() {
            Some(failure) => {
                failure.hint.get_or_insert_with(|| hint.to_string());
                error
            }
            None => Failure::of(&error).hint(hint).into(),
        })
    }

    fn hint_on(self, reason: Errno, hint: impl Display) -> Result<T> {
        match &self {
            Err(error) if errno(error) == Some(reason) => self.hint(hint),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn refused() -> Result<()> {
        crate::call("", "mount", "proc", || Err(Errno::EPERM))
    }

    #[test]
    fn the_hint_nearest_the_cause_wins() {
        let error = refused().hint("near").context("far away").hint("far").unwrap_err();
        assert_eq!(Failure::of(&error).hint_text(), Some("near"));
    }

    #[test]
    fn errors_have_names() {
        let error =
            anyhow::Error::from(io::Error::from(Errno::ENOSPC)).context("write");
        assert_eq!(
            Failure::of(&error).to_string(),
            "write: No space left on device (ENOSPC)"
        );
        let error = anyhow::Error::from(Errno::EMFILE).context("block signals");
        assert_eq!(
            Failure::of(&error).to_string(),
            "block signals: Too many open files (EMFILE)"
        );
    }

    #[test]
    fn a_hint_for_another_reason_is_not_given() {
        let error = refused().hint_on(Errno::EBUSY, "busy").unwrap_err();
        assert_eq!(Failure::of(&error).hint_text(), None);
    }

    #[test]
    fn a_text_that_nobody_would_read_keeps_its_beginning_and_its_end() {
        let error = anyhow::Error::from(Failure::new(format_args!(
            "{}: no such file",
            "ä".repeat(100_000)
        )));
        let text = Failure::of(&error).to_string();
        assert!(text.starts_with("ää") && text.ends_with("ä: no such file"), "{text}");
        assert!(text.chars().count() < 5000);
        assert_eq!(shortened("short".into()), "short");
    }

    #[test]
    fn errors_together_are_all_told_with_the_hint_of_the_first() {
        assert!(together(Vec::new()).is_ok());
        let error = together(vec![
            refused().hint("mend").unwrap_err(),
            Failure::new("more").into(),
        ]);
        let failure = Failure::of(&error.unwrap_err());
        assert_eq!(
            failure.to_string(),
            "mount(proc): Operation not permitted (EPERM); more"
        );
        assert_eq!(failure.hint_text(), Some("mend"));
    }

    #[test]
    fn context_hint_and_exit_code_survive_a_trip_to_the_parent() {
        let error = refused().context("mounting /proc").hint("try again").unwrap_err();
        let sent = serde_json::to_string(&Failure::of(&error).exit(126)).unwrap();
        let got: Failure = serde_json::from_str(&sent).unwrap();
        assert_eq!(
            got.to_string(),
            "mounting /proc: mount(proc): Operation not permitted (EPERM)"
        );
        assert_eq!((got.hint_text(), got.exit_code()), (Some("try again"), 126));
    }
}
