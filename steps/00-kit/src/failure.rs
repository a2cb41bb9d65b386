//! Errors that a person can act on: the call, its operand, the kernel's reason, and how
//! to fix it.

use std::fmt::{self, Display};
use std::io;
use std::panic::PanicHookInfo;

use anyhow::Result;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// The exit code when Kiste itself has failed. 126 and 127 are for a command that could
/// not be executed.
pub(crate) const KISTE_FAILED: u8 = 125;

/// The beginning of the message of `todo!`.
const TODO: &str = "not yet implemented";
/// The message for a task that is not done: `not written yet: task 2.4`.
const NOT_WRITTEN: &str = "not written yet";

/// A failure in a form that the child can send to the parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The call and its operand: `pivot_root(./rootfs)`.
    what: String,
    /// The kernel's reason, if the kernel refused.
    errno: Option<i32>,
    /// The cause if it is known, and the command that fixes it.
    hint: Option<String>,
    /// The exit code of the program.
    exit_code: u8,
    /// The kind, for callers that need more than an exit code.
    #[serde(default)]
    kind: FailureKind,
}

/// The kind of a failure, from which a server derives its status code (404, 409, 403,
/// 400, 500).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// A named object does not exist.
    NotFound,
    /// The object is in a state that does not allow this, or the name is already in
    /// use.
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
    /// Makes a failure with a message of our own; its exit code is 125.
    pub fn new(what: impl Display) -> Self {
        Failure {
            what: what.to_string(),
            errno: None,
            hint: None,
            exit_code: KISTE_FAILED,
            kind: FailureKind::Other,
        }
    }

    /// Makes the failure of a system call.
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
        if let Some(wrapped) = wrapped_failure(error) {
            failure.exit_code = wrapped.exit_code;
        }
        failure
    }

    /// Makes a failure from a panic. `todo!("task 2.4")` stands for a task of the
    /// book that a learner has not done yet; any other panic is a bug.
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

    /// Sets the exit code of the program.
    pub fn with_exit_code(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }

    /// Sets the kind.
    pub fn with_kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Sets the hint: the cause, and how to fix it.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Makes one failure of an error and all its context, in one line that is short
    /// enough for a message between processes, and for a reader.
    pub fn of(error: &anyhow::Error) -> Self {
        let causes: Vec<String> = error.chain().map(describe_cause).collect();
        let what = shortened(with_errno_names(causes.join(": ")));
        let wrapped = || wrapped_failure(error.downcast_ref()?);
        match error.downcast_ref::<Failure>().or_else(wrapped) {
            // The text already ends in the reason.
            Some(failure) => {
                let hint = failure.hint.clone().map(shortened);
                Failure { what, errno: None, hint, ..*failure }
            }
            None => Failure::new(what),
        }
    }

    /// Returns the exit code of the program.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Returns the hint, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the kernel's reason: `Operation not permitted (EPERM)`.
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

/// Returns the failure of a wait that a signal has ended.
fn wrapped_failure(error: &io::Error) -> Option<&Failure> {
    error.get_ref()?.downcast_ref()
}

/// Describes one cause of an error. For an error number, nix alone would say `EMFILE:
/// Too many open files`.
fn describe_cause(cause: &(dyn std::error::Error + 'static)) -> String {
    cause.downcast_ref().map_or_else(|| cause.to_string(), |errno| reason(*errno))
}

/// Replaces the error numbers of the standard library, `(os error 28)`, by the names
/// that people know, `(ENOSPC)`.
pub(crate) fn with_errno_names(text: String) -> String {
    let Some((before, rest)) = text.split_once("(os error ") else { return text };
    let Some((number, after)) = rest.split_once(')') else { return text };
    let Ok(number) = number.parse() else { return text };
    format!("{before}({:?}){}", Errno::from_raw(number), with_errno_names(after.into()))
}

/// Describes an error of the kernel by strerror(3)'s words and its name: `No such file
/// or directory (ENOENT)`.
pub fn reason(errno: Errno) -> String {
    let words = io::Error::from(errno).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    format!("{words} ({errno:?})")
}

/// Makes one error of several, for callers that go on after an error.
///
/// # Errors
/// All of them in one message, with the hint and the exit code of the first. An empty
/// list is no error.
pub fn combine_errors(errors: Vec<anyhow::Error>) -> Result<()> {
    let Some(first) = errors.first() else { return Ok(()) };
    let all: Vec<_> = errors.iter().map(|it| Failure::of(it).to_string()).collect();
    Err(Failure { what: all.join("; "), errno: None, ..Failure::of(first) }.into())
}

/// Returns the kernel's reason of `error`, if the kernel refused.
pub fn errno(error: &anyhow::Error) -> Option<Errno> {
    error
        .downcast_ref::<Failure>()
        .and_then(|failure| failure.errno)
        .map(Errno::from_raw)
}

/// The longest text about one call, in characters. It is limited because an argument
/// may have 128 KiB (execve(2)).
const LONGEST: usize = 4096;

/// Escapes control characters in a text that may come from an image, so that it cannot
/// steer the terminal.
pub fn escape_control_characters(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
        .collect()
}

/// Shortens a text that is too long. It keeps the beginning, which has the call, and
/// the end, which has the reason; control characters are escaped.
pub(crate) fn shortened(text: String) -> String {
    let text = if text.chars().any(char::is_control) {
        escape_control_characters(&text)
    } else {
        text
    };
    let length = text.chars().count();
    if length <= LONGEST {
        return text;
    }
    let beginning: String = text.chars().take(LONGEST / 2).collect();
    let end: String = text.chars().skip(length - LONGEST / 2).collect();
    format!("{beginning} … {end}")
}

/// Adds the cause and the fix to an error.
pub trait Hint<T> {
    /// Adds `hint`, unless the error has one already: code nearer to the cause knows
    /// more.
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
    fn an_error_number_is_replaced_by_its_name() {
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
    fn a_text_that_is_too_long_keeps_its_beginning_and_its_end() {
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
    fn combined_errors_are_all_in_the_message_with_the_hint_of_the_first() {
        assert!(combine_errors(Vec::new()).is_ok());
        let error = combine_errors(vec![
            refused().hint("fix").unwrap_err(),
            Failure::new("more").into(),
        ]);
        let failure = Failure::of(&error.unwrap_err());
        assert_eq!(
            failure.to_string(),
            "mount(proc): Operation not permitted (EPERM); more"
        );
        assert_eq!(failure.hint_text(), Some("fix"));
    }

    #[test]
    fn context_hint_and_exit_code_survive_a_trip_to_the_parent() {
        let error = refused().context("mounting /proc").hint("try again").unwrap_err();
        let sent =
            serde_json::to_string(&Failure::of(&error).with_exit_code(126)).unwrap();
        let got: Failure = serde_json::from_str(&sent).unwrap();
        assert_eq!(
            got.to_string(),
            "mounting /proc: mount(proc): Operation not permitted (EPERM)"
        );
        assert_eq!((got.hint_text(), got.exit_code()), (Some("try again"), 126));
    }
}
