//! A start of a container, timed from fork to exit.

use std::io::{PipeReader, Read, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::sys;

/// How long a start may take before it is killed, and counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The measurements of a successful start.
pub struct Measured {
    /// The time from just before fork(2) until the return of wait4(2).
    pub time: Duration,
    /// The peak memory: see [`sys::Ended::peak_kib`].
    pub peak_kib: u64,
}

/// Starts a command, waits for its end, and measures the time.
///
/// # Errors
/// When it does not exit with 0, with its stderr; when it takes too long.
pub fn run_to_end(command: &mut Command) -> Result<Measured> {
    let name = command.get_program().to_owned();
    let (mut errors, stderr) = pipe().context("make a pipe")?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let begin = Instant::now();
    let process = Process::spawn(command)?;
    command.stderr(Stdio::null()); // closes our end of the pipe
    let in_time = process.wait_timeout(PATIENCE)?;
    if !in_time {
        process.kill();
    }
    let ended = process.reap()?;
    let time = begin.elapsed();
    match (in_time, ended.code) {
        (true, Some(0)) => Ok(Measured { time, peak_kib: ended.peak_kib }),
        (false, _) => {
            bail!("{}: took longer than {} s", name.display(), PATIENCE.as_secs())
        }
        (true, code) => {
            let how =
                code.map_or("was killed".into(), |code| format!("exit code {code}"));
            bail!("{}: {how}: {}", name.display(), read_available(&mut errors))
        }
    }
}

/// A container that sleeps until it is ended.
pub struct Sleeper {
    process: Option<Process>,
}

impl Sleeper {
    /// Starts a container, and returns once its command has printed something: `sh -c
    /// 'echo up; exec sleep …'`.
    ///
    /// # Errors
    /// When the container ends without output.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        let (out, stdout) = pipe().context("make a pipe")?;
        let (mut errors, stderr) = pipe().context("make a pipe")?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let sleeper = Sleeper { process: Some(Process::spawn(command)?) };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        match has_output(out)? {
            true => Ok(sleeper),
            false => bail!("{}: {}", name.display(), read_available(&mut errors)),
        }
    }

    /// Ends the container: kills the runtime's children, so that the runtime cleans up
    /// after them.
    pub fn end(&mut self) {
        let Some(process) = self.process.take() else { return };
        let children = format!("/proc/{0}/task/{0}/children", process.pid);
        let children = std::fs::read_to_string(children).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        if !matches!(process.wait_timeout(Duration::from_secs(10)), Ok(true)) {
            process.kill();
        }
        let _ = process.reap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of a process that is not our child.
pub struct Ending(OwnedFd);

impl Ending {
    /// Opens the process whose id is in this file.
    ///
    /// # Errors
    /// When there is no such file or process.
    pub fn of(pid_file: &Path) -> Result<Self> {
        let read = || format!("read {}", pid_file.display());
        let text = std::fs::read_to_string(pid_file).with_context(read)?;
        let pid =
            rustix::process::Pid::from_raw(text.trim().parse().with_context(read)?);
        let pidfd = pidfd_open(pid.with_context(read)?, PidfdFlags::empty());
        Ok(Ending(pidfd.context("pidfd_open")?))
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn wait(&self) -> Result<()> {
        ensure!(wait_readable(&self.0, PATIENCE)?, "the container did not end");
        Ok(())
    }
}

struct Process {
    pid: u32,
    pidfd: OwnedFd,
}

impl Process {
    fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        // In a process group of its own: Ctrl-C must reach only the benchmark, which
        // then removes the containers in order.
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", name.display()))?;
        // `child` is not used for waiting, since wait4(2) also returns the peak memory.
        let pid = rustix::process::Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
        Ok(Process { pid: child.id(), pidfd })
    }

    fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        wait_readable(&self.pidfd, timeout)
    }

    fn kill(&self) {
        let _ = kill(Pid::from_raw(self.pid as i32), Signal::SIGKILL);
    }

    fn reap(self) -> Result<sys::Ended> {
        sys::wait4(self.pid).context("wait4")
    }
}

fn wait_readable(descriptor: &impl AsFd, timeout: Duration) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(count) => return Ok(count > 0),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
    }
}

/// Waits for output. Returns false at the end of the pipe, or if it takes too long.
fn has_output(mut out: PipeReader) -> Result<bool> {
    Ok(wait_readable(&out, PATIENCE)?
        && out.read(&mut [0; 16]).context("read from a pipe")? > 0)
}

/// Reads the current content of the pipe. Does not wait for processes that still have
/// its other end open.
fn read_available(errors: &mut PipeReader) -> String {
    let mut bytes = vec![0; 4096];
    let length = match wait_readable(errors, Duration::from_millis(100)) {
        Ok(true) => errors.read(&mut bytes).unwrap_or(0),
        _ => 0,
    };
    let text = String::from_utf8_lossy(&bytes[..length]).trim().replace('\n', "; ");
    if text.is_empty() { "it printed nothing".into() } else { text }
}
