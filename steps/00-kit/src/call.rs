//! The one way to call the kernel.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;

use crate::failure::Failure;
use crate::narration;

/// Makes a kernel call: runs `run`, narrates it for `--explain`, and on failure returns
/// a [`Failure`] that names the call, its operands and the kernel's reason.
///
/// `why` is one short clause for the reader of the narration. `name` is the system call
/// as its man page spells it. `operands` is what the call acts on, in words for people.
///
/// The narration shows the call under the step whose source file contains the call to
/// this function. A function with `#[track_caller]` passes on the place of its own caller.
///
/// ```ignore
/// kit::call("the name it sees", "sethostname", name, || sethostname(name))?;
/// ```
#[track_caller]
pub fn call<T: Outcome, E: Into<io::Error>>(
    why: &str,
    name: &str,
    operands: impl Display,
    run: impl FnOnce() -> Result<T, E>,
) -> Result<T> {
    match run() {
        Ok(outcome) => {
            // Only `show` may be slow: `narrate` does nothing when the narration is off.
            if let Some(result) = narration::is_on().then(|| outcome.show()).flatten() {
                narration::narrate(name, &operands, result, why);
            }
            Ok(outcome)
        }
        Err(error) => {
            let failure = Failure::of_call(name, &operands, &error.into());
            narration::narrate(name, &operands, failure.reason(), why);
            Err(failure.into())
        }
    }
}

/// Narrates a call before it is made, because it does not return when it succeeds:
/// execve, `_exit`.
#[track_caller]
pub fn announce(why: &str, name: &str, operands: impl Display) {
    narration::narrate(name, &operands, "…".into(), why);
}

/// The result of a call, as the narration shows it.
pub trait Outcome {
    /// Returns the result in the kernel's words: `0`, a descriptor, a process id, a
    /// count. None if another process narrates the call: the parent narrates clone3,
    /// so the child does not.
    fn show(&self) -> Option<String> {
        Some("0".into())
    }
}

impl Outcome for () {}
impl Outcome for std::fs::Metadata {}

impl Outcome for OwnedFd {
    fn show(&self) -> Option<String> {
        Some(self.as_raw_fd().to_string())
    }
}

impl Outcome for std::fs::File {
    fn show(&self) -> Option<String> {
        Some(self.as_raw_fd().to_string())
    }
}

macro_rules! shown_as_is {
    ($($kind:ty),*) => {$(
        impl Outcome for $kind {
            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}
shown_as_is!(i32, usize, nix::unistd::Pid);

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn the_error_of_a_failed_call_has_its_name_its_operand_and_the_reason() {
        let error = call("a name", "sethostname", "web", || Err::<(), _>(Errno::EPERM))
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "sethostname(web): Operation not permitted (EPERM)"
        );
    }

    #[test]
    fn a_descriptor_is_shown_by_its_number() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = file.as_raw_fd().to_string();
        assert_eq!(file.show(), Some(number.clone()));
        assert_eq!(OwnedFd::from(file).show(), Some(number));
    }
}
