//! Runs a program under ptrace(2), records every system call of it and of its children,
//! and makes one of the calls fail, kills the process before the call, or sends the
//! runtime a signal.
//!
//! strace's `--inject=CALL:when=N` counts in each process separately: a fault that is
//! meant for the child's N-th call would hit the parent's. Here a fault is injected at
//! one call of one process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::calls::{Operand, numbered};
use crate::injection::{Fault, Injection};
use crate::registers::Registers;
use crate::trace::{Call, Phase, Program, Trace};
use crate::watchdog::Watchdog;

struct Process {
    name: String,
    /// How often it has made each call, by the number of the call.
    call_counts: BTreeMap<i64, usize>,
    /// Some between the entry into a call and its return. If the call is made to fail,
    /// it contains the error that replaces the result.
    pending_call: Option<Option<Errno>>,
}

struct Tracer<'a> {
    program: &'a Program<'a>,
    injection: Option<&'a Injection>,
    /// The process that becomes the runtime.
    runtime: Pid,
    processes: BTreeMap<Pid, Process>,
    /// How many processes of each kind there were.
    kind_counts: BTreeMap<&'static str, usize>,
    calls: Vec<Call>,
    phase: Phase,
    hit: bool,
    code: i32,
    /// The moment of the start, or of the fault.
    since: Instant,
    time: Duration,
}

/// Runs a program to its end. `inspect` is called with the command's PID while it is
/// stopped at its exec.
pub fn trace<T>(
    program: &Program<'_>,
    injection: Option<&Injection>,
    mut inspect: impl FnMut(i32) -> T,
) -> Trace<T> {
    let [out, err] =
        ["stdout", "stderr"].map(|name| program.dir.join(format!("traced-{name}")));
    let runtime = start(program, &out, &err);
    let mut tracer = Tracer {
        program,
        injection,
        runtime,
        processes: BTreeMap::new(),
        kind_counts: BTreeMap::new(),
        calls: Vec::new(),
        phase: Phase::Reading,
        hit: false,
        code: -1,
        since: Instant::now(),
        time: Duration::ZERO,
    };
    let watchdog = Watchdog::start();
    watchdog.watch(runtime);
    let mut command = None;
    // The children of this process that hold namespaces are not traced.
    while watchdog.watches_any() {
        let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL)) else { break };
        if let Some(pid) = tracer.handle_event(status, &watchdog) {
            tracer.phase = Phase::Running;
            command.get_or_insert_with(|| inspect(pid.as_raw()));
            let _ = ptrace::detach(pid, None);
            watchdog.forget(pid);
            tracer.processes.remove(&pid);
        }
    }
    let text = |path: &PathBuf| {
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    };
    let Tracer { calls, code, hit, time, .. } = tracer;
    Trace {
        calls,
        code,
        time,
        out: text(&out),
        err: text(&err),
        hung: watchdog.end(),
        hit,
        command,
    }
}

/// Starts a shell that stops until it is traced, and then execs the program.
// `trace` waits for the shell, as for all processes.
#[allow(clippy::zombie_processes)]
fn start(program: &Program<'_>, out: &Path, err: &Path) -> Pid {
    let child = Command::new("sh")
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .args(program.words)
        .current_dir(program.dir)
        .stdin(Stdio::null())
        .stdout(File::create(out).expect("make a file for stdout"))
        .stderr(File::create(err).expect("make a file for stderr"))
        .spawn()
        .expect("run sh");
    let pid = Pid::from_raw(child.id() as i32);
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("wait for sh to stop");
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("trace sh");
    kill(pid, Signal::SIGCONT).expect("let sh go on");
    pid
}

impl Tracer<'_> {
    /// Handles an event, and lets the process go on. Returns a process that has just
    /// become the command.
    fn handle_event(&mut self, status: WaitStatus, watchdog: &Watchdog) -> Option<Pid> {
        let (pid, signal) = match status {
            WaitStatus::Exited(pid, code) => {
                return self.process_ended(pid, code, watchdog);
            }
            WaitStatus::Signaled(pid, signal, _) => {
                return self.process_ended(pid, 128 + signal as i32, watchdog);
            }
            WaitStatus::PtraceSyscall(pid) => {
                self.handle_syscall(pid);
                (pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                if self.became_command(pid) {
                    return Some(pid);
                }
                (pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_STOP) => {
                watchdog.watch(pid);
                (pid, None)
            }
            // A fork. The new process may send its own event only after its parent has
            // ended.
            WaitStatus::PtraceEvent(pid, ..) => {
                let new = ptrace::getevent(pid).map(|new| Pid::from_raw(new as i32));
                let _ = new.map(|new| watchdog.watch(new));
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            _ => return None,
        };
        let _ = ptrace::syscall(pid, signal); // ESRCH: the process was killed meanwhile
        None
    }

    fn process_ended(
        &mut self,
        pid: Pid,
        code: i32,
        watchdog: &Watchdog,
    ) -> Option<Pid> {
        self.processes.remove(&pid);
        watchdog.forget(pid);
        if pid == self.runtime {
            self.code = code;
            self.time = self.since.elapsed();
        }
        None
    }

    /// Returns whether a process of the runtime has executed another program: the
    /// command. Programs that lead to the runtime (sh, nsenter) do not count.
    fn became_command(&mut self, pid: Pid) -> bool {
        let was_runtime = self.processes.contains_key(&pid);
        match self.runs_runtime(pid) {
            // The process is in the call of execve, whose return follows.
            true if !was_runtime => drop(self.add_process(pid, Some(None))),
            true => {}
            false => return was_runtime,
        }
        false
    }

    fn add_process(
        &mut self,
        pid: Pid,
        pending_call: Option<Option<Errno>>,
    ) -> &mut Process {
        let kind = match () {
            () if pid == self.runtime || self.is_of_script(pid) => "runtime",
            () if kiste_tests::host::status_field(pid, "NSpid")
                .split_whitespace()
                .count()
                > 1 =>
            {
                "child"
            }
            () => "helper",
        };
        let count = self.kind_counts.entry(kind).or_default();
        *count += 1;
        let name = if *count == 1 { kind.into() } else { format!("{kind} {count}") };
        self.processes.entry(pid).or_insert(Process {
            name,
            call_counts: BTreeMap::new(),
            pending_call,
        })
    }

    /// Returns whether a shell script has started this process, as one of several
    /// runtimes.
    fn is_of_script(&self, pid: Pid) -> bool {
        !self.processes.contains_key(&self.runtime)
            && kiste_tests::host::status_field(pid, "PPid") == self.runtime.to_string()
    }

    fn handle_syscall(&mut self, pid: Pid) {
        // Until the runtime is executed, the only process runs sh or nsenter.
        let started = !self.processes.is_empty();
        if !started || (!self.processes.contains_key(&pid) && !self.runs_runtime(pid)) {
            return;
        }
        if !self.processes.contains_key(&pid) {
            self.add_process(pid, None);
        }
        let process = self.processes.get_mut(&pid).expect("it was added");
        let Some(registers) = Registers::of(pid) else { return };
        if let Some(result) = process.pending_call.take() {
            if let Some(errno) = result {
                registers.fail(pid, errno);
            }
            return;
        }
        process.pending_call = Some(None);
        let number = registers.number();
        let nth = process.call_counts.entry(number).or_default();
        *nth += 1;
        let known = numbered(self.program.known, number);
        let name = known.map_or(format!("call-{number}"), |known| known.name.into());
        let arguments = registers.arguments();
        let operand = known.map_or(String::new(), |known| {
            operand_text(pid, known.operand, &arguments)
        });
        if self.phase == Phase::Reading && matches!(name.as_str(), "mkdir" | "clone3") {
            self.phase = Phase::Starting;
        }
        let call = Call {
            process: process.name.clone(),
            name,
            nth: *nth,
            operand,
            phase: self.phase,
        };
        let injection = self.injection.filter(|injection| injection.matches(&call));
        if let Some(Injection { fault, .. }) = injection {
            (self.hit, self.since) = (true, Instant::now());
            match fault {
                Fault::Kill => drop(kill(pid, Signal::SIGKILL)),
                Fault::Signal => drop(kill(self.runtime, Signal::SIGTERM)),
                Fault::Error(errno) => {
                    process.pending_call = Some(Some(*errno));
                    registers.skip(pid);
                }
            }
        }
        // The standard library checks a file with F_GETFD before it closes it, in debug
        // builds only.
        let is_check = call.name == "fcntl" && arguments[1] == libc::F_GETFD as u64;
        if !is_check {
            self.calls.push(call);
        }
    }

    /// Returns whether a process executes the runtime's program, a mount of it, or the
    /// copy in memory that an ordinary user's runtime makes of it.
    fn runs_runtime(&self, pid: Pid) -> bool {
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let inode = |path: &Path| {
            fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
        };
        let name = self.program.exe.file_name().unwrap_or_default().display();
        let copy = format!("/memfd:{name} ");
        inode(&link).is_some_and(|found| Some(found) == inode(self.program.exe))
            || fs::read_link(link)
                .is_ok_and(|exe| exe.display().to_string().starts_with(&copy))
    }
}

fn operand_text(pid: Pid, operand: Operand, arguments: &[u64; 6]) -> String {
    match operand {
        Operand::Nothing => String::new(),
        Operand::Descriptor => {
            let link = fs::read_link(format!("/proc/{pid}/fd/{}", arguments[0]));
            link.map_or(String::new(), |link| link.display().to_string())
        }
        Operand::Path(at) => {
            let mut bytes = [0; 256];
            let memory = File::open(format!("/proc/{pid}/mem"));
            let read = memory
                .and_then(|memory| memory.read_at(&mut bytes, arguments[at]))
                .unwrap_or(0);
            let text =
                bytes[..read].split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        }
    }
}
