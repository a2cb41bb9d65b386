//! Kills a run that does not end.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a run may take. The longest timeout in the runtime is 10 seconds.
const PATIENCE: Duration = Duration::from_secs(25);

/// Kills the processes that it watches if they take too long.
pub struct Watchdog {
    watched: Arc<Mutex<BTreeSet<Pid>>>,
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Starts the watchdog, and the time that it allows.
    pub fn start() -> Self {
        let watched = Arc::new(Mutex::new(BTreeSet::<Pid>::new()));
        let (done, wait) = channel();
        let watched_by_thread = watched.clone();
        let thread = thread::spawn(move || {
            if wait.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
            for pid in
                watched_by_thread.lock().expect("no holder of the lock panics").iter()
            {
                let _ = kill(*pid, Signal::SIGKILL);
            }
            true
        });
        Watchdog { watched, done, thread }
    }

    /// Watches this process.
    pub fn watch(&self, pid: Pid) {
        self.watched.lock().expect("no holder of the lock panics").insert(pid);
    }

    /// Forgets a process that has ended: its PID may be reused.
    pub fn forget(&self, pid: Pid) {
        self.watched.lock().expect("no holder of the lock panics").remove(&pid);
    }

    /// Returns whether any process is watched.
    pub fn watches_any(&self) -> bool {
        !self.watched.lock().expect("no holder of the lock panics").is_empty()
    }

    /// Stops watching. Returns whether it has killed the processes.
    pub fn end(self) -> bool {
        let _ = self.done.send(());
        self.thread.join().expect("the watchdog does not panic")
    }
}
