//! A start through an intermediate process, which enters namespaces that act only on its
//! children. See pid_namespaces(7) and time_namespaces(7).

use std::os::fd::AsFd;

use anyhow::Result;
use kit::Failure;
use kit::narration::{self, Caller};
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use crate::channel::{Channel, Message};
use crate::in_child::{end_on_panic, exit_child, fail_child};
use crate::process::Process;
use crate::spawn::Spawn;
use crate::sys::{self, Cloned, Parent};

impl Spawn<'_> {
    /// Starts an intermediate process, which runs `prepare` and then clones the child.
    /// Returns in this process and in the child.
    #[track_caller]
    pub(crate) fn clone_through(
        &mut self,
        prepare: impl FnOnce() -> Result<()>,
        ours: &Channel,
        theirs: &Channel,
    ) -> Result<Cloned> {
        self.wait_for_parent();
        // The child inherits the cgroup. It could not be cloned into it: in the
        // container's cgroup namespace, where the intermediate process is by then, the
        // kernel refuses a move from outside (cgroup_namespaces(7), nsdelegate).
        let cgroup = self.cgroup.take();
        let why = "an intermediate process, to enter namespaces";
        let flags = cgroup.map_or("no new namespace", |_| "INTO_CGROUP");
        let cloned = kit::call(why, "clone3", flags, || {
            sys::clone3(CloneFlags::empty(), cgroup, Parent::Caller)
        })?;
        match cloned {
            Cloned::Parent(pid, pidfd) => wait(&Process::new(pid, pidfd), ours),
            Cloned::Child => match self.run_intermediate(prepare, theirs) {
                Ok(Cloned::Child) => Ok(Cloned::Child),
                Ok(Cloned::Parent(..)) => exit_child(0),
                Err(error) => fail_child(theirs, &error),
            },
        }
    }

    /// In the intermediate process: starts the child, and hands it to the parent.
    fn run_intermediate(
        &self,
        prepare: impl FnOnce() -> Result<()>,
        parent: &Channel,
    ) -> Result<Cloned> {
        // A descriptor of its own, because the channel moves into the child. Never
        // dropped: this process ends by _exit.
        let narrator: &'static Channel = Box::leak(Box::new(parent.try_clone()?));
        end_on_panic(narrator);
        narration::forward(Caller::Child, move |line| {
            let _ = narrator.send(&Message::Narrated(line));
        });
        prepare()?;
        let cloned = self.clone(Parent::OfCaller)?;
        if let Cloned::Parent(pid, pidfd) = &cloned {
            parent.send_cloned(*pid, pidfd.as_fd())?;
        }
        Ok(cloned)
    }
}

/// In the parent: waits until the intermediate process has started the child.
fn wait(intermediate: &Process, channel: &Channel) -> Result<Cloned> {
    let cloned = loop {
        match channel.receive()? {
            Some((Message::Narrated(line), _)) => narration::relay(line),
            Some((Message::Cloned(pid), Some(pidfd))) => {
                break Ok(Cloned::Parent(Pid::from_raw(pid), pidfd));
            }
            Some((Message::Failed(failure), _)) => break Err(failure.into()),
            Some(_) => {}
            None => {
                let what = "the intermediate process died before it started the child";
                break Err(Failure::new(what).into());
            }
        }
    };
    intermediate.reap()?;
    cloned
}
