//! The network of a container that was started without root: `pasta` (passt(1)), a
//! program that carries what the container sends to sockets of its own, which anybody
//! may have.
//!
//! - [`Pasta::start`] is called by the parent while the child waits (`before_start`),
//!   after its ids are written. Dropped, it ends pasta; the kernel does so if we are
//!   killed.
//!
//! Inside, the interface is `eth0`, with the host's own addresses and routes. The
//! host's loopback is not to be reached through it, neither by its own name nor as the
//! gateway.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use kit::Failure;
use nix::unistd::Pid;
use rustix::fs::OFlags;

use crate::options::PastaOptions;
use crate::port::{Port, Protocol};

/// Where a container asks for names when the host asks a server on its own loopback:
/// pasta takes what is sent there (UDP) to that server.
pub(crate) const RESOLVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 1, 1));

/// A pasta that carries a container's packets. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Pasta {
    process: Child,
    /// Kept open, and never read again: to write to a closed pipe would end it
    /// (pipe(7)).
    said: PipeReader,
}

impl Pasta {
    /// Connects the network namespace of `child`, and publishes `ports`. Returns once
    /// both are done.
    ///
    /// # Errors
    /// When pasta is not installed, a port is taken or below those that anybody may
    /// have, or there is no network on the host; in pasta's own words where they are
    /// the best.
    pub(crate) fn start(options: &PastaOptions, child: Pid) -> Result<Self> {
        let PastaOptions { program, ports } = options;
        refuse_reserved(ports)?;
        // passt(1), --pid: what it writes there once all is set up tells us that it is.
        let (mut ready, its_stdout) =
            std::io::pipe().context("pipe2(for pasta's pid)")?;
        let (said, its_stderr) = lossy_pipe()?;
        let mut command = Command::new(program);
        command.args(arguments(child, ports)).args(["--pid", "/dev/stdout"]);
        command.stdin(Stdio::null()).stdout(its_stdout).stderr(its_stderr);
        let mut pasta = Pasta { process: spawn(command)?, said };
        match ready.read(&mut [0; 32]).context("read pasta's pid")? {
            0 => Err(pasta.why_not(ports)), // the end: it has closed it, and is gone
            _ => Ok(pasta),
        }
    }

    /// It has ended already, and said why.
    fn why_not(&mut self, ports: &[Port]) -> anyhow::Error {
        let _ = self.process.wait();
        let mut said = String::new();
        let _ = self.said.read_to_string(&mut said);
        let words: Vec<_> = said
            .lines()
            .filter(|line| !line.contains("to syslog"))
            .map(str::trim)
            .collect();
        let failure = Failure::new(format_args!("pasta: {}", words.join("; ")));
        let published: Vec<_> = ports.iter().map(Port::to_string).collect();
        match said.contains("bind") && !ports.is_empty() {
            true => failure.hint(format_args!(
                "one of the ports is taken: {} (`ss -ltunp` says by whom)",
                published.join(", ")
            )),
            false => failure
                .hint("--network none does without; `man pasta` tells what it needs"),
        }
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
    let words: Vec<_> =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut child = None;
    kit::call(
        "carries packets to ordinary sockets: no root needed",
        "pasta",
        words.join(" "),
        || {
            child = Some(crate::sys::die_with_parent(&mut command).spawn()?);
            Ok::<_, std::io::Error>(())
        },
    )?;
    child.context("pasta was started")
}

fn arguments(child: Pid, ports: &[Port]) -> Vec<String> {
    let (netns, userns) =
        (format!("/proc/{child}/ns/net"), format!("/proc/{child}/ns/user"));
    let resolver = RESOLVER.to_string();
    let mut words = vec![
        "--foreground",
        "--quiet",
        "--stderr",
        "--config-net",
        "--ns-ifname",
        "eth0",
    ];
    words.extend(["--netns", &netns, "--userns", &userns]);
    // Nothing of the host's own: neither its loopback as the gateway, nor the ports
    // that listen there.
    words.extend([
        "--no-map-gw",
        "--tcp-ns",
        "none",
        "--udp-ns",
        "none",
        "--dns-forward",
        &resolver,
    ]);
    let mut words: Vec<String> = words.into_iter().map(String::from).collect();
    for (option, protocol) in
        [("--tcp-ports", Protocol::Tcp), ("--udp-ports", Protocol::Udp)]
    {
        let specs: Vec<_> =
            ports.iter().filter(|port| port.protocol == protocol).map(spec).collect();
        let specs = if specs.is_empty() { vec!["none".into()] } else { specs };
        words.extend(specs.into_iter().flat_map(|spec| [option.to_string(), spec]));
    }
    words
}

/// passt(1), "-t": an address of the host's before a `/`, and the container's port
/// after a `:`.
fn spec(port: &Port) -> String {
    let ports = format!("{}:{}", port.host, port.inside);
    port.ip.map_or(ports.clone(), |ip| format!("{ip}/{ports}"))
}

/// A pipe that takes what there is room for. Nobody reads it later, and pasta must not
/// wait for that.
fn lossy_pipe() -> Result<(PipeReader, PipeWriter)> {
    let (ours, theirs) = std::io::pipe().context("pipe2(for what pasta says)")?;
    rustix::fs::fcntl_setfl(&theirs, OFlags::NONBLOCK)
        .context("fcntl(a pipe, O_NONBLOCK)")?;
    Ok((ours, theirs))
}

/// ip(7), ip_unprivileged_port_start: the ports below are root's.
fn refuse_reserved(ports: &[Port]) -> Result<()> {
    const START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let first = fs::read_to_string(START)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024);
    match ports.iter().find(|port| port.host < first) {
        None => Ok(()),
        Some(port) => Err(Failure::new(format_args!("-p {port}: ports below {first} are root's"))
            .hint(format_args!(
                "choose a higher one; or as root: sysctl -w net.ipv4.ip_unprivileged_port_start={}",
                port.host
            ))
            .into()),
    }
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
    fn only_what_is_published_is_forwarded() {
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
