//! The network of a container that was started without root: pasta(1), a program that
//! passes packets between the container's network namespace and ordinary sockets, for
//! which no privileges are needed.
//!
//! The parent calls [`Pasta::start`] while the child waits, once the id maps are
//! written. In the container, the interface is `eth0`, with the host's own addresses
//! and routes. The host's loopback cannot be reached through it, neither at the host's
//! addresses nor at the gateway's.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use kit::interrupt::Wait;
use kit::{Failure, FailureKind};
use nix::unistd::Pid;
use rustix::fs::OFlags;

use crate::options::PastaOptions;
use crate::port::{Port, Protocol};
use crate::port_reservation;
use crate::sys;

/// The container's DNS server when the host's listens on the host's loopback: pasta
/// forwards questions to this address (UDP) to that server.
pub(crate) const DNS_FORWARDER: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));

/// A running pasta. Dropping it kills the process; if the runtime is killed, the kernel
/// kills pasta.
#[derive(Debug)]
pub(crate) struct Pasta {
    process: Child,
    /// Its stderr. It stays open, unread: SIGPIPE would kill pasta if it wrote to a
    /// pipe without a reader (pipe(7)).
    stderr: PipeReader,
}

impl Pasta {
    /// Connects the network namespace of `child`, and publishes the ports. Both are
    /// done when it returns.
    ///
    /// # Errors
    /// When a port is in use or privileged, or when pasta fails, with its message.
    pub(crate) fn start(options: &PastaOptions, child: Pid) -> Result<Self> {
        let PastaOptions { program, ports } = options;
        refuse_privileged(ports)?;
        port_reservation::refuse_taken(ports)?;
        // passt(1), --pid: pasta writes its PID there once everything is set up.
        let (mut pid_reader, pid_writer) =
            std::io::pipe().context("pipe2(for pasta's PID)")?;
        let (stderr, stderr_writer) = non_blocking_pipe()?;
        let mut command = Command::new(program);
        command.args(arguments(child, ports)).args(["--pid", "/dev/stdout"]);
        command.stdin(Stdio::null()).stdout(pid_writer).stderr(stderr_writer);
        let mut pasta = Pasta { process: spawn(command)?, stderr };
        let wait = Wait::new().and_then(|it| it.until_readable(&pid_reader));
        wait.context("poll(pasta)")?;
        match pid_reader.read(&mut [0; 32]).context("read(pasta's PID)")? {
            0 => Err(pasta.failure(ports)), // end of file: it has exited
            _ => Ok(pasta),
        }
    }

    /// The failure of a pasta that has exited.
    fn failure(&mut self, ports: &[Port]) -> anyhow::Error {
        let _ = self.process.wait();
        let mut stderr = String::new();
        let _ = self.stderr.read_to_string(&mut stderr);
        let lines = stderr.lines().filter(|line| !line.contains("to syslog"));
        let lines: Vec<_> = lines.map(str::trim).collect();
        let failure = Failure::new(format_args!("pasta: {}", lines.join("; ")));
        if !stderr.contains("bind") || ports.is_empty() {
            let hint = "use --network none, or see `man pasta` for what pasta needs";
            return failure.hint(hint).into();
        }
        let ports: Vec<_> = ports.iter().map(Port::to_string).collect();
        failure
            .with_kind(FailureKind::Conflict)
            .hint(format_args!(
                "a port is already in use: {} (`ss -ltunp` shows by which program)",
                ports.join(", ")
            ))
            .into()
    }
}

impl Drop for Pasta {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(mut command: Command) -> Result<Child> {
    let operands: Vec<_> =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let why = "passes packets to ordinary sockets, without root";
    let mut child = None;
    kit::call(why, "pasta", operands.join(" "), || {
        child = Some(sys::die_with_parent(&mut command).spawn()?);
        Ok::<_, std::io::Error>(())
    })?;
    child.context("pasta was started")
}

fn arguments(child: Pid, ports: &[Port]) -> Vec<String> {
    let netns = format!("/proc/{child}/ns/net");
    let userns = format!("/proc/{child}/ns/user");
    let dns_forwarder = DNS_FORWARDER.to_string();
    let mut words: Vec<&str> = vec!["--foreground", "--quiet", "--stderr"];
    words.extend(["--config-net", "--ns-ifname", "eth0"]);
    words.extend(["--netns", &netns, "--userns", &userns]);
    // The gateway does not stand for the host's loopback, and the host's listening
    // ports are not forwarded.
    words.extend(["--no-map-gw", "--tcp-ns", "none", "--udp-ns", "none"]);
    words.extend(["--dns-forward", &dns_forwarder]);
    let mut words: Vec<String> = words.into_iter().map(String::from).collect();
    for (option, protocol) in
        [("--tcp-ports", Protocol::Tcp), ("--udp-ports", Protocol::Udp)]
    {
        let mut published: Vec<_> =
            ports.iter().filter(|port| port.protocol == protocol).map(spec).collect();
        if published.is_empty() {
            published.push("none".into());
        }
        words.extend(published.into_iter().flat_map(|spec| [option.into(), spec]));
    }
    words
}

/// A published port in the syntax of passt(1), "-t": [ADDRESS/]HOSTPORT:PORT.
fn spec(port: &Port) -> String {
    let ports = format!("{}:{}", port.host, port.inside);
    port.ip.map_or(ports.clone(), |ip| format!("{ip}/{ports}"))
}

/// A pipe whose writer never waits: when it is full, pasta loses messages.
fn non_blocking_pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = std::io::pipe().context("pipe2(for pasta's stderr)")?;
    rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK)
        .context("fcntl(a pipe, O_NONBLOCK)")?;
    Ok((reader, writer))
}

/// Refuses ports that only root can bind: ip(7), ip_unprivileged_port_start.
fn refuse_privileged(ports: &[Port]) -> Result<()> {
    const START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let start = fs::read_to_string(START).ok();
    let start = start.and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    let Some(port) = ports.iter().find(|port| port.host < start) else {
        return Ok(());
    };
    let what = format!("-p {port}: only root can use ports below {start}");
    let hint = format!(
        "choose a higher port; or as root: sysctl -w net.ipv4.ip_unprivileged_port_start={}",
        port.host
    );
    Err(Failure::new(what).hint(hint).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Publish;

    fn words(published: &[&str]) -> String {
        let ports: Vec<_> = published
            .iter()
            .flat_map(|text| {
                text.parse::<Publish>().unwrap().ports().collect::<Vec<_>>()
            })
            .collect();
        arguments(Pid::from_raw(7), &ports).join(" ")
    }

    #[test]
    fn only_published_ports_are_forwarded() {
        let none = words(&[]);
        assert!(
            none.contains("--netns /proc/7/ns/net --userns /proc/7/ns/user"),
            "{none}"
        );
        assert!(none.ends_with("--tcp-ports none --udp-ports none"), "{none}");
        let some = words(&["8080:80", "127.0.0.1:2222:22", "5353:53/udp"]);
        let expected =
            "--tcp-ports 8080:80 --tcp-ports 127.0.0.1/2222:22 --udp-ports 5353:53";
        assert!(some.ends_with(expected), "{some}");
        for options in [none, some] {
            assert!(
                options.contains("--no-map-gw --tcp-ns none --udp-ns none"),
                "{options}"
            );
        }
    }
}
