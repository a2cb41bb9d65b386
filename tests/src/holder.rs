//! A process that keeps namespaces alive.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A process that keeps namespaces alive. It is killed when this is dropped. If the
/// test process ends first, the kernel closes the holder's stdin, and the holder exits.
pub struct Holder(Child);

impl Holder {
    /// Makes namespaces (`namespaces` are options of unshare(1)), runs a shell script
    /// in them, and keeps them alive.
    pub fn of(namespaces: &[&str], script: &str) -> Self {
        let script = format!("set -e\n{script}\necho\nexec cat");
        let mut command = Command::new("unshare");
        command
            .args(namespaces)
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("run unshare, of util-linux");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(
            ready, "\n",
            "unshare {namespaces:?} makes namespaces, and {script:?} works there"
        );
        Holder(child)
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl From<Child> for Holder {
    fn from(child: Child) -> Self {
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
