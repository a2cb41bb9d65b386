//! Tells whether the programs in a terminal are idle, by reading the state of their
//! threads in /proc. So no test has to guess how long a program may take.

use std::fs;
use std::time::{Duration, Instant};

use kiste_tests::host::{Process, process_tree};

/// Programs are idle if two snapshots with this time between them are equal.
const INTERVAL: Duration = Duration::from_millis(15);

/// A command that never stops using the CPU is abandoned after this many times its
/// timeout.
const BUSY_FACTOR: u32 = 10;

/// The threads of a process and of its descendants, at one moment.
#[derive(Debug, PartialEq)]
pub struct Snapshot(Vec<Thread>);

#[derive(Debug, PartialEq)]
struct Thread {
    id: i32,
    state: char,
    /// The number of its context switches.
    switches: u64,
}

impl Snapshot {
    pub fn at(root: i32) -> Self {
        Snapshot(
            process_tree(root).iter().flat_map(|process| threads(process.id)).collect(),
        )
    }

    /// Returns whether no thread runs, is ready to run, or waits for a disk.
    pub fn nobody_runs(&self) -> bool {
        !self.0.iter().any(|thread| matches!(thread.state, 'R' | 'D'))
    }
}

/// Tells when a process and its descendants are idle.
#[derive(Default)]
pub struct IdleWatch {
    last: Option<(Instant, Snapshot)>,
}

impl IdleWatch {
    /// Forgets the last snapshot, since something has happened.
    pub fn begin_again(&mut self) {
        self.last = None;
    }

    /// Returns whether all threads wait, and have not run since the last snapshot.
    pub fn is_idle(&mut self, root: i32) -> bool {
        if self.last.as_ref().is_some_and(|(when, _)| when.elapsed() < INTERVAL) {
            return false;
        }
        let now = Snapshot::at(root);
        let is_same = self.last.as_ref().is_some_and(|(_, last)| *last == now);
        let is_idle = is_same && now.nobody_runs();
        self.last = Some((Instant::now(), now));
        is_idle
    }
}

/// A timeout that counts only the time in which a command waits: on a busy machine, a
/// command that is ready to run has not hung.
pub struct IdleTimeout {
    left: Duration,
    /// The limit for all time, in which the command waits or not.
    hard_limit: Duration,
    start: Instant,
    last_check: Instant,
}

impl IdleTimeout {
    pub fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        IdleTimeout {
            left: timeout,
            hard_limit: timeout * BUSY_FACTOR,
            start: now,
            last_check: now,
        }
    }

    pub fn has_expired(&mut self, root: i32) -> bool {
        let since = self.last_check.elapsed();
        if since >= Duration::from_millis(100) {
            self.last_check = Instant::now();
            if Snapshot::at(root).nobody_runs() {
                self.left = self.left.saturating_sub(since);
            }
        }
        self.left.is_zero() || self.start.elapsed() >= self.hard_limit
    }
}

/// Kills those of the processes that are still alive, and waits until they are gone.
pub fn kill_all(processes: &[Process], timeout: Duration) {
    let start = Instant::now();
    while let Some(process) = processes.iter().find(|process| process.is_alive()) {
        // An ordinary user cannot kill root's processes. They end when their terminal
        // is closed.
        if process.kill().is_err() || start.elapsed() >= timeout {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn threads(process: i32) -> Vec<Thread> {
    let task = format!("/proc/{process}/task");
    let thread = |id: i32| {
        let status = fs::read_to_string(format!("{task}/{id}/status")).ok()?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.split_whitespace().next()
        };
        let count = |name: &str| field(name)?.parse::<u64>().ok();
        let switches = count("voluntary_ctxt_switches:").unwrap_or_default()
            + count("nonvoluntary_ctxt_switches:").unwrap_or_default();
        Some(Thread { id, state: field("State:")?.chars().next()?, switches })
    };
    numbers(&task).into_iter().filter_map(thread).collect()
}

fn numbers(dir: &str) -> Vec<i32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{IdleTimeout, IdleWatch, Snapshot, kill_all, process_tree};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    fn sh(script: &str) -> Child {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::null());
        sh.spawn().expect("start sh")
    }

    fn becomes_idle(child: &Child, within: Duration) -> bool {
        let (start, mut watch) = (Instant::now(), IdleWatch::default());
        while start.elapsed() < within {
            if watch.is_idle(child.id() as i32) {
                return true;
            }
        }
        false
    }

    fn stop(mut child: Child) {
        kill_all(&process_tree(child.id() as i32), Duration::from_secs(5));
        _ = child.wait();
    }

    #[test]
    fn a_waiting_process_is_idle_and_a_busy_one_is_not() {
        let waiting = sh("(sleep 1000; true) & read line");
        let busy = sh("(while :; do :; done) & read line");
        assert!(becomes_idle(&waiting, Duration::from_secs(30)));
        assert!(
            process_tree(waiting.id() as i32).len() >= 3,
            "sh, the subshell, and its sleep"
        );
        assert!(!becomes_idle(&busy, Duration::from_millis(300)));
        stop(waiting);
        stop(busy);
    }

    #[test]
    fn only_waiting_uses_up_the_timeout() {
        let (waiting, busy) = (sh("read line"), sh("while :; do :; done"));
        assert!(becomes_idle(&waiting, Duration::from_secs(30)));
        let used_up = |child: &Child, within: Duration| {
            let (start, mut left) =
                (Instant::now(), IdleTimeout::new(Duration::from_millis(300)));
            while start.elapsed() < within {
                if left.has_expired(child.id() as i32) {
                    return true;
                }
            }
            false
        };
        assert!(used_up(&waiting, Duration::from_secs(30)));
        assert!(!used_up(&busy, Duration::from_secs(1)));
        stop(waiting);
        stop(busy);
    }

    #[test]
    fn kill_all_kills_a_process_and_all_its_descendants() {
        let mut child = sh("sleep 1000 & sleep 1000 & read line");
        assert!(becomes_idle(&child, Duration::from_secs(30)));
        let all = process_tree(child.id() as i32);
        kill_all(&all, Duration::from_secs(30));
        assert!(all.iter().all(|process| !process.is_alive()));
        _ = child.wait();
        assert_eq!(Snapshot::at(child.id() as i32), Snapshot(Vec::new()));
    }
}
