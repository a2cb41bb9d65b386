//! Starts a process in new namespaces. The process then becomes the command.

use std::convert::Infallible;
use std::os::fd::BorrowedFd;

use anyhow::Result;
use kit::Hint;
use kit::interrupt;
use kit::narration::{self, Caller};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use crate::channel::{Channel, Message, OnParentDeath};
use crate::child::Child;
use crate::foreground::Job;
use crate::in_child::{die_with_parent, end_on_panic, fail_child};
use crate::process::Process;
use crate::signals::Signals;
use crate::sys::{self, Cloned, Parent};

/// clone3(2), CLONE_NEWTIME, which nix does not have: time_namespaces(7).
pub const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);

/// A closure that the parent calls with the child's pid, while the child waits.
pub(crate) type ForChild<'a> = Box<dyn FnOnce(Pid) -> Result<()> + 'a>;

/// A process to be started.
pub struct Spawn<'a> {
    namespaces: CloneFlags,
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    before_start: Option<ForChild<'a>>,
    at_sync_point: Option<ForChild<'a>>,
    /// The work of the intermediate process, if there is one.
    through: Option<Box<dyn FnOnce() -> Result<()> + 'a>>,
    job: Job,
    on_parent_death: OnParentDeath,
    /// In an init, the channel to the runtime. The init announces the exec on it and
    /// waits, so that the runtime prints the narration before the command prints
    /// anything.
    runtime: Option<&'a Channel>,
}

impl<'a> Spawn<'a> {
    /// Plans a process that gets new namespaces of these kinds and shares all others
    /// with its parent.
    pub fn new(namespaces: CloneFlags) -> Self {
        Spawn {
            namespaces,
            cgroup: None,
            before_start: None,
            at_sync_point: None,
            through: None,
            job: Job::for_caller_terminal(),
            on_parent_death: OnParentDeath::Kill,
            runtime: None,
        }
    }

    /// Starts the process in this cgroup (v2 only; clone3(2), CLONE_INTO_CGROUP).
    pub fn into_cgroup(mut self, cgroup: Option<BorrowedFd<'a>>) -> Self {
        self.cgroup = cgroup;
        self
    }

    /// Makes the child wait until the parent has run `prepare` for it. If `prepare`
    /// fails, the child does not become the command.
    pub fn before_start(
        mut self,
        prepare: impl FnOnce(Pid) -> Result<()> + 'a,
    ) -> Self {
        self.before_start = Some(Box::new(prepare));
        self
    }

    /// Sets the parent's work in the middle of the start, while the child waits in
    /// [`Channel::sync`]. If `work` fails, the child does not become the command.
    pub fn at_sync_point(mut self, work: impl FnOnce(Pid) -> Result<()> + 'a) -> Self {
        self.at_sync_point = Some(Box::new(work));
        self
    }

    /// Starts the process by an intermediate one, which runs `prepare` first: setns(2)
    /// and unshare(2) of a PID or a time namespace act only on the children of the
    /// caller, and this process is to stay in its own namespaces. The new process is a
    /// child of this one all the same (clone(2), CLONE_PARENT).
    pub fn through(mut self, prepare: impl FnOnce() -> Result<()> + 'a) -> Self {
        self.through = Some(Box::new(prepare));
        self
    }

    /// Sets the child's process group and its use of the terminal. By default, the
    /// child is the foreground job if the caller is in the foreground of a terminal.
    pub fn job(mut self, job: Job) -> Self {
        self.job = job;
        self
    }

    /// Sets whether the child is killed when this process ends. By default it is.
    pub fn on_parent_death(mut self, on_parent_death: OnParentDeath) -> Self {
        self.on_parent_death = on_parent_death;
        self
    }

    /// Makes the process the child of an init. `runtime` is the channel from the init
    /// to its own parent, the runtime.
    pub fn below_init(mut self, runtime: &'a Channel) -> Self {
        self.runtime = Some(runtime);
        self.job = Job::Inherited;
        self
    }

    #[track_caller]
    // ANCHOR: spawn
    /// Starts the process and returns once it has become the command.
    ///
    /// `become_command` runs in the child. It ends in an exec, or in an error, which
    /// this function returns.
    ///
    /// # Errors
    /// The error of clone3(2), or the child's error.
    // Task 0.1: since the clone each side has both ends, and keeps one.
    pub fn spawn(
        mut self,
        become_command: impl FnOnce(&Channel) -> Result<Infallible>,
    ) -> Result<Child> {
        let (ours, theirs) = Channel::pair()?;
        let signals = Signals::block()?;
        if self.runtime.is_none() {
            interrupt::check()?;
        }
        let cloned = match self.through.take() {
            None => self.clone(Parent::Caller)?,
            Some(prepare) => self.clone_through(prepare, &ours, &theirs)?,
        };

        // Task 0.1 begins.
        match cloned {
            Cloned::Child => {
                drop(ours);
                self.run_child(theirs, become_command)
            }
            Cloned::Parent(pid, pidfd) => {
                drop(theirs);
                let process = Process::new(pid, pidfd);
                let child = Child::new(process, ours, signals, self.job);
                self.wait_until_started(child)
            }
        }
    }
    // ANCHOR_END: spawn

    /// Makes the child wait for the parent, even if the parent has nothing to prepare.
    pub(crate) fn wait_for_parent(&mut self) {
        self.before_start.get_or_insert_with(|| Box::new(|_| Ok(())));
    }

    #[track_caller]
    pub(crate) fn clone(&self, parent: Parent) -> Result<Cloned> {
        kit::call("a copy of this process", "clone3", self.format_flags(), || {
            sys::clone3(self.namespaces, self.cgroup, parent)
        })
        .hint_on(Errno::EPERM, self.why_forbidden())
        .hint_on(
            Errno::ENOSPC,
            "the host's limit of such namespaces is reached: sysctl user | grep max_",
        )
        .hint_on(
            Errno::EAGAIN,
            "no more processes may be made: the pids limit of a cgroup, or `ulimit -u`",
        )
        .hint_on(
            Errno::ENOSYS,
            "a seccomp filter around us refuses clone3; run outside that sandbox",
        )
    }

    fn why_forbidden(&self) -> &'static str {
        match self.namespaces.contains(CloneFlags::CLONE_NEWUSER) {
            true => {
                "user namespaces are forbidden here: `doctor` of this step says by what"
            }
            false => "new namespaces need root: use sudo",
        }
    }

    /// Formats the flags for people: `NEWUTS|NEWPID|INTO_CGROUP`.
    fn format_flags(&self) -> String {
        let namespaces = self
            .namespaces
            .iter_names()
            .map(|(name, _)| name.trim_start_matches("CLONE_"));
        let time = self.namespaces.contains(CLONE_NEWTIME).then_some("NEWTIME");
        let cgroup = self.cgroup.map(|_| "INTO_CGROUP");
        let names: Vec<_> = namespaces.chain(time).chain(cgroup).collect();
        if names.is_empty() { "no new namespace".into() } else { names.join("|") }
    }

    fn wait_until_started(self, mut child: Child) -> Result<Child> {
        if let Some(prepare) = self.before_start {
            // On an error, dropping the child kills it. If the child has failed, its
            // error is the cause and ours only a consequence.
            prepare(child.pid())
                .map_err(|error| child.reported_failure().map_or(error, Into::into))?;
            child.channel().send(&Message::Go)?;
        }
        child.handle_messages_until_started(self.runtime, self.at_sync_point)?;
        Ok(child)
    }

    fn run_child(
        self,
        parent: Channel,
        become_command: impl FnOnce(&Channel) -> Result<Infallible>,
    ) -> ! {
        // Never dropped: this process ends by exec or _exit, and until then it may have
        // to send an error.
        let parent: &'static Channel =
            Box::leak(Box::new(parent.with_on_parent_death(self.on_parent_death)));
        end_on_panic(parent);
        let who =
            if self.runtime.is_some() { Caller::Grandchild } else { Caller::Child };
        narration::forward(who, move |line| {
            let _ = parent.send(&Message::Narrated(line));
        });
        let Err(error) = self.start_child(parent, become_command);
        fail_child(parent, &error)
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

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd, IntoRawFd, RawFd};
    use std::path::Path;
    use std::process::{Command, Output};

    use nix::sys::signal::{Signal, kill};

    use super::*;

    /// Set in the process that [`run_alone`] starts.
    const ALONE: &str = "KISTE_TEST_RUNS_ALONE";

    /// Runs the test of this name in a new process, because a process that clones must
    /// have no other threads. Returns None in that new process, which then runs the
    /// test's body.
    fn run_alone(name: &str) -> Option<Output> {
        if std::env::var_os(ALONE).is_some() {
            return None;
        }
        let name = format!("spawn::tests::{name}");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture", "--test-threads=1"])
            .env(ALONE, "yes")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(output)
    }

    /// The rest of each line that has `mark` in it.
    fn printed<'a>(output: &'a Output, mark: &str) -> Vec<&'a str> {
        let text = std::str::from_utf8(&output.stdout).unwrap();
        text.lines().filter_map(|line| Some(line.split_once(mark)?.1)).collect()
    }

    #[test]
    fn a_panic_in_the_child_is_reported_by_the_parent_and_ends_the_child() {
        let Some(output) = run_alone(
            "a_panic_in_the_child_is_reported_by_the_parent_and_ends_the_child",
        ) else {
            for panic in [|| panic!("on purpose"), || todo!("task 0.2"), || todo!()] {
                let spawned = Spawn::new(CloneFlags::empty()).spawn(|_| panic());
                println!("error: {}", spawned.err().unwrap());
            }
            return;
        };
        let errors = printed(&output, "error: ");
        assert_eq!(errors.len(), 3, "{output:?}");
        assert!(errors[0].starts_with("a bug in Kiste: "), "{errors:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("on purpose"), "{text}");
        assert_eq!(errors[1], "not written yet: task 0.2");
        let place = errors[2].strip_prefix("not written yet: ");
        assert!(place.is_some_and(|it| it.contains("src/spawn.rs:")), "{errors:?}");
    }

    #[test]
    fn a_child_outlives_its_parent_only_if_it_is_to_keep_running() {
        let Some(output) =
            run_alone("a_child_outlives_its_parent_only_if_it_is_to_keep_running")
        else {
            for on_parent_death in [OnParentDeath::Kill, OnParentDeath::KeepRunning] {
                // The command must close the stdout that it inherits:
                // `Command::output` in [`run_alone`] waits until every process has
                // closed it.
                let script = "exec sleep 300 <&- >&- 2>&-";
                let command = crate::Command {
                    argv: ["/bin/sh", "-c", script].map(Into::into).into(),
                    env: vec!["PATH=/usr/bin:/bin".into()],
                    ..crate::Command::default()
                };
                let child = Spawn::new(CloneFlags::empty())
                    .on_parent_death(on_parent_death)
                    .job(Job::Session)
                    .spawn(|parent| crate::become_command(&command, parent))
                    .unwrap();
                let (pid, pidfd) = child.detach().unwrap();
                assert!(!wait_until_dead(&pidfd, 0), "detach() leaves it alive");
                println!("pid: {pid}");
            }
            return;
        };
        let pids =
            printed(&output, "pid: ").into_iter().map(|pid| pid.parse().unwrap());
        let [killed, kept_running] = pids.collect::<Vec<i32>>().try_into().unwrap();
        let is_dead = |pid: i32, timeout_ms: u16| {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
                .map_or(true, |pidfd| wait_until_dead(&pidfd, timeout_ms))
        };
        assert!(is_dead(killed, 10_000));
        assert!(!is_dead(kept_running, 0));
        kill(Pid::from_raw(kept_running), Signal::SIGKILL).unwrap();
        assert!(is_dead(kept_running, 10_000));
    }

    /// Waits some milliseconds for the end of the process; returns whether it has
    /// ended.
    fn wait_until_dead(pidfd: &impl AsFd, timeout_ms: u16) -> bool {
        use nix::poll::{PollFd, PollFlags, poll};
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout_ms).unwrap()
            > 0
    }

    #[test]
    fn the_descriptors_that_are_named_stay_open_and_all_others_are_closed() {
        let Some(output) = run_alone(
            "the_descriptors_that_are_named_stay_open_and_all_others_are_closed",
        ) else {
            let spawned = Spawn::new(CloneFlags::empty()).spawn(|parent| {
                let null = || std::fs::File::open("/dev/null").unwrap();
                let (kept, closed) = (null(), null().into_raw_fd());
                crate::close_other_fds(&[parent.as_fd(), kept.as_fd()])?;
                let is_open =
                    |fd: RawFd| Path::new(&format!("/proc/self/fd/{fd}")).exists();
                println!("open: {} {}", is_open(kept.as_raw_fd()), is_open(closed));
                crate::finish_child(parent)
            });
            spawned.unwrap().wait().unwrap();
            return;
        };
        assert_eq!(printed(&output, "open: "), ["true false"]);
    }

    #[test]
    fn namespaces_are_shown_as_their_man_pages_call_them() {
        assert_eq!(Spawn::new(CloneFlags::empty()).format_flags(), "no new namespace");
        let both = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID;
        assert_eq!(Spawn::new(both).format_flags(), "NEWUTS|NEWPID");
    }
}
