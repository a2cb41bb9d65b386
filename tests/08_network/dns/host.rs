//! A network namespace that stands in for the host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kiste_tests::{Fixture, Ran, Running, host, net, require_tool};

use crate::this_step;

/// A network namespace and a mount namespace that stand in for the host. Dropping this
/// value removes them.
pub struct Host {
    pub fixture: Fixture,
    holder: Child,
}

impl Host {
    /// Makes a host with these DNS servers in its /etc/resolv.conf.
    pub fn with_dns_servers(servers: &[&str]) -> Option<Self> {
        if !require_tool("ip") || !require_tool("nsenter") || !require_tool("unshare") {
            return None;
        }
        let fixture = Fixture::of(this_step(), &["root", "pivot-root"])?;
        let resolv = fixture.dir().join("resolv.conf");
        fs::write(
            &resolv,
            servers.iter().map(|it| format!("nameserver {it}\n")).collect::<String>(),
        )
        .unwrap();
        let script = format!(
            "mount --bind {} /etc/resolv.conf && ip link set lo up && echo ready && exec cat",
            resolv.display()
        );
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Some(Host { fixture, holder })
    }

    /// Returns the words of a command line that starts a program on the host.
    pub fn enter(&self) -> Vec<String> {
        ["nsenter", "-t", &self.holder.id().to_string(), "-n", "-m", "--"]
            .map(String::from)
            .into()
    }

    /// Returns the directory in which the networks are recorded.
    pub fn network_dir(&self) -> PathBuf {
        self.fixture.dir().join("networks")
    }

    fn with_dir<'a>(dir: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        [&["--network-dir", dir], options].concat()
    }

    /// Runs a command in a container, until it ends.
    pub fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        let (enter, dir) = (self.enter(), self.network_dir());
        let enter: Vec<_> = enter.iter().map(String::as_str).collect();
        self.fixture.run_under(
            &enter,
            &Host::with_dir(dir.to_str().unwrap(), options),
            command,
        )
    }

    /// Starts a command in a container, and returns once it runs.
    pub fn start(&self, options: &[&str], command: &[&str]) -> Running {
        let (enter, dir) = (self.enter(), self.network_dir());
        let enter: Vec<_> = enter.iter().map(String::as_str).collect();
        self.fixture.start_under(
            &enter,
            &Host::with_dir(dir.to_str().unwrap(), options),
            command,
        )
    }

    /// Runs the program with exactly these arguments.
    pub fn call(&self, arguments: &[&str]) -> Ran {
        let enter = self.enter();
        let enter: Vec<_> = enter.iter().map(String::as_str).collect();
        self.fixture.call_under(&enter, arguments)
    }

    /// Makes a network.
    pub fn create(&self, arguments: &[&str]) {
        let dir = self.network_dir();
        self.call(
            &[
                &["network", "create", "--network-dir", dir.to_str().unwrap()],
                arguments,
            ]
            .concat(),
        )
        .exits(0);
    }

    /// Runs a shell script on the host, as root.
    pub fn sh(&self, script: &str) -> String {
        let enter = self.enter();
        let output = Command::new(&enter[0])
            .args(&enter[1..])
            .args(["sh", "-c", script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into()
    }

    /// Calls a function on a new thread in the host's network namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        net::within(self.holder.id(), work)
    }

    /// Returns the PIDs of the responders that run on the host.
    pub fn responders(&self) -> Vec<i32> {
        let namespace = host::namespace(self.holder.id(), "net");
        let name =
            |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut found = host::processes_in("net", &namespace);
        found.retain(|pid| name(pid).starts_with(b"kiste-dns\0"));
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
