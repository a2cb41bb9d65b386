//! The daemons of Docker and containerd.

use std::fs;

use kiste_tests::eventually;

use super::Place;

impl Place {
    /// Starts a daemon, and returns once this command succeeds, which asks it.
    #[track_caller]
    pub fn start_daemon(&self, daemon: &[String], ask: &[&str]) {
        self.spawn(daemon, "daemon.log");
        let answered = eventually(|| (self.call(ask).code == 0).then_some(()));
        assert!(
            answered.is_some(),
            "{} does not answer; its log:\n{}",
            daemon[0],
            fs::read_to_string(self.dir().join("daemon.log")).unwrap_or_default()
        );
    }
}
