//! Kills a run that does not end.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a run may take: longer than any timeout in the runtime (10 seconds).
const PATIENCE: Duration = Duration::from_secs(25);

/// Kills the processes that it watches if they take too long.
pub struct Watchdog {
    watched: Arc<Mutex<BTreeSet<Pid>>>,
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Starts the clock.
    pub fn start() -> Self {
        let watched = Arc::new(Mutex::new(BTreeSet::<Pid>::new()));
        let (done, wait) = channel();
        let seen = watched.clone();
        let thread = thread::spawn(move || {
            if wait.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
            for pid in seen.lock().expect("nobody panics with it").iter() {
                let _ = kill(*pid, Signal::SIGKILL);
            }
            true
        });
        Watchdog { watched, done, thread }
    }

    /// Watches this process.
    pub fn watch(&self, pid: Pid) {
        self.watched.lock().expect("nobody panics with it").insert(pid);
    }

    /// Forgets a process that has ended: its PID may be reused.
    pub fn forget(&self, pid: Pid) {
        self.watched.lock().expect("nobody panics with it").remove(&pid);
    }

    /// Returns whether any process is watched.
    pub fn has_some(&self) -> bool {
        !self.watched.lock().expect("nobody panics with it").is_empty()
    }

    /// Stops watching. Returns whether it had to kill.
    pub fn end(self) -> bool {
        let _ = self.done.send(());
        self.thread.join().expect("the watchdog does not panic")
    }
}
