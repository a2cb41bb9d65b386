//! The namespaces in which an engine runs, with all its daemons and containers.

use std::ffi::OsString;
use std::path::Path;

use kiste_tests::{Holder, host};

/// PID, mount, network, IPC and UTS namespaces of the test's own. /run and /opt, where the
/// engines make directories, are empty there.
///
/// When this is dropped, the kernel kills all processes in the PID namespace, and
/// unmounts everything that they have mounted.
pub struct Sandbox {
    _holder: Holder,
    pid: i32,
}

impl Sandbox {
    /// Makes the namespaces, and runs a shell script in them.
    pub fn start(script: &str) -> Self {
        let namespaces = [
            "--net",
            "--ipc",
            "--uts",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--mount-proc",
        ];
        // PID 1 is bash, since it waits for orphans: conmon and the shims of containerd
        // are orphans by design.
        let holder = Holder::of(
            &namespaces,
            &format!(
                "mount -t tmpfs tmpfs /run\nmount -t tmpfs tmpfs /opt\nbusybox ifconfig lo up\n{script}\necho\nexec bash -c 'read line'"
            ),
        );
        let pid = host::children(holder.pid())[0];
        Sandbox { _holder: holder, pid }
    }

    /// Returns the words of a command that runs other words in these namespaces and in
    /// this directory.
    pub fn enter(&self, dir: &Path) -> Vec<OsString> {
        let pid = self.pid.to_string();
        let nsenter = ["nsenter", "--target", &pid, "--mount", "--net", "--ipc"];
        let mut words: Vec<OsString> = nsenter.iter().map(OsString::from).collect();
        words.extend(["--uts", "--pid", "env", "--chdir"].map(OsString::from));
        words.push(dir.into());
        words
    }
}
