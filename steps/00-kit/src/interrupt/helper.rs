//! Waits for another program.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use super::Wait;

/// Runs a program to its end, and returns its status and what it has written to stderr.
/// If a signal ends the wait, the program is killed, with all that it has started.
///
/// # Errors
/// When the program cannot be executed, or a signal has come.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let wait = Wait::new()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.process_group(0).spawn()?;
    match wait_for_end(&wait, &mut child) {
        Ok(stderr) => Ok(Output { status: child.wait()?, stdout: Vec::new(), stderr }),
        Err(error) => {
            // A set-user-ID program, too, may be killed by its caller: kill(2).
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
            Err(error)
        }
    }
}

/// Returns what the child writes to stderr, once it has ended.
fn wait_for_end(wait: &Wait, child: &mut Child) -> io::Result<Vec<u8>> {
    let stderr = child.stderr.as_mut().map_or(Ok(Vec::new()), read_to_end)?;
    let pid = rustix::process::Pid::from_child(child);
    wait.until_readable(pidfd_open(pid, PidfdFlags::empty())?)?;
    Ok(stderr)
}

/// Reads a pipe until its other end is closed.
///
/// # Errors
/// When a signal has come, or the kernel's reason of read(2).
pub fn read_to_end(reader: &mut (impl Read + AsFd)) -> io::Result<Vec<u8>> {
    let wait = Wait::new()?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        wait.until_readable(&*reader)?;
        match reader.read(&mut part) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn a_program_is_run_to_its_end() {
        let mut command = Command::new("sh");
        let ran =
            output(command.args(["-c", "echo out; echo err >&2; exit 3"])).unwrap();
        assert_eq!((ran.status.code(), &ran.stderr[..]), (Some(3), &b"err\n"[..]));
        assert!(output(&mut Command::new("/no/such/program")).is_err());
    }

    #[test]
    fn a_signal_ends_the_wait_and_kills_the_program() {
        let start = Instant::now();
        let runs = thread::spawn(move || {
            crate::interrupt::block().unwrap();
            raise(Signal::SIGTERM).unwrap();
            output(Command::new("sleep").arg("100")).unwrap_err();
        });
        runs.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(50));
    }
}
