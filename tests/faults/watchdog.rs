//! Ends a run that does not end.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything that a runtime waits for by itself (10 seconds).
const PATIENCE: Duration = Duration::from_secs(25);

/// Kills what it watches when that takes too long.
pub struct Watchdog {
    watched: Arc<Mutex<BTreeSet<Pid>>>,
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// From now on.
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

    /// This process too.
    pub fn watch(&self, pid: Pid) {
        self.watched.lock().expect("nobody panics with it").insert(pid);
    }

    /// It has ended, and its number may be another's.
    pub fn forget(&self, pid: Pid) {
        self.watched.lock().expect("nobody panics with it").remove(&pid);
    }

    /// Whether any of them lives.
    pub fn has_some(&self) -> bool {
        !self.watched.lock().expect("nobody panics with it").is_empty()
    }

    /// Watches no longer, and says whether it had to kill.
    pub fn end(self) -> bool {
        let _ = self.done.send(());
        self.thread.join().expect("the watchdog does not panic")
    }
}
