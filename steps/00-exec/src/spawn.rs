//! Starts a process, and speaks with it until it has become the command.

use std::convert::Infallible;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use kit::narration::{self, Who};
use kit::{Failure, Hint};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::channel::{Channel, Message};
use crate::child::Child;
use crate::signals::Signals;
use crate::status::Status;
use crate::sys::{self, Cloned};
use crate::terminal::Job;

/// How long an exec may take once a signal wants to end us, in milliseconds.
const EXEC_TAKES: u16 = 1000;

/// What is done for a child while it waits.
type BeforeStart<'a> = Box<dyn FnOnce(Pid) -> Result<()> + 'a>;

/// A process to be started.
pub struct Spawn<'a> {
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'a>>,
    before_start: Option<BeforeStart<'a>>,
    job: Job,
    /// Set in an init: its own parent, which prints what is told before the command
    /// says a word.
    above: Option<&'a Channel>,
}

impl<'a> Spawn<'a> {
    /// A process in new namespaces of these kinds, and in its parent's of every other
    /// kind.
    pub fn new(namespaces: CloneFlags) -> Self {
        Spawn {
            namespaces,
            cgroup: None,
            before_start: None,
            job: Job::inherited(),
            above: None,
        }
    }

    /// It is born in this cgroup (v2 only; clone3(2), CLONE_INTO_CGROUP).
    pub fn into_cgroup(mut self, cgroup: Option<BorrowedFd<'a>>) -> Self {
        self.cgroup = cgroup;
        self
    }

    /// The child waits until the parent has done this for it, and does not start if it
    /// fails.
    pub fn before_start(
        mut self,
        prepare: impl FnOnce(Pid) -> Result<()> + 'a,
    ) -> Self {
        self.before_start = Some(Box::new(prepare));
        self
    }

    /// What becomes of the terminal; by default the child is the foreground job.
    pub fn job(mut self, job: Job) -> Self {
        self.job = job;
        self
    }

    /// It is the process below an init whose parent is `above`, and is told of as such.
    pub fn below_init(mut self, above: &'a Channel) -> Self {
        self.above = Some(above);
        self.job = Job::Inherited;
        self
    }

    #[track_caller]
    // ANCHOR: spawn
    /// Starts the process and returns once it has become the command.
    ///
    /// `become_command` runs in the child. It ends in an exec, or in an error, which is
    /// returned here as if it had happened here.
    ///
    /// # Errors
    /// What the kernel says of clone3(2), and whatever the child failed at.
    // Task 0.1: make the channel first, then clone; each side keeps one end.
    pub fn spawn(
        self,
        become_command: impl FnOnce(&Channel) -> Result<Infallible>,
    ) -> Result<Child> {
        let (ours, theirs) = Channel::pair()?;
        let signals = Signals::block()?;
        let cloned = kit::call(
            "a copy of this process",
            "clone3",
            self.shown(),
            || sys::clone3(self.namespaces, self.cgroup),
        )
        .hint_on(Errno::EPERM, self.why_forbidden())
        .hint_on(
            Errno::ENOSPC,
            "the host's limit of such namespaces is reached: sysctl user | grep max_",
        )
        .hint_on(
            Errno::EAGAIN,
            "no more processes may be made: --pids-limit, or `ulimit -u`",
        )
        .hint_on(
            Errno::ENOSYS,
            "a seccomp filter around us refuses clone3; run outside that sandbox",
        )?;

        match cloned {
            Cloned::Child => {
                drop(ours);
                self.run_child(theirs, become_command)
            }
            Cloned::Parent(pid, pidfd) => {
                drop(theirs);
                let child = Child::new(pid, pidfd, ours, signals, self.job);
                self.see_it_start(child)
            }
        }
    }
    // ANCHOR_END: spawn

    fn why_forbidden(&self) -> &'static str {
        match self.namespaces.contains(CloneFlags::CLONE_NEWUSER) {
            true => {
                "user namespaces are forbidden here: `doctor` of this step says by what"
            }
            false => "new namespaces need root: use sudo",
        }
    }

    /// The flags as a person reads them: `NEWUTS|NEWPID|INTO_CGROUP`.
    fn shown(&self) -> String {
        let namespaces = self
            .namespaces
            .iter_names()
            .map(|(name, _)| name.trim_start_matches("CLONE_"));
        let names: Vec<_> =
            namespaces.chain(self.cgroup.map(|_| "INTO_CGROUP")).collect();
        if names.is_empty() { "no new namespace".into() } else { names.join("|") }
    }

    fn see_it_start(self, mut child: Child) -> Result<Child> {
        if let Some(prepare) = self.before_start {
            // On an error, dropping the child kills it.
            prepare(child.pid())
                .map_err(|error| child.failed_already().map_or(error, Into::into))?;
            child.channel().send(&Message::Go)?;
        }
        child.follow_start(self.above)?;
        Ok(child)
    }

    fn run_child(
        self,
        parent: Channel,
        become_command: impl FnOnce(&Channel) -> Result<Infallible>,
    ) -> ! {
        // Kept for good: this process ends by exec or _exit, and until then it may have
        // to tell.
        let parent: &'static Channel = Box::leak(Box::new(parent));
        end_on_panic(parent);
        let who = if self.above.is_some() { Who::Grandchild } else { Who::Child };
        narration::forward(who, move |line| {
            let _ = parent.send(&Message::Told(line));
        });
        let Err(error) = self.start_child(parent, become_command);
        fail(parent, &error)
    }

    fn start_child(
        self,
        parent: &Channel,
        become_command: impl FnOnce(&Channel) -> Result<Infallible>,
    ) -> Result<Infallible> {
        die_with_parent(parent)?;
        self.job.enter()?;
        if self.before_start.is_some() {
            parent.wait_for_go()?;
        }
        become_command(parent)
    }
}

/// In the child: the kernel kills us when the parent dies, so that a `kill -9` of the
/// runtime ends the command. A change of ids clears it, and it is asked for again.
///
/// # Errors
/// When the parent is dead already.
#[track_caller]
pub fn die_with_parent(parent: &Channel) -> Result<()> {
    // prctl(2), PR_SET_PDEATHSIG: an exec of a set-user-ID program clears it, too.
    kit::call(
        "if the runtime is killed, so are we",
        "prctl",
        "PR_SET_PDEATHSIG, SIGKILL",
        || prctl::set_pdeathsig(Signal::SIGKILL),
    )?;
    // The parent may have died before we asked; then its end of the channel is closed.
    let mut ready = [PollFd::new(parent.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::ZERO)
        .context("poll(the runtime), to see that it is alive")?;
    match ready[0].revents() {
        Some(events) if events.contains(PollFlags::POLLHUP) => {
            Err(Failure::new("the runtime died before the command started").into())
        }
        _ => Ok(()),
    }
}

/// A panic in the child is told to the parent as an error, and ends the child there and
/// then.
fn end_on_panic(parent: &'static Channel) {
    std::panic::set_hook(Box::new(move |panic| {
        fail(parent, &Failure::of_panic(panic).into());
    }));
}

/// Ends a child that cannot go on, and has the parent say why.
pub fn fail(parent: &Channel, error: &anyhow::Error) -> ! {
    let failure = Failure::of(error);
    let code = failure.exit_code();
    // If the parent is gone there is nobody to tell.
    let _ = parent.send(&Message::Failed(failure));
    end(code)
}

/// Ends a child that had work of its own to do, and has done it: nothing is executed.
///
/// # Errors
/// When what it has printed cannot be written.
pub fn finish(parent: &Channel) -> Result<Infallible> {
    std::io::stdout().flush().context("write to stdout")?;
    parent.started()?;
    end(0)
}

/// Ends a child that does not exec: at once, without running what the parent has
/// registered.
pub fn end(code: u8) -> ! {
    match sys::exit_now(code.into()) {}
}

impl Child {
    /// Follows what the child tells until it has become the command, or failed.
    fn follow_start(&mut self, above: Option<&Channel>) -> Result<()> {
        // An init leaves that to its own parent, which ends the init.
        let ending = above.is_none().then(Signals::ending).transpose()?;
        let mut executing = false;
        loop {
            if let Some(ending) = &ending {
                self.expect_message(ending, executing)?;
            }
            match self.channel().receive()? {
                Some((Message::Told(line), _)) => narration::relay(line),
                Some((Message::Descriptor, descriptor)) => self.keep(descriptor),
                Some((Message::Executing, _)) => {
                    executing = true;
                    above.map_or(Ok(()), Channel::announce_exec)?;
                    self.channel().send(&Message::Go)?;
                }
                Some((Message::Failed(failure), _)) => return Err(failure.into()),
                Some((Message::Started, _)) => return Ok(()),
                Some((Message::Go | Message::Stopped(_), _)) => {}
                // Both ends close at exec: this is what success looks like.
                None if executing => return Ok(()),
                None => return Err(self.died_early()),
            }
        }
    }

    /// Why it has failed, if it has: then what is done for it fails as well.
    fn failed_already(&self) -> Option<Failure> {
        while wait_for(
            &mut [PollFd::new(self.channel().as_fd(), PollFlags::POLLIN)],
            0u16,
        )
        .ok()?
        {
            match self.channel().receive().ok()?? {
                (Message::Failed(failure), _) => return Some(failure),
                (Message::Told(line), _) => narration::relay(line),
                _ => {}
            }
        }
        None
    }

    /// Waits for a message. A signal that is to end us does so also while the child is
    /// stuck at the start, in a file system that does not answer perhaps; dropping the
    /// child then kills it.
    fn expect_message(&self, ending: &Signals, executing: bool) -> Result<()> {
        let message = || PollFd::new(self.channel().as_fd(), PollFlags::POLLIN);
        let mut ready = [message(), PollFd::new(ending.as_fd(), PollFlags::POLLIN)];
        wait_for(&mut ready, PollTimeout::NONE)?;
        // A command that runs by now gets the signal from the keyboard, or from us
        // later on.
        if ready[0].any() == Some(true)
            || executing && wait_for(&mut [message()], EXEC_TAKES)?
        {
            return Ok(());
        }
        let Some(received) = ending.read()?.pop() else { return Ok(()) };
        let name = received.name().map_or("a signal", Signal::as_str);
        let code = Status::Killed(received.number).code();
        Err(Failure::new(format_args!("{name} came before the command ran"))
            .exit(code)
            .into())
    }

    fn died_early(&mut self) -> anyhow::Error {
        let how = self
            .reap()
            .map_or_else(|error| format!("{error:#}"), |status| status.to_string());
        Failure::new(format_args!("the child died before it became the command: {how}"))
            .into()
    }
}

/// Whether one of them is ready in that time.
fn wait_for(
    ready: &mut [PollFd<'_>],
    timeout: impl Into<PollTimeout> + Copy,
) -> Result<bool> {
    loop {
        match poll(ready, timeout) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::EINTR) => {}
            Err(error) => {
                return Err(error).context("poll(the child), to see it start");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_is_ready_in_time_is_told_from_what_is_not() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let is_ready = || {
            wait_for(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], 0u16)
                .unwrap()
        };
        assert!(!is_ready());
        nix::unistd::write(&writer, b"x").unwrap();
        assert!(is_ready());
    }

    #[test]
    fn a_panic_in_the_child_is_told_by_the_parent_and_ends_the_child() {
        const ALONE: &str = "KISTE_TEST_RUNS_ALONE";
        if std::env::var_os(ALONE).is_some() {
            for panic in [|| panic!("on purpose"), || todo!("task 0.2"), || todo!()] {
                let spawned = Spawn::new(CloneFlags::empty()).spawn(|_| panic());
                println!("told: {}", spawned.err().unwrap());
            }
            return;
        }
        // In a process of its own, because nothing may be cloned beside the threads of
        // other tests.
        let this = std::env::current_exe().unwrap();
        let name = "spawn::tests::a_panic_in_the_child_is_told_by_the_parent_and_ends_the_child";
        let output = Command::new(this)
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(ALONE, "yes")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let told: Vec<_> =
            printed.lines().filter_map(|line| line.split("told: ").nth(1)).collect();
        assert!(output.status.success() && told.len() == 3, "{output:?}");
        assert!(
            told[0].starts_with("a bug in Kiste: ") && printed.contains("on purpose"),
            "{printed}"
        );
        assert_eq!(told[1], "not written yet: task 0.2");
        let place = told[2].strip_prefix("not written yet: ");
        assert!(place.is_some_and(|it| it.contains("src/spawn.rs:")), "{printed}");
    }

    #[test]
    fn namespaces_are_shown_as_their_man_pages_call_them() {
        assert_eq!(Spawn::new(CloneFlags::empty()).shown(), "no new namespace");
        let both = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID;
        assert_eq!(Spawn::new(both).shown(), "NEWUTS|NEWPID");
    }
}
