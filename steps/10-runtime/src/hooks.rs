//! Hooks: programs that config.json has run at points of a container's life. See
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks>

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use kit::interrupt::Wait;
use kit::{Context, Failure, Result};
use oci_spec::runtime::{Hook, Hooks as Section};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::invalid::invalid;
use crate::log::Log;

/// The hooks of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks(Section);

/// A point in the life of a container at which hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// In the namespaces of the runtime, before pivot_root(2). Deprecated, for
    /// createRuntime.
    Prestart,
    /// In the namespaces of the runtime, before pivot_root(2).
    CreateRuntime,
    /// In those of the container, before pivot_root(2).
    CreateContainer,
    /// In those of the container, before the exec.
    StartContainer,
    /// In those of the runtime, after the exec.
    Poststart,
    /// In those of the runtime, once the container is deleted.
    Poststop,
}

impl Point {
    /// Its name in config.json.
    fn name(self) -> &'static str {
        match self {
            Point::Prestart => "prestart",
            Point::CreateRuntime => "createRuntime",
            Point::CreateContainer => "createContainer",
            Point::StartContainer => "startContainer",
            Point::Poststart => "poststart",
            Point::Poststop => "poststop",
        }
    }

    const ALL: [Point; 6] = [
        Point::Prestart,
        Point::CreateRuntime,
        Point::CreateContainer,
        Point::StartContainer,
        Point::Poststart,
        Point::Poststop,
    ];
}

impl Hooks {
    /// Takes the hooks of config.json.
    ///
    /// # Errors
    /// When the path of one is not absolute, or its timeout is not greater than 0.
    pub fn of(section: Option<&Section>) -> Result<Self> {
        let hooks = Hooks(section.cloned().unwrap_or_default());
        for point in Point::ALL {
            for hook in hooks.at(point) {
                let (name, path) = (point.name(), hook.path().display());
                if !hook.path().is_absolute() {
                    let why = format!("hooks.{name}: {path} is not an absolute path");
                    return Err(invalid(why));
                }
                if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                    let why = format!(
                        "hooks.{name}: {path}: a timeout is greater than 0 seconds"
                    );
                    return Err(invalid(why));
                }
            }
        }
        Ok(hooks)
    }

    fn at(&self, point: Point) -> &[Hook] {
        let hooks = match point {
            // The name is deprecated, and engines still use it.
            #[allow(deprecated)]
            Point::Prestart => self.0.prestart(),
            Point::CreateRuntime => self.0.create_runtime(),
            Point::CreateContainer => self.0.create_container(),
            Point::StartContainer => self.0.start_container(),
            Point::Poststart => self.0.poststart(),
            Point::Poststop => self.0.poststop(),
        };
        hooks.as_deref().unwrap_or_default()
    }

    /// Tells whether there is a hook at one of these points.
    pub fn has(&self, points: &[Point]) -> bool {
        points.iter().any(|point| !self.at(*point).is_empty())
    }

    /// Runs the hooks at this point, in order. Each reads the state of the container
    /// from its stdin.
    ///
    /// # Errors
    /// When a hook cannot be executed, fails, or takes longer than its timeout. The
    /// hooks after it are not run.
    pub fn run(&self, point: Point, state: &str) -> Result<()> {
        self.at(point).iter().try_for_each(|hook| run(hook, point, state))
    }

    /// Runs the hooks at this point as [`Hooks::run`] does. A failure is only a
    /// warning, and the hooks after it are run.
    pub fn run_all(&self, point: Point, state: &str, log: &Log) {
        for hook in self.at(point) {
            if let Err(error) = run(hook, point, state) {
                log.warn(&Failure::of(&error).to_string());
            }
        }
    }
}

fn run(hook: &Hook, point: Point, state: &str) -> Result<()> {
    let name = format!("{} hook {}", point.name(), hook.path().display());
    kit::announce("a hook of config.json", "execve", &name);
    let stdin = memory_file("stdin", state).context(name.clone())?;
    let mut output = memory_file("stdout", "").context(name.clone())?;
    let copy = || output.try_clone().with_context(|| format!("{name}: dup(stdout)"));
    let mut command = command(hook);
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(copy()?));
    let mut child =
        command.stderr(Stdio::from(copy()?)).spawn().context(name.clone())?;
    let failure = |what: String| -> anyhow::Error {
        Failure::new(format_args!("{name}: {what}")).into()
    };
    let timeout = hook.timeout().map(|seconds| Duration::from_secs(seconds as u64));
    match wait(&mut child, timeout) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => {
            let mut text = String::new();
            let _ = output.rewind().and_then(|()| output.read_to_string(&mut text));
            Err(failure(format!("{status}: {}", text.trim())))
        }
        ended => {
            let _ = child.kill();
            let _ = child.wait();
            ended.context(name.clone())?;
            Err(failure("it took longer than its timeout, and was killed".into()))
        }
    }
}

fn command(hook: &Hook) -> Command {
    let mut command = Command::new(hook.path());
    let args = hook.args().as_deref().unwrap_or_default();
    if let Some((name, args)) = args.split_first() {
        command.arg0(name).args(args);
    }
    let variables = hook.env().iter().flatten();
    command.env_clear().envs(variables.filter_map(|it| it.split_once('=')));
    command
}

/// Waits until the hook has ended. None: it takes longer than its timeout.
fn wait(
    child: &mut std::process::Child,
    timeout: Option<Duration>,
) -> Result<Option<ExitStatus>> {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .with_context(|| format!("pidfd_open({pid})"))?;
    let wait = Wait::new().context("signalfd(signals)")?;
    let has_ended = match timeout {
        Some(timeout) => wait.is_readable_within(timeout, &pidfd)?,
        None => wait.until_readable(&pidfd).map(|()| true)?,
    };
    match has_ended {
        true => Ok(Some(child.wait().with_context(|| format!("wait({pid})"))?)),
        false => Ok(None),
    }
}

/// Makes a file in memory, read from its beginning. A pipe could fill, and then a hook
/// that does not read would block its runtime.
fn memory_file(name: &str, text: &str) -> Result<File> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC)
        .with_context(|| format!("memfd_create({name})"))?;
    let mut file = File::from(file);
    file.write_all(text.as_bytes())
        .and_then(|()| file.rewind())
        .with_context(|| format!("write {} bytes to memfd:{name}", text.len()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(json: &str) -> Result<Hooks> {
        Hooks::of(Some(&serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn a_hook_reads_the_state_and_has_its_own_arguments_and_environment() {
        let path =
            std::env::temp_dir().join(format!("kiste-hook-{}", std::process::id()));
        let script = format!("{{ cat; echo \" $0 $A $HOME\"; }} > {}", path.display());
        let json = serde_json::json!({"poststart": [
            {"path": "/bin/sh", "args": ["sh", "-c", script, "zero"], "env": ["A=1"]}
        ]});
        hooks(&json.to_string()).unwrap().run(Point::Poststart, "the state").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(text, "the state zero 1 \n");
    }

    #[test]
    fn a_failing_hook_is_an_error_with_its_output_and_a_slow_one_is_killed() {
        let run = |script: &str| {
            let json = serde_json::json!({"prestart": [
                {"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1}
            ]});
            hooks(&json.to_string()).unwrap().run(Point::Prestart, "")
        };
        let error = run("echo why >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("/bin/sh") && error.contains("why"), "{error}");
        let error = run("exec sleep 100").unwrap_err().to_string();
        assert!(error.contains("timeout"), "{error}");
    }

    #[test]
    fn a_relative_path_and_a_timeout_of_0_are_refused() {
        assert!(hooks(r#"{"poststop": [{"path": "true"}]}"#).is_err());
        assert!(hooks(r#"{"poststop": [{"path": "/x", "timeout": 0}]}"#).is_err());
        assert!(hooks(r#"{"poststop": [{"path": "/x", "timeout": 1}]}"#).is_ok());
    }
}
