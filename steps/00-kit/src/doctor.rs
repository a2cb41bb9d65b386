//! Checks of the kernel and the host: what a step needs, whether it is there, and how
//! to fix it.

use std::fmt::Display;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::failure::with_errno_names;
use crate::narration::Format;
use crate::output::{print, print_json};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The needed thing is there.
    Ok,
    /// It is missing. Only some options of the step need it, and the rest of the
    /// step works.
    Missing,
    /// It is missing, and the step cannot run without it.
    Fails,
}

/// A check of one thing that a step needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// The name by which tests and scripts find the check: `cgroup-v2`.
    pub name: String,
    /// The result.
    pub verdict: Verdict,
    /// The state of the host, in words.
    pub found: String,
    /// The command or the change that fixes it.
    pub fix: Option<String>,
}

impl Check {
    /// Makes a check that has passed.
    pub fn ok(name: &str, found: impl Display) -> Self {
        Check {
            name: name.into(),
            verdict: Verdict::Ok,
            found: with_errno_names(found.to_string()),
            fix: None,
        }
    }

    /// Makes a check that has failed, where the step still runs.
    pub fn missing(name: &str, found: impl Display, fix: impl Display) -> Self {
        let fix = Some(fix.to_string());
        Check {
            name: name.into(),
            verdict: Verdict::Missing,
            found: with_errno_names(found.to_string()),
            fix,
        }
    }

    /// Makes a check that has failed, where the step cannot run.
    pub fn fails(name: &str, found: impl Display, fix: impl Display) -> Self {
        Check { verdict: Verdict::Fails, ..Check::missing(name, found, fix) }
    }
}

/// Prints the checks of a step and of the steps before it. The exit code is 1 when the
/// step cannot run.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(format: Format, checks: &[Check]) -> Result<ExitCode> {
    match format {
        Format::Json => print_json(&checks)?,
        Format::Text => print(render(checks))?,
    }
    let fails = checks.iter().any(|check| check.verdict == Verdict::Fails);
    Ok(ExitCode::from(u8::from(fails)))
}

/// Formats the checks for people.
pub fn render(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    checks.iter().map(|check| render_one(check, width)).collect()
}

fn render_one(check: &Check, width: usize) -> String {
    let (word, colour) = match check.verdict {
        Verdict::Ok => ("ok", AnsiColor::Green),
        Verdict::Missing => ("missing", AnsiColor::Yellow),
        Verdict::Fails => ("FAILS", AnsiColor::Red),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let fix = check
        .fix
        .as_ref()
        .map(|fix| format!("{:w$}fix: {fix}\n", "", w = 8 + width + 2));
    format!(
        "{style}{word:<8}{style:#}{:<width$}  {}\n{}",
        check.name,
        check.found,
        fix.unwrap_or_default()
    )
}

/// Checks the kernel's version and the caller's rights, which all steps from 01 to 05
/// need.
pub fn basics() -> Vec<Check> {
    vec![kernel(), root()]
}

/// The oldest kernel that Kiste runs on (RHEL 9; Ubuntu 22.04 and WSL 2 have 5.15).
const OLDEST_KERNEL: (u32, u32) = (5, 14);

/// Checks the kernel's version, which every step needs.
pub fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST_KERNEL {
        Check::ok("kernel", format_args!("Linux {release}"))
    } else {
        let found = format_args!("Linux {release}, older than 5.14");
        Check::fails(
            "kernel",
            found,
            "boot a newer kernel, or use a virtual machine (book: Set-up)",
        )
    }
}

fn root() -> Check {
    let uid = rustix::process::geteuid();
    if uid.is_root() && !has_cap_sys_admin() {
        let found = "uid 0 without CAP_SYS_ADMIN: this is a container";
        Check::fails(
            "root",
            found,
            "run on the host, or in a virtual machine (book: Set-up)",
        )
    } else if uid.is_root() {
        Check::ok("root", "effective uid 0")
    } else {
        let found = format_args!(
            "uid {}: the namespaces of steps 01 to 05 need root",
            uid.as_raw()
        );
        Check::fails(
            "root",
            found,
            "use sudo; `cargo run` calls it by itself when you say `run`",
        )
    }
}

/// Tells whether this process has CAP_SYS_ADMIN, which new namespaces and mounts
/// need: capabilities(7).
fn has_cap_sys_admin() -> bool {
    let capabilities = rustix::thread::capabilities(None);
    capabilities.is_ok_and(|sets| {
        sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_printed_with_the_fix_below_it() {
        let checks = [
            Check::ok("root", "uid 0"),
            Check::missing("cgroup-v2", "not mounted", "mount it"),
            Check::fails("kernel", "too old", "boot a newer one"),
        ];
        let text = render(&checks);
        let expected = "ok      root       uid 0
missing cgroup-v2  not mounted
                   fix: mount it
FAILS   kernel     too old
                   fix: boot a newer one
";
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), expected);
    }
}
